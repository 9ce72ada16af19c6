"""`search`: which way, which layers, and that it goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from converters.search import Score, State, Way, rank_layers, search, table
from edgeface.errors import EdgefaceError

WAYS = [Way(calibration=c, equalise=e) for e in (False, True) for c in ("average", "minmax")]
BEST = Way(calibration="average", equalise=True)
HARM = {"stem": 0.9, "body.1": 0.1, "body.2": 0.05, "head": 0.6, "tail": 0.0, "last": 0.0}
"""Points that each layer costs in int8."""


def loss(way: Way, kept: Sequence[str]) -> Score:
    """Points add up; every way but one adds one more."""
    total = sum(cost for layer, cost in HARM.items() if layer not in kept) + (way != BEST)
    return Score(worst=total, mean=total / 2)


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
    found = search(WAYS, lambda _: list(HARM), loss, loss, tolerance)
    assert found.quantize.keep == kept
    assert (found.quantize.calibration, found.quantize.equalise) == ("average", True)
    assert found.search.worst < tolerance
    assert len(found.ways) == 4
    if kept:
        assert [rank.layer for rank in found.ranks[:2]] == ["stem", "head"]


def test_a_tolerance_out_of_reach_is_one_line() -> None:
    with pytest.raises(EdgefaceError, match=r"3 float layers still lose 0\.050, 0\.01 is allowed; fine-tune") as caught:
        search(WAYS, lambda _: list(HARM), loss, loss, 0.01)
    assert "\n" not in str(caught.value)


def test_a_layer_is_ranked_by_what_it_costs_alone() -> None:
    asked: list[Sequence[str]] = []

    def rank(way: Way, kept: Sequence[str]) -> Score:
        asked.append(kept)
        return loss(way, kept)

    ranks = rank_layers(list(HARM), BEST, rank)
    assert all(len(kept) == len(HARM) - 1 for kept in asked)
    assert [place.layer for place in ranks[:3]] == ["stem", "head", "body.1"]
    assert ranks[0].loss == pytest.approx(0.45)


def test_an_interrupted_search_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "states" / "small.json"
    measured: list[str] = []

    def measuring(state: State, *, stop_at: int | None = None) -> Callable[[Way, Sequence[str]], Score]:
        def measure(way: Way, kept: Sequence[str]) -> Score:
            def work() -> Score:
                if len(measured) == stop_at:
                    raise KeyboardInterrupt
                measured.append(f"{way} {sorted(kept)}")
                return loss(way, kept)

            return state.score(f"{way} {sorted(kept)}", work)

        return measure

    with pytest.raises(KeyboardInterrupt):
        broken = measuring(State(path), stop_at=7)
        search(WAYS, lambda _: list(HARM), broken, broken, 0.15)
    whole = measuring(State(path))
    found = search(WAYS, lambda _: list(HARM), whole, whole, 0.15)
    assert found.quantize.keep == ("^body\\.1$", "^head$", "^stem$")
    assert len(measured) == len(set(measured)), "something was measured twice"
    State(path, again=True).score("fresh", lambda: Score(worst=0, mean=0))
    assert "average" not in path.read_text("utf-8")


def test_the_table_names_ways_layers_and_both_halves() -> None:
    text = table("small", "onnx", search(WAYS, lambda _: list(HARM), loss, loss, 0.2))
    for words in ("average, equalised", "minmax", "stem", "^head$, ^stem$", "search half 0.150"):
        assert words in text
