"""One small network of each kind of source, from its archive to a bundle that both runtimes run like the original."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from converters.building import maker as making
from converters.building.parity import verify_bundle
from converters.bundles.build import build
from converters.checkpoints import archive
from converters.checkpoints.archive import UnreachableError, read_source
from converters.checkpoints.keyfile import read_maps
from converters.checkpoints.reading import kind_of
from converters.networks import make_network
from converters.recipes.reading import read_recipe
from converters.recipes.schema import BundleRecipe, NetworkRecipe, Prepared, Recipe
from converters.references.torch_module import TorchReference
from edgeface.bundle import Source, open_bundle
from edgeface.errors import EdgefaceError

KINDS = {
    "retinaface": "torch",
    "expression-mini-xception": "keras",
    "face-api-expression": "tfjs",
    "gender-v1": "onnx",
    "blazeface-short": "tflite",
    "yunet": "elf",
}
"""Recipes whose archives have less than 20 MB, and the kind of file that they read."""


def smallest(name: str) -> Recipe:
    """A recipe as a bundle of its own with fp32 files at one shape."""
    recipe = read_recipe(name)
    ((built, network),) = recipe.networks.items()
    least = Prepared(sizes=((320, 192),), batches=(1,)) if network.input.width is None else None
    network = msgspec.structs.replace(
        network, files={"onnx": ("fp32",), "litert": ("fp32",)}, prepared=least or Prepared(sizes=(), batches=(1,))
    )
    if network.input.crop is None and network.input.width and network.input.height:
        network = msgspec.structs.replace(network, prepared=None)
    defaults: dict[Any, str] = {"detect": built} if network.task == "detect" else {}
    bundle = BundleRecipe(name="kinds", version="1", networks=(name,), defaults=defaults)
    return msgspec.structs.replace(recipe, bundle=bundle, networks={built: network})


def build_and_hold(recipe: Recipe, folder: Path) -> None:
    """Build a bundle and hold each file against its source on real and random pixels."""
    bundle = open_bundle(build(recipe, folder, jobs=1))
    found = list(verify_bundle(recipe, bundle))
    assert {Path(parity.path).suffix for parity in found} == {".onnx", ".tflite"}
    assert [parity for parity in found if not parity.holds] == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "kind"), KINDS.items(), ids=KINDS.values())
def test_a_small_network_of_each_kind_end_to_end(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path / "build"))
    recipe = smallest(name)
    (network,) = recipe.networks.values()
    assert network.source is not None
    assert kind_of(network.source.path) == kind
    try:
        read_source(network.source)
    except UnreachableError as error:
        pytest.skip(f"the pinned archive is not to be had: {error}")
    build_and_hold(recipe, tmp_path / "bundle")


def made_graph(network: NetworkRecipe, folder: Path) -> Source:
    """A tfjs graph of seeded numbers under the names that the family's key map asks for; nobody trained it."""
    torch.manual_seed(11)
    assert network.family is not None
    state = make_network(network.family, network.options).state_dict()
    (key_map,) = read_maps(network.family, "tfjs")
    turns = {"hwio": (2, 3, 1, 0), "hwim": (2, 3, 0, 1), "io": (1, 0), "plain": None}
    weights, blob = [], b""
    for ours, piece in key_map.pieces():
        array = np.asarray(state[ours].numpy().transpose(turns[piece.layout]), "<f4")
        weights.append({"name": piece.source, "shape": list(array.shape), "dtype": "float32"})
        blob += array.tobytes()
    node = {"name": "input_1", "op": "Placeholder", "attr": {"dtype": {"type": "DT_FLOAT"}}}
    groups = [{"paths": ["age.bin"], "weights": weights}]
    graph = {"format": "graph-model", "modelTopology": {"node": [node]}, "weightsManifest": groups}
    (folder / "age.json").write_text(json.dumps(graph), "utf-8")
    (folder / "age.bin").write_bytes(blob)
    return Source(
        registry="file", path=str(folder / "age.json"), companions={"age.bin": hashlib.sha256(blob).hexdigest()}
    )


@pytest.mark.timeout(600)
def test_a_made_graph_of_tfjs_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path / "build"))
    recipe = smallest("ssr-net")
    ((name, network),) = recipe.networks.items()
    brought = msgspec.structs.replace(network, source=made_graph(network, tmp_path))
    build_and_hold(msgspec.structs.replace(recipe, networks={name: brought}), tmp_path / "bundle")
    torch.manual_seed(11)
    seeded = make_network(str(network.family), network.options).state_dict()
    reference = making.Maker(name, msgspec.structs.replace(recipe, networks={name: brought})).reference
    assert isinstance(reference, TorchReference)
    loaded = reference.module.state_dict()
    assert all(torch.equal(loaded[key], seeded[key]) for key in seeded)


def test_weights_that_were_trained_here_are_pinned_and_found_in_a_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "WEIGHTS", tmp_path)
    (tmp_path / "age.safetensors").write_bytes(b"weights")
    source = Source(registry="own", path="age.safetensors", sha256=hashlib.sha256(b"weights").hexdigest())
    assert archive.read_source(source) == (b"weights", {})
    assert archive.origin(source) == "trained here"
    with pytest.raises(EdgefaceError, match="does not pin age.safetensors; give its sha256"):
        archive.read_source(msgspec.structs.replace(source, sha256=""))
    with pytest.raises(EdgefaceError, match="the pin says"):
        archive.read_source(msgspec.structs.replace(source, sha256="0" * 64))
