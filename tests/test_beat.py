"""When `health` is due."""

from __future__ import annotations

from typing import Any

from people import told

from edgeface.events import Problem
from edgeface.publish.outbox import Outbox
from edgeface.service.beat import HealthBeat, Problems
from edgeface.service.standing import Look

FINE: list[Problem] = []
AWAY = [Problem(about="camera", text="camera door is away")]
OUTBOX = Outbox(node="hall", boot="b007", capacity=100)


def test_each_minute_and_soon_after_a_change() -> None:
    beat, now, told_at = HealthBeat(every_s=60, extra_s=10), FINE, []
    # The camera goes after 5 s, comes back after 7 s, goes for good after 100 s.
    for tenth in range(2000):
        at_s = tenth / 10
        now = AWAY if 5 <= at_s < 7 or at_s >= 100 else FINE
        if beat.due(at_s, [now].pop):
            beat.told(at_s, now)
            told_at.append((round(at_s), now is AWAY))
    assert told_at == [(0, False), (5, True), (15, False), (75, False), (100, True), (160, True)]


def test_it_looks_once_a_second() -> None:
    beat, asked = HealthBeat(every_s=60, extra_s=10), iter([FINE] * 10)
    beat.told(0.0, FINE)
    for tenth in range(100):
        assert not beat.due(tenth / 10, lambda: next(asked))
    assert next(asked, None) is None


def see(problems: Problems, now_s: float = 0.0, **values: Any) -> list[tuple[str, str]]:
    found = problems.see(now_s, **{"looks": {}, "outbox": OUTBOX, "invalid": {}, "error": None, **values})
    return [(one.about, one.text) for one in found]


def test_what_is_wrong() -> None:
    looks = {"door": Look(status="away", frames=0), "desk": Look(status="running", frames=3)}
    assert see(Problems(), looks=looks, invalid={"yunet": 0}) == [("camera", "camera door is away")]
    covered = {"door": Look(status="running", frames=3, view="covered")}
    assert see(Problems(), looks=covered) == [("camera", "camera door is covered")]
    at_night = {
        "door": Look(status="running", frames=3, view="dark"),
        "desk": Look(status="paused", frames=3, view="moved"),
    }
    assert see(Problems(), looks=at_night) == []
    assert see(Problems(), error="no", throttled=["under-voltage"]) == [
        ("configuration", "the configuration was not taken: no"),
        ("board", "board: under-voltage"),
    ]
    less = "less is done (the board is too hot): networks look at each person half as often"
    assert see(Problems(), degraded=less) == [("degraded", less)]


def test_a_count_is_a_problem_for_an_hour_after_it_has_grown() -> None:
    """Counts never fall: a bad answer of three weeks ago is none of today's problems."""
    problems, wrong = Problems(), [("network", "network yunet gives what is no answer")]
    assert see(problems, 0.0, invalid={"yunet": 2}) == wrong
    assert see(problems, 3500.0, invalid={"yunet": 3}) == wrong
    assert see(problems, 7000.0, invalid={"yunet": 3}) == wrong
    assert see(problems, 7200.0, invalid={"yunet": 3}) == []
    # A reload counts anew.
    assert see(problems, 7300.0, invalid={"yunet": 0}) == []
    assert see(problems, 7400.0, invalid={"yunet": 1}) == wrong


def test_what_was_refused_and_then_taken_is_a_problem_no_more() -> None:
    problems, outbox = Problems(), Outbox(node="hall", boot="b007", capacity=100)
    outbox.accept(told("start"))
    entry = outbox.take()
    assert entry is not None
    outbox.reject(entry)
    assert see(problems, 0.0, outbox=outbox) == [("refused", "the broker refuses messages")]
    outbox.release(entry.suffix)
    assert see(problems, 1.0, outbox=outbox) == []


def test_visits_that_were_dropped_are_a_problem() -> None:
    outbox = Outbox(node="hall", boot="b007", capacity=1)
    outbox.accept(told("start"))
    outbox.accept(told("end"))
    assert see(Problems(), outbox=outbox) == [("dropped", "messages on visits were dropped")]
