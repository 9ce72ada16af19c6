"""Every architecture all the way at its smallest setting: torch, ONNX, TFLite, a bundle, the device's own runtimes.

Weights are seeded numbers, so nothing is fetched: this proves the chain, the precision is proved with trained ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from converters.building.parity import verify_bundle
from converters.bundles.build import build
from converters.recipes.reading import list_recipes, read_network, read_workshop
from converters.recipes.schema import BundleRecipe, NetworkRecipe, Prepared, Recipe
from edgeface.bundle import open_bundle
from edgeface.errors import BundleError

SMALLEST = {
    "coral-lstm-step": "layers1",
    "coral-lstm-window": "layers1",
    "mobilenet-v1": "w025",
}
"""Variants that are smaller than the recipe itself."""
LARGE = ("coral", "coral-lstm-step@resnet34", "coral-lstm-window@resnet34", "dex@vgg16", "retinaface-resnet50")
"""Minutes of conversion each, or hundreds of megabytes."""
ALIKE = ("expression-mini-xception", "gender-mini-xception", "gender-simple-cnn")
"""The same modules as others, with another number of labels or an even side."""
PARTS = {"mtcnn": ("mtcnn-refine", "mtcnn-output")}
"""A detector of several networks holds in a bundle only with all of them."""
SMALL = (96, 64)
"""Input of a detector of free size."""
TOLERANCE = 2e-4
"""Largest difference as a share of an output's largest value; float sums in another order, through random layers."""


def small() -> list[str]:
    parts = [part for several in PARTS.values() for part in several]
    left_out = (*LARGE, *ALIKE, *parts)
    names = [name for name in list_recipes("networks") if name not in left_out and read_network(name)[1].family]
    return [f"{name}@{SMALLEST[name]}" if name in SMALLEST else name for name in names]


def untrained(name: str) -> tuple[str, NetworkRecipe]:
    """The network with random weights, in fp32 for the runtimes that its recipe names, at few shapes."""
    built, network = read_network(name)
    fixed = (network.input.width or 0, network.input.height or 0)
    return built, msgspec.structs.replace(
        network,
        weights="random",
        # With its usual seed SSR-Net divides by nothing, and an answer that is no number is refused everywhere.
        seed=1 if built == "ssr-net" else network.seed,
        source=None,
        as_is=None,
        files=dict.fromkeys(network.files, ("fp32",)),
        prepared=Prepared(sizes=(SMALL if network.input.width is None else fixed,), batches=(1, 2)),
        quantize={},
        tolerances={"fp32": TOLERANCE},
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [*small(), *(pytest.param(name, marks=pytest.mark.large) for name in LARGE)])
def test_from_torch_to_the_device(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path / "build"))
    networks = dict(map(untrained, (name, *PARTS.get(name, ()))))
    built = next(iter(networks))
    defaults: dict[Any, str] = {"detect": built} if networks[built].task == "detect" else {}
    recipe = Recipe(
        bundle=BundleRecipe(name="chain", version="1", networks=tuple(networks), defaults=defaults),
        workshop=read_workshop(),
        networks=networks,
    )
    folder = build(recipe, tmp_path / "chain", jobs=1)
    with pytest.raises(BundleError, match=f"{built}.*--allow-random"):
        open_bundle(folder)
    bundle = open_bundle(folder, allow_random=True)
    parities = list(verify_bundle(recipe, bundle))
    assert len(parities) == sum(len(files) for network in networks.values() for files in network.files.values())
    for parity in parities:
        assert parity.holds, parity
        assert parity.shapes >= 1
    for file in (f for network in bundle.manifest.networks for files in network.files.values() for f in files):
        assert str(tmp_path).encode() not in (folder / file.path).read_bytes()


def test_every_family_is_in_the_chain() -> None:
    from converters.networks import FAMILIES

    parts = [part for several in PARTS.values() for part in several]
    met = {read_network(name)[1].family for name in (*small(), *LARGE, *parts)}
    # What remembers is made by a study of memory, which test_train_memory builds; it has no recipe of its own yet.
    assert set(FAMILIES) - {"over_time"} <= met
