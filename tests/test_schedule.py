"""When a network looks at whom."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from bundles import AGE, DEFAULT
from hypothesis import given
from hypothesis import strategies as st

from edgeface.bundle import Network, State, Time, open_bundle
from edgeface.config import Config, ScheduleChoice
from edgeface.errors import ConfigError
from edgeface.people.schedule import Inference, Scheduler, choose_schedule
from edgeface.questions import QUESTIONS, Schedule

SCHEDULE = Schedule(interval=4.0, initial_interval=0.2, initial_samples=3, improvement=1.5)


def sampled(scheduler: Scheduler, fps: float, seconds: float, quality: float = 0.5) -> list[float]:
    """Times at which track 1 is sampled."""
    times = (index / fps for index in range(int(seconds * fps)))
    return [time_s for time_s in times if scheduler.due(time_s, {1: quality})]


def pairs(due: list[Inference]) -> list[tuple[str, int]]:
    return [(inference.network, inference.track) for inference in due]


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_first_samples_come_soon_then_every_few_seconds(fps: float) -> None:
    times = sampled(Scheduler({"age": SCHEDULE}), fps, 10)
    assert times[0] == 0
    assert times[2] == pytest.approx(0.4, abs=2 / fps)
    assert [round(b - a) for a, b in pairwise(times[2:])] == [4, 4]


@pytest.mark.parametrize("first", range(8))
def test_a_frame_rate_that_divides_the_interval_costs_no_frame(first: int) -> None:
    """0.6 s - 0.4 s is a little less than 0.2 s in floating point."""
    scheduler = Scheduler({"age": SCHEDULE})
    assert [bool(scheduler.due((first + step) / 5, {1: 0.5})) for step in range(4)] == [True, True, True, False]


def test_a_view_that_stays_worthless_is_no_better_view() -> None:
    assert len(sampled(Scheduler({"age": SCHEDULE}), 10, 4.3, quality=0.0)) == 3


def test_a_better_view_is_sampled_early_and_once() -> None:
    scheduler = Scheduler({"age": SCHEDULE})
    for step in range(10):
        scheduler.due(step * 0.2, {1: 0.4})
    assert scheduler.due(2.0, {1: 0.59}) == []
    assert pairs(scheduler.due(2.1, {1: 0.61})) == [("age", 1)]
    assert scheduler.due(2.4, {1: 0.62}) == []


def test_a_better_view_does_not_come_faster_than_first_looks() -> None:
    scheduler = Scheduler({"age": SCHEDULE})
    assert pairs(scheduler.due(0.0, {1: 0.1})) == [("age", 1)]
    assert scheduler.due(0.1, {1: 0.9}) == []


def test_new_faces_go_first_and_the_rest_waits_its_turn() -> None:
    scheduler = Scheduler({"age": SCHEDULE}, budget=2)
    assert {look.track for look in scheduler.due(0.0, {1: 0.5, 2: 0.5, 3: 0.5})} == {1, 2}
    # Number 3 has never been looked at; 1 and 2 are due again as well.
    assert scheduler.deferred == 1
    assert scheduler.due(0.3, {1: 0.5, 2: 0.5, 3: 0.5})[0] == ("age", 3, float("inf"))


def test_every_network_has_its_own_pace() -> None:
    scheduler = Scheduler(
        {"age": SCHEDULE, "expression": Schedule(interval=0.5, initial_interval=0.2, initial_samples=1)}
    )
    assert {look.network for look in scheduler.due(0.0, {1: 0.5})} == {"age", "expression"}
    assert pairs(scheduler.due(0.25, {1: 0.5})) == [("age", 1)]
    assert {look.network for look in scheduler.due(0.6, {1: 0.5})} == {"age", "expression"}


@given(st.integers(1, 5), st.integers(1, 12), st.sampled_from([5, 10, 30]))
def test_a_budget_keeps_nobody_waiting_for_ever(budget: int, people: int, fps: int) -> None:
    scheduler = Scheduler({"age": Schedule(interval=1.0, initial_interval=0.1, initial_samples=2)}, budget=budget)
    last_s = dict.fromkeys(range(people), 0.0)
    patience_s = max(1.0, people / budget / fps) + 2 / fps
    for index in range(10 * fps):
        asked = scheduler.due(index / fps, dict.fromkeys(range(people), 0.5))
        assert len(asked) <= budget
        assert len(set(asked)) == len(asked)
        last_s.update({look.track: index / fps for look in asked})
        assert index / fps - min(last_s.values()) <= patience_s


def test_a_deferred_inference_stays_as_overdue() -> None:
    scheduler = Scheduler({"age": SCHEDULE})
    scheduler.due(0.0, {1: 0.5})
    assert pairs(scheduler.due(0.3, {1: 0.5, 2: 0.5})) == [("age", 2), ("age", 1)]
    scheduler.defer("age", 2)
    scheduler.defer("age", 1)
    assert scheduler.deferred == 2
    first, second = scheduler.due(0.4, {1: 0.5, 2: 0.5})
    assert first == ("age", 2, float("inf")), "never sampled"
    assert second[:2] == ("age", 1)
    assert second.overdue_s == pytest.approx(0.2)


def test_a_recurrent_network_keeps_its_beat_where_the_others_sample_more_rarely() -> None:
    beat = Schedule(interval=0.2, initial_interval=0.2)
    scheduler = Scheduler({"age": SCHEDULE, "beat": beat}, steady=["beat"])
    scheduler.slower = 4.0
    asked = [network for step in range(50) for network, _ in pairs(scheduler.due(step / 10, {1: 0.5}))]
    assert (asked.count("beat"), asked.count("age")) == (25, 3)


def test_a_network_that_rested_begins_anew_with_everybody() -> None:
    scheduler = Scheduler({"age": SCHEDULE, "mood": SCHEDULE})
    for step in range(30):
        scheduler.due(step / 10, {1: 0.5})
    scheduler.rest(["mood"])
    assert scheduler.due(3.0, {1: 0.5}) == []
    scheduler.rest([])
    assert scheduler.due(3.1, {1: 0.5}) == [Inference("mood", 1, float("inf"))]
    assert [pairs(scheduler.due(time_s, {1: 0.5})) for time_s in (3.3, 3.5, 3.7)] == [[("mood", 1)], [("mood", 1)], []]


def test_nobody_and_the_forgotten() -> None:
    scheduler = Scheduler({"age": SCHEDULE})
    assert scheduler.due(0.0, {}) == []
    scheduler.due(0.0, {1: 0.5})
    scheduler.forget([1, 99])
    assert pairs(scheduler.due(0.01, {1: 0.5})) == [("age", 1)]


def network(time: Time | None = None) -> Network:
    return msgspec.structs.replace(open_bundle(DEFAULT).network(AGE), time=time)


def test_a_network_of_several_answers_looks_as_often_as_the_most_impatient_wants() -> None:
    assert choose_schedule(network(), ["age"], Config()) == QUESTIONS["age"].schedule
    assert choose_schedule(network(), ["age", "affect"], Config()) == QUESTIONS["affect"].schedule
    config = Config(schedule={AGE: ScheduleChoice(initial_samples=7)})
    usual = QUESTIONS["affect"].schedule
    assert choose_schedule(network(), ["age", "affect"], config) == msgspec.structs.replace(usual, initial_samples=7)


def test_a_recurrent_network_keeps_the_beat_of_its_training() -> None:
    state = State(input="h", output="h_next", shape=(4,))
    recurrent = network(Time(spacing_s=0.5, window=20, states=(state,)))
    scheduler = Scheduler({AGE: choose_schedule(recurrent, ["age"], Config())})
    times = [index / 10 for index in range(30)]
    # The view gets better with every frame, which is no reason to look early.
    assert [t for t in times if scheduler.due(t, {1: 0.01 + t})] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    with pytest.raises(ConfigError, match=rf"{AGE} looks every 0.5 s, as in its training; remove \[schedule.{AGE}\]"):
        choose_schedule(recurrent, ["age"], Config(schedule={AGE: ScheduleChoice(interval=1.0)}))
