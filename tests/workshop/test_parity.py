"""Parity: what a file may be off, and what is never let pass."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from bundles import EXPRESSION
from conftest import SMALL

from converters.building.parity import Parity, difference, format_parity, off_by, prove
from converters.checkpoints.archive import UnreachableError
from converters.recipes.reading import read_recipe
from converters.recipes.schema import Recipe
from edgeface.bundle import Bundle
from edgeface.errors import BundleError, EdgefaceError


def parity(*, shapes: int = 3, real: float = 0.1, random: float = 0.0, network: str = EXPRESSION) -> Parity:
    path = f"{network}.int8.onnx"
    return Parity(network=network, path=path, shapes=shapes, real=real, random=random, allowed=0.2)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_what_is_no_number_or_of_another_shape_is_infinitely_off(precision: str) -> None:
    expected = np.ones((2, 3), np.float32)
    spoiled = expected.copy()
    spoiled[0, 0] = np.nan
    assert difference(spoiled, expected, precision) == np.inf  # type: ignore[arg-type]
    assert difference(np.ones((2, 1), np.float32), expected, precision) == np.inf  # type: ignore[arg-type]
    assert difference(expected, expected, precision) == 0  # type: ignore[arg-type]
    assert difference(expected, spoiled, precision) == np.inf  # type: ignore[arg-type]
    assert difference(spoiled, spoiled, precision) == 0  # type: ignore[arg-type]
    assert not parity(real=float("inf")).holds


def test_random_pixels_count_as_much_as_a_picture() -> None:
    assert parity().holds
    assert not parity(random=0.3).holds
    assert "3 shapes  OFF" in format_parity(parity(real=0.3))
    assert "in its self-test" in format_parity(parity(shapes=0))


def test_a_file_that_is_off_is_named_with_its_layer(classic_files: Bundle) -> None:
    text = str(off_by(read_recipe("classic"), classic_files, parity(real=0.3, network=SMALL)))
    assert text.startswith(f"{SMALL}.int8.onnx is off by 0.3000, most at ")
    assert "\n" not in text


def test_a_build_proves_what_it_made(recipe: Recipe, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("converters.building.parity.verify_bundle", lambda *_, **__: iter([parity(), parity(real=0.5)]))
    with pytest.raises(EdgefaceError, match=rf"{EXPRESSION}\.int8\.onnx is off by 0\.5"):
        prove(recipe, bundle)


@pytest.mark.parametrize("kind", [EdgefaceError, BundleError, UnreachableError])
def test_errors_come_out_of_another_process_as_they_went_in(kind: type[EdgefaceError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what", fix="the fix")))
    assert type(error) is kind
    assert (str(error), error.what, error.fix) == ("what; the fix", "what", "the fix")
