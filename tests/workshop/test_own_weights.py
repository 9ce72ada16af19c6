"""Weights that were trained here carry nothing that only costs time: no dead channel, no value that is almost zero."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from astronaut import astronaut
from torch import nn
from torch.nn import functional as fn
from torch.overrides import TorchFunctionMode

from converters.checkpoints.archive import read_source
from converters.checkpoints.reading import read_tensors
from converters.export.denormals import LEAST
from converters.paths import ROOT
from converters.recipes.reading import list_recipes, list_variants, read_network, read_recipe
from converters.recipes.schema import NetworkRecipe
from converters.references.torch_module import load_module
from edgeface.runtime import to_tensor
from edgeface.types import F32

CROPS = 120
"""Of the picture, and as many of noise."""
NOTHING = 1e-3
"""A channel whose largest weight is a smaller share of its layer's largest does nothing."""


def trained_here() -> Iterator[tuple[str, NetworkRecipe]]:
    for name in list_recipes("networks"):
        for each in (name, *(f"{name}@{variant}" for variant in list_variants(name))):
            built, network = read_network(each)
            if network.source is not None and network.source.registry == "own" and not network.random:
                yield built, network


OWN = dict(trained_here())
WEIGHTS = ROOT / "converters" / "weights"
SHIPPED = [name for bundle in ("default", "research") for name in read_recipe(bundle).networks if name in OWN]


def crops_of(network: NetworkRecipe) -> F32:
    """Random parts of the astronaut's picture of all sizes, and noise, as the network sees them: (N, C, H, W)."""
    rng, picture = np.random.default_rng(1), astronaut()
    width, height = network.input.width, network.input.height
    assert width is not None
    assert height is not None
    crops = []
    for _ in range(CROPS):
        side = int(rng.integers(48, 400))
        left, top = rng.integers(0, len(picture) - side, 2)
        crop = picture[top : top + side, left : left + side]
        crops.append(cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA))
    pixels = np.concatenate([np.stack(crops), rng.integers(0, 256, (CROPS, height, width, 3), np.uint8)])
    if network.input.color == "grey":
        pixels = np.stack([cv2.cvtColor(one, cv2.COLOR_BGR2GRAY)[..., None] for one in pixels])
    return to_tensor(pixels, network.input, "NCHW")


class Rectified(TorchFunctionMode):
    """Notes which channels of each rectified map never change."""

    def __init__(self) -> None:
        super().__init__()
        self.dead: list[list[int]] = []

    def __torch_function__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = func(*args, **(kwargs or {}))
        if func in (fn.relu, torch.relu):
            still = given.amax((0, 2, 3)) == given.amin((0, 2, 3))
            self.dead.append(torch.nonzero(still).flatten().tolist())
        return given


def dead_channels(module: Any, crops: F32) -> dict[str, list[int]]:
    """Channels of no weight by convolution, and those that say the same of every crop by the number of the map."""
    found = {}
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            largest = layer.weight.detach().abs().amax((1, 2, 3))
            found[name] = torch.nonzero(largest < NOTHING * largest.max()).flatten().tolist()
    with torch.no_grad(), Rectified() as rectified:
        module.eval()(torch.from_numpy(crops))
    assert rectified.dead, "it has no rectified map"
    found |= {f"map {number}": channels for number, channels in enumerate(rectified.dead)}
    return {place: channels for place, channels in found.items() if channels}


@pytest.mark.parametrize("name", OWN)
def test_no_stored_weight_is_almost_zero(name: str) -> None:
    source = OWN[name].source
    assert source is not None
    tensors = read_tensors(read_source(source)[0], source.path)
    assert tensors
    least = {key: float(np.abs(one[one != 0]).min(initial=np.inf)) for key, one in tensors.items()}
    assert {key: value for key, value in least.items() if value < LEAST} == {}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_channel_of_a_network_that_ships_says_something(name: str) -> None:
    """Not of the teacher, which ships nowhere: its stem began with age-v1, of whose 64 channels 21 are dead."""
    assert dead_channels(load_module(OWN[name]), crops_of(OWN[name])) == {}


def test_dead_channels_are_found() -> None:
    """One without weights, one that is never above zero, one that is always as far above it."""
    name = SHIPPED[0]
    module = load_module(OWN[name])
    first, norm = module.blocks[1].first, module.blocks[1].first_norm
    with torch.no_grad():
        first.weight[2] *= 1e-6
        norm.weight[5], norm.bias[5] = 1e-3, -1
        norm.weight[7], norm.bias[7] = 0, 1
    found = dead_channels(module, crops_of(OWN[name]))
    assert found == {"blocks.1.first": [2], "map 3": [5, 7]}


def test_all_that_ships_of_our_own_is_looked_at() -> None:
    assert SHIPPED == ["age-gender-compact", "expression-compact", "age-gender-compact-research"]


def test_every_file_of_weights_is_told_with_its_hash() -> None:
    told = (WEIGHTS / "README.md").read_text(encoding="utf-8")
    files = sorted(WEIGHTS.glob("*.safetensors"))
    assert files
    for file in files:
        row = next((line for line in told.splitlines() if line.startswith(f"| `{file.name}`")), "")
        assert hashlib.sha256(file.read_bytes()).hexdigest() in row, file.name
