"""How large int8 files are: most of what a network weighs is saved, and a further input size costs little."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from bundles import AGE, EXPRESSION

from converters.building.maker import Maker
from converters.paths import BUNDLE
from converters.recipes.schema import Prepared, Recipe
from edgeface.bundle import Bundle, open_bundle
from edgeface.config import RuntimeName

LARGE_NETWORK = 300_000
"""Parameters above which names, scales and float biases weigh little."""
SHARE = 0.4
SIGNATURE_BYTES = 150_000
"""Most that a further input size adds; measured: 25,856."""


def litert_bytes(recipe: Recipe, sizes: tuple[tuple[int, int], ...]) -> dict[str, int]:
    network = msgspec.structs.replace(recipe.networks["retinaface"], prepared=Prepared(sizes=sizes))
    maker = Maker("retinaface", msgspec.structs.replace(recipe, networks={"retinaface": network}))
    return {precision: maker.file("litert", precision).stat().st_size for precision in ("fp32", "int8")}


@pytest.mark.timeout(900)
def test_retinaface_in_int8(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path))
    one = litert_bytes(recipe, ((320, 320),))
    assert one["int8"] <= SHARE * one["fp32"]
    two = litert_bytes(recipe, ((320, 320), (320, 192)))
    assert two["int8"] - one["int8"] <= SIGNATURE_BYTES


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
def test_shipped_files_of_large_networks(bundle: Bundle, runtime: RuntimeName) -> None:
    met = set()
    for network in bundle.manifest.networks:
        for file in network.files[runtime]:
            if network.parameters > LARGE_NETWORK and file.precision == "int8":
                # Beside four bytes a parameter: not every network ships in float, too.
                assert file.bytes <= SHARE * 4 * network.parameters, network.name
                met.add(network.name)
    assert met == {"retinaface", AGE, EXPRESSION}


def test_the_bundle_keeps_its_size(recipe: Recipe) -> None:
    total = sum(path.stat().st_size for path in BUNDLE.rglob("*") if path.is_file())
    assert total <= (recipe.bundle.max_bytes or 0) == 15_000_000
    assert open_bundle(BUNDLE).manifest.name == "default"
