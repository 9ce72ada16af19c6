"""When a network looks at whom."""

from __future__ import annotations

import pytest

from edgeface.config import Schedule
from edgeface.schedule import Scheduler

SCHEDULE = Schedule(every=4.0, first=0.2, looks=3, better=1.5)


def looks(scheduler: Scheduler, fps: float, seconds: float, quality: float = 0.5) -> list[float]:
    """Times at which track 1 is looked at."""
    times = (index / fps for index in range(int(seconds * fps)))
    return [time_s for time_s in times if scheduler.due(time_s, {1: quality})]


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_first_looks_come_soon_then_every_few_seconds(fps: float) -> None:
    times = looks(Scheduler({"age": SCHEDULE}), fps, 10)
    assert times[0] == 0
    assert times[2] == pytest.approx(0.4, abs=2 / fps)
    assert [round(b - a) for a, b in zip(times[2:], times[3:], strict=False)] == [4, 4]


def test_a_better_view_is_looked_at_early_and_once() -> None:
    scheduler = Scheduler({"age": SCHEDULE})
    for step in range(10):
        scheduler.due(step * 0.2, {1: 0.4})
    assert scheduler.due(2.0, {1: 0.59}) == []
    assert scheduler.due(2.1, {1: 0.61}) == [("age", 1)]
    assert scheduler.due(2.4, {1: 0.62}) == []


def test_a_better_view_does_not_come_faster_than_first_looks() -> None:
    scheduler = Scheduler({"age": SCHEDULE})
    assert scheduler.due(0.0, {1: 0.1}) == [("age", 1)]
    assert scheduler.due(0.1, {1: 0.9}) == []


def test_new_faces_go_first_and_the_rest_waits_its_turn() -> None:
    scheduler = Scheduler({"age": SCHEDULE}, budget=2)
    assert {track for _, track in scheduler.due(0.0, {1: 0.5, 2: 0.5, 3: 0.5})} == {1, 2}
    # Number 3 has never been looked at; 1 and 2 are due again as well.
    assert scheduler.due(0.3, {1: 0.5, 2: 0.5, 3: 0.5})[0] == ("age", 3)


def test_every_network_has_its_own_pace() -> None:
    scheduler = Scheduler({"age": SCHEDULE, "expression": Schedule(every=0.5, first=0.2, looks=1)})
    assert {name for name, _ in scheduler.due(0.0, {1: 0.5})} == {"age", "expression"}
    assert scheduler.due(0.25, {1: 0.5}) == [("age", 1)]
    assert {name for name, _ in scheduler.due(0.6, {1: 0.5})} == {"age", "expression"}


def test_nobody_and_the_forgotten() -> None:
    scheduler = Scheduler({"age": SCHEDULE})
    assert scheduler.due(0.0, {}) == []
    scheduler.due(0.0, {1: 0.5})
    scheduler.forget([1, 99])
    assert scheduler.due(0.01, {1: 0.5}) == [("age", 1)]
