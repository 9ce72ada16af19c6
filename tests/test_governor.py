"""The governor: down in order, back within a minute, and no swinging at a constant load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.engine.governor import DOWN_S, UP_S, Reading, State, step
from edgeface.engine.levels import FULL, LEVELS, Costs, Level, demand, usable

LOOK_S = 2.0
HOT_C = 80.0
BEGINNING = State()

Board = Callable[[float, Level], Reading]


def run(board: Board, *, seconds: float, state: State = BEGINNING) -> Iterator[tuple[float, State]]:
    """Every look at a board in some seconds, and where the governor then stands."""
    for number in range(int(seconds / LOOK_S) + 1):
        now_s = number * LOOK_S
        state = step(state, board(now_s, LEVELS[state.level]), LEVELS, hot_c=HOT_C)
        yield now_s, state


def levels(board: Board, *, seconds: float, state: State = BEGINNING) -> list[int]:
    return [state.level for _, state in run(board, seconds=seconds, state=state)]


def at(degrees: float, *troubles: str) -> Board:
    return lambda now_s, _: Reading(time_s=now_s, temperature=degrees, troubles=troubles)


def cost(level: Level, *, rate: float, detect_s: float, frame_s: float, answer_s: float, shrunk: float = 1.0) -> Costs:
    """What a board tells at a level, of what it would all cost at the first."""
    return Costs(
        rate=rate,
        detect_s=detect_s / (shrunk if level.smallest else 1.0),
        frame_s=frame_s,
        answer_s=answer_s / level.sampling,
        shrunk=shrunk,
    )


def busy(**costs: float) -> Board:
    return lambda now_s, level: Reading(time_s=now_s, costs=cost(level, **costs))


def deepest() -> State:
    return State(level=len(LEVELS) - 1, causes=("heat",))


def test_heat_takes_every_level_in_order() -> None:
    passed = levels(at(85.0), seconds=200)
    assert passed[0] == 0
    assert list(dict.fromkeys(passed)) == list(range(len(LEVELS)))


def test_a_step_down_takes_as_long_as_its_cause_must_last() -> None:
    times = [now_s for now_s, state in run(at(85.0), seconds=30) if state.level == 1]
    assert times[0] == DOWN_S["heat"]
    times = [now_s for now_s, s in run(busy(rate=30, detect_s=0.05, frame_s=0.0, answer_s=0.0), seconds=30) if s.level]
    assert times[0] == DOWN_S["load"]


def test_it_is_back_within_a_minute_of_the_causes_end_in_the_reverse_order() -> None:
    passed = levels(at(40.0), seconds=60, state=deepest())
    assert list(dict.fromkeys(passed)) == list(range(len(LEVELS) - 1, -1, -1))
    back_s = passed.index(0) * LOOK_S
    assert (len(LEVELS) - 1) * UP_S <= back_s < 50


@pytest.mark.parametrize("trouble", ["frequency capped", "throttled", "temperature limit"])
def test_what_the_firmware_says_of_heat_is_a_cause(trouble: str) -> None:
    assert step(State(), at(50.0, trouble)(0.0, FULL), LEVELS, hot_c=HOT_C).causes == ("heat",)


def test_so_is_under_voltage() -> None:
    assert levels(at(50.0, "under-voltage"), seconds=200)[-1] == len(LEVELS) - 1
    assert step(State(), at(50.0, "under-voltage")(0.0, FULL), LEVELS, hot_c=HOT_C).causes == ("power",)


def test_what_was_hot_must_be_cooler_by_some_degrees() -> None:
    assert set(levels(at(77.0), seconds=100, state=deepest())) == {deepest().level}
    assert set(levels(at(77.0), seconds=100)) == {0}
    assert levels(at(74.0), seconds=100, state=deepest())[-1] == 0


def test_no_degree_is_too_hot_where_heat_is_off() -> None:
    state = State()
    for now_s in range(100):
        state = step(state, at(120.0)(float(now_s), FULL), LEVELS, hot_c=None)
    assert state.level == 0


def test_one_glitch_of_a_sensor_changes_nothing() -> None:
    def board(now_s: float, _: Level) -> Reading:
        return Reading(time_s=now_s, temperature=120.0 if now_s == 10 else 50.0)

    assert set(levels(board, seconds=100)) == {0}


def test_a_level_that_changes_nothing_is_left_out() -> None:
    assert [level.name for level in usable(smaller_input=False)] == [
        level.name for level in LEVELS if level.name != "smallest input"
    ]
    assert usable(smaller_input=True) == list(LEVELS)


def test_every_level_does_no_more_than_the_one_before() -> None:
    for before, after in pairwise(LEVELS):
        assert after.sampling >= before.sampling
        assert after.every >= before.every
        assert (after.smallest, after.one_call) >= (before.smallest, before.one_call)
        assert after != before


shares = st.floats(0, 1)
loads: st.SearchStrategy[dict[str, float]] = st.builds(
    dict,
    rate=st.floats(1, 60),
    detect_s=st.floats(0, 0.5),
    frame_s=st.floats(0, 0.05),
    answer_s=st.floats(0, 5),
    shrunk=st.floats(1, 16),
)


@given(loads)
def test_at_a_constant_load_it_settles_and_stays(costs: dict[str, float]) -> None:
    passed = levels(busy(**costs), seconds=600)
    settled = passed[100:]
    assert set(settled) == {settled[0]}
    assert all(after - before in (0, 1) for before, after in pairwise(passed))


@given(loads, st.integers(0, len(LEVELS) - 1))
def test_from_wherever_it_begins_it_moves_one_way_only(costs: dict[str, float], level: int) -> None:
    passed = levels(busy(**costs), seconds=600, state=State(level=level))
    moves = {after - before for before, after in pairwise(passed)} - {0}
    assert len(moves) <= 1


@given(loads, st.integers(1, len(LEVELS) - 1))
def test_when_the_load_is_gone_everything_is_done_within_a_minute(costs: dict[str, float], level: int) -> None:
    state = State(level=level, causes=("load",), since_s=-1.0)
    idle = {**costs, "detect_s": 0.001, "frame_s": 0.0, "answer_s": 0.01, "shrunk": 4.0}
    assert levels(busy(**idle), seconds=60, state=state)[-1] == 0


@given(st.lists(st.floats(20, 100), min_size=30, max_size=120), st.floats(0, 0.1))
def test_whatever_happens_levels_are_passed_one_by_one(degrees: list[float], detect_s: float) -> None:
    state, before = State(), 0
    for number, temperature in enumerate(degrees):
        costs = cost(LEVELS[state.level], rate=20, detect_s=detect_s, frame_s=0.001, answer_s=0.1)
        reading = Reading(time_s=number * LOOK_S, costs=costs, temperature=temperature)
        state = step(state, reading, LEVELS, hot_c=HOT_C)
        assert abs(state.level - before) <= 1
        assert 0 <= state.level < len(LEVELS)
        before = state.level


@given(loads, st.integers(1, len(LEVELS) - 1))
def test_what_the_level_above_would_take_is_never_put_too_low(costs: dict[str, float], level: int) -> None:
    now, above = LEVELS[level], LEVELS[level - 1]
    told = demand(cost(now, **costs), now=now, at=above)
    true = cost(above, **costs)
    assert told >= demand(true, now=above, at=above) * (1 - 1e-9)
