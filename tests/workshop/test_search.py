"""`search`: which way, which layers, and that it goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL
from tiny import write_tiny

from converters.__main__ import main
from converters.building.maker import Maker
from converters.evaluation.runners import RecordingRunner
from converters.export.ranges import Measured, Pictures, RangesFile, read_ranges
from converters.quantization import calibrate
from converters.quantization import search_subject as searching
from converters.quantization.compare_variants import load, normalised_error
from converters.quantization.search import ErrorMeasure, Measure, layer_sensitivities, search, table
from converters.quantization.search_state import Scheme, Score, State, read_lock
from converters.recipes.reading import lock_path
from converters.recipes.schema import Quantize, Recipe
from edgeface.bundle import Bundle, choose_file
from edgeface.config import RuntimeName
from edgeface.errors import EdgefaceError
from edgeface.runtime import run_faces

WAYS = [Scheme(calibration=c, equalise=e) for e in (False, True) for c in ("average", "minmax")]
BEST = Scheme(calibration="average", equalise=True)
HARM = {"stem": 0.9, "body.1": 0.1, "body.2": 0.05, "head": 0.6, "tail": 0.0, "last": 0.0}
"""Points that each layer costs in int8."""


def loss(scheme: Scheme, kept: Sequence[str]) -> Score:
    """Points add up; every way but one adds one more."""
    total = sum(cost for layer, cost in HARM.items() if layer not in kept) + (scheme != BEST)
    return Score(worst=total, mean=total / 2)


def movement(scheme: Scheme, kept: Sequence[str]) -> float:
    """Outputs move as the loss does."""
    return loss(scheme, kept).mean


@pytest.mark.parametrize(
    ("tolerance", "kept"),
    [
        pytest.param(2.0, (), id="nothing needs to stay float"),
        pytest.param(0.8, ("^stem$",), id="the worst layer"),
        pytest.param(0.2, ("^head$", "^stem$"), id="the two worst"),
        pytest.param(0.15, ("^body\\.1$", "^head$", "^stem$"), id="names are matched as they stand"),
    ],
)
def test_the_worst_layers_stay_float_until_the_tolerance_holds(tolerance: float, kept: tuple[str, ...]) -> None:
    found = search(WAYS, lambda _: list(HARM), loss, movement, tolerance)
    assert found.quantize.keep == kept
    assert (found.quantize.calibration, found.quantize.equalise) == ("average", True)
    assert found.search.worst < tolerance
    assert len(found.schemes) == 4
    if kept:
        assert [sensitivity.layer for sensitivity in found.sensitivities[:2]] == ["stem", "head"]


def test_a_tolerance_out_of_reach_is_one_line() -> None:
    with pytest.raises(EdgefaceError, match=r"3 float layers still lose 0\.050, 0\.01 is allowed; fine-tune") as caught:
        search(WAYS, lambda _: list(HARM), loss, movement, 0.01)
    assert "\n" not in str(caught.value)


def test_layers_that_are_not_needed_go_back_into_int8() -> None:
    """`body.2` costs nothing once the stem, which fed it noise, is float; only the order by rank took it first."""

    def measure(scheme: Scheme, kept: Sequence[str]) -> Score:
        plain = 0.0 if "stem" in kept else 1.0 - 0.2 * ("body.2" in kept)
        return Score(worst=plain + 0.3 * ("head" not in kept), mean=0.0)

    def sensitivity(_way: Scheme, kept: Sequence[str]) -> float:
        (alone,) = set(HARM) - set(kept)
        return {"body.2": 3.0, "head": 2.0, "stem": 1.0}.get(alone, 0.0)

    found = search([BEST], lambda _: list(HARM), measure, sensitivity, 0.25)
    assert found.quantize.keep == ("^head$", "^stem$")
    assert found.search.worst == 0.0
    assert [place.layer for place in found.sensitivities[:3]] == ["body.2", "head", "stem"]


def test_a_layer_is_ranked_by_what_it_costs_alone() -> None:
    asked: list[Sequence[str]] = []

    def sensitivity(scheme: Scheme, kept: Sequence[str]) -> float:
        asked.append(kept)
        return movement(scheme, kept)

    sensitivities = layer_sensitivities(list(HARM), BEST, sensitivity)
    assert all(len(kept) == len(HARM) - 1 for kept in asked)
    assert [place.layer for place in sensitivities[:3]] == ["stem", "head", "body.1"]
    assert sensitivities[0].normalised_error == pytest.approx(0.45)


def test_an_interrupted_search_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "states" / "small.json"
    measured: list[str] = []

    def measuring(state: State, *, stop_at: int | None = None) -> tuple[Measure, ErrorMeasure]:
        def working(key: str) -> None:
            if len(measured) == stop_at:
                raise KeyboardInterrupt
            measured.append(key)

        def measure(scheme: Scheme, kept: Sequence[str]) -> Score:
            def work() -> Score:
                working(key)
                return loss(scheme, kept)

            return state.score(key := f"loss {scheme} {sorted(kept)}", work)

        def sensitivity(scheme: Scheme, kept: Sequence[str]) -> float:
            def work() -> float:
                working(key)
                return movement(scheme, kept)

            return state.error(key := f"moved {scheme} {sorted(kept)}", work)

        return measure, sensitivity

    with pytest.raises(KeyboardInterrupt):
        search(WAYS, lambda _: list(HARM), *measuring(State(path), stop_at=7), 0.15)
    found = search(WAYS, lambda _: list(HARM), *measuring(State(path)), 0.15)
    assert found.quantize.keep == ("^body\\.1$", "^head$", "^stem$")
    assert len(measured) == len(set(measured)), "something was measured twice"
    State(path, again=True).score("fresh", lambda: Score(worst=0, mean=0))
    assert "average" not in path.read_text("utf-8")


def test_the_table_names_ways_layers_and_both_halves() -> None:
    text = table("small", "onnx", search(WAYS, lambda _: list(HARM), loss, movement, 0.2))
    for words in ("average, equalised", "minmax", "stem", "^head$, ^stem$", "search half 0.150"):
        assert words in text


def test_how_far_outputs_move_has_no_unit_and_no_sign() -> None:
    before = [
        {"a": np.array([0, 2], np.float32), "b": np.array([[10, 30]], np.float32)},
        {"a": np.array([4, 6], np.float32), "b": np.array([[50]], np.float32)},
    ]
    assert normalised_error(before, before) == 0
    # Variances are 5 and 800/3; every value of `a` is off by 1, and one of three of `b` by 20.
    after = [
        {"a": np.array([1, 1], np.float32), "b": np.array([[10, 10]], np.float32)},
        {"a": np.array([5, 5], np.float32), "b": np.array([[50]], np.float32)},
    ]
    assert normalised_error(before, after) == pytest.approx((1 / 5 + (400 / 3) / (800 / 3)) / 2)
    assert normalised_error([{"a": np.array([3], np.float32)}], [{"a": np.array([5], np.float32)}]) == 4, (
        "a constant has no variance"
    )


def test_a_listener_hears_what_the_file_gives(classic_files: Bundle) -> None:
    network = classic_files.network(SMALL)
    side, recorded = network.input.width or 0, {}
    for precision in ("fp32", "int8"):
        file = choose_file(network, "onnx", precision)
        recorder = RecordingRunner(load(classic_files.folder / file.path, file))
        pixels = np.random.default_rng(3).integers(0, 256, (9, side, side, 1), np.uint8)
        (output, given), *_ = run_faces(recorder, network, pixels).items()
        recorded[precision] = recorder.recorded
        np.testing.assert_array_equal(np.concatenate([part[output] for part in recorder.recorded])[:9], given)
    assert 0 < normalised_error(recorded["fp32"], recorded["int8"]) < 1


def test_a_second_runtime_that_fails_leaves_the_first_with_its_ranges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_tiny(tmp_path)
    both = 'files = { onnx = ["fp32", "int8"], litert = ["fp32", "int8"] }'
    recipe.write_text(recipe.read_text("utf-8").replace('files = { onnx = ["fp32", "int8w"] }', both), "utf-8")

    class Subject:
        schemes = (BEST,)

        def __init__(self, _maker: Maker, _recipe: Recipe, runtime: str, *_: object, **__: object) -> None:
            self._loss = {"onnx": 0.1, "litert": 5.0}[runtime]

        def layers(self, _way: Scheme) -> list[str]:
            return list(HARM)

        def measure(self, *_: object) -> Score:
            return Score(worst=self._loss, mean=self._loss)

        def sensitivity(self, *_: object) -> float:
            return self._loss

        decide = measure

    def ranges(_maker: Maker, schemes: dict[RuntimeName, Quantize], **_: object) -> RangesFile:
        measured = {
            name: Measured(method=how.calibration, equalise=how.equalise, graphs={}) for name, how in schemes.items()
        }
        return RangesFile(network="tiny", pictures=Pictures(set="made", count=1, seed=0, sha256="0"), runtimes=measured)

    monkeypatch.setattr(searching, "Subject", Subject)
    monkeypatch.setattr(calibrate, "measure", ranges)
    monkeypatch.setattr("converters.quantization.compare_variants.Crops", lambda *_, **__: None)
    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path / "states"))
    assert main(["search", str(recipe), "--tolerance", "0.5"]) == 1
    assert "float layers still lose 5.000, 0.5 is allowed" in capsys.readouterr().err
    locked = read_lock(lock_path(recipe, "tiny"))
    assert list(locked) == ["onnx"]
    found = read_ranges(tmp_path / "tiny.ranges.json", "onnx", "average", equalise=True)
    assert (found.method, found.equalise) == (locked["onnx"].quantize.calibration, locked["onnx"].quantize.equalise)
