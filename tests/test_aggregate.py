"""With `privacy.least_count` nothing tells of fewer: summaries, totals, states, spool, what is announced."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from people import AGE, HAPPY, NOON, at, told, visit
from test_events import sent

from edgeface.config import Privacy
from edgeface.events import AggregateWindow, Body, Counted, StateMessage, SummaryMessage, faces_body, visit_body
from edgeface.events.aggregate import coarsened
from edgeface.questions import VisitAge, band_names, band_of
from edgeface.service.standing import Look, Standing
from edgeface.types import Reason
from edgeface.visit import VisitChange

BANDS = (18, 35, 55)
NAMES = band_names(BANDS)
RUNNING = Look(status="running", frames=1)
SECRET = Privacy(least_count=3)


def end(name: str, *, years: float | None = None, time_s: float = 1.0, reason: Reason = "lost", **known: Any) -> Any:
    if years is not None:
        known["age"] = VisitAge(years=years, low=years, high=years, spread=None, samples=3)
    return VisitChange(event="end", visit=visit(id=name, ended_s=time_s, **known), time_s=time_s, reason=reason)


def window(least: int = 3, length_s: float = 60.0) -> AggregateWindow:
    return AggregateWindow("main", start_s=0.0, length_s=length_s, least=least, bands=BANDS)


def closed(window: AggregateWindow, time_s: float) -> SummaryMessage | None:
    body = window.body(time_s, at=at(time_s), started_at=at)
    return None if body is None else cast(SummaryMessage, body.message)


def test_bands() -> None:
    assert NAMES == ("0-17", "18-34", "35-54", "55+")
    assert [band_of(years, BANDS) for years in (0, 17.94, 17.96, 18, 54.9, 55, 99)] == [
        *("0-17", "0-17", "18-34", "18-34", "35-54", "55+", "55+"),
    ]


def test_fewer_than_k_are_not_told_of_and_the_window_goes_on() -> None:
    one = window()
    one.observe([end("a", years=20), end("b", years=40)], [visit(id="c", age=AGE)])
    assert not one.due(59.9)
    assert one.due(60.0)
    assert closed(one, 60.0) is None
    # Not asked again before another period is over: the moment of the third is nobody's business.
    one.observe([end("c", years=41)], [])
    assert not one.due(119.9)
    assert one.due(120.0)
    told = closed(one, 120.0)
    assert told is not None
    assert (told.out, told.in_, told.in_view) == (3, None, None)
    assert told.from_ == "2026-03-14T12:00:00.000Z" and told.to == "2026-03-14T12:02:00.000Z"
    # Everybody was told once: the next begins with nobody.
    assert closed(one, 180.0) is None


def test_an_age_band_of_fewer_is_among_the_unknown() -> None:
    one = window()
    one.observe([end(str(years), years=years) for years in (20, 21, 22, 23, 60)], [])
    told = closed(one, 60.0)
    assert told is not None
    # One alone is unknown would be told by the rest.
    assert told.ages == {**dict.fromkeys(NAMES, 0), "unknown": 5}


def test_expressions_are_told_of_k_or_not_at_all() -> None:
    for happy, shares in ((2, None), (3, {"happy": 0.75, "neutral": 0.25})):
        one = window()
        one.observe([end(str(i), expression=HAPPY) for i in range(happy)] + [end("x")] * 3, [])
        message = closed(one, 60.0)
        assert message is not None and message.expressions == shares


@given(st.dictionaries(st.sampled_from((*NAMES, "unknown")), st.integers(0, 12)), st.integers(2, 6))
def test_no_count_is_small_and_none_follows_from_the_others(counts: dict[str, int], least: int) -> None:
    if sum(counts.values()) < least:
        return
    told = coarsened(counts, NAMES, least=least)
    assert sum(told.values()) == sum(counts.values())
    assert all(count == 0 or count >= least for count in told.values())
    assert all(told[name] in (0, counts.get(name, 0)) for name in NAMES)


class Node:
    """What passes through to the outbox."""

    def __init__(self, folder: Path, privacy: Privacy = SECRET) -> None:
        self.now_s = 0.0
        self.standing = Standing(folder, now=lambda: at(self.now_s), clock=lambda: self.now_s)
        self.standing.begin("hall", {"main": Counted()}, live=["main"], privacy=privacy)
        self.out: list[Body] = []

    def pass_on(self, *bodies: Body) -> None:
        self.out += self.standing.through(bodies)

    def state(self, look: Look = RUNNING) -> StateMessage | None:
        self.now_s += 1.0
        bodies = self.standing.news({"main": look})
        self.out += bodies
        for body in bodies:
            sent(body)
        return cast(StateMessage, bodies[0].message) if bodies else None


def summary(out: int, time_s: float) -> Body:
    one = window(least=2)
    one.observe([end(str(i)) for i in range(out)], [])
    body = one.body(time_s, at=at(time_s), started_at=at)
    assert body is not None
    return body


def test_nothing_of_a_single_visit_passes_and_totals_wait_for_their_summary(tmp_path: Path) -> None:
    node = Node(tmp_path)
    faces = faces_body("main", 640, 360, [visit()], at=NOON)
    first = node.state()
    assert first is not None
    assert (first.status, first.occupied, first.count, first.age, first.expression) == ("running", *[None] * 4)
    for number in range(3):
        node.pass_on(told("start", str(number)), told("update", str(number)), faces, told("end", str(number)))
        assert node.state() is None, "nobody's coming and going may be seen in a message"
        assert not (tmp_path / "today-hall.json").exists(), "nor on the disk"
    assert {body.kind for body in node.out} == {"state"}
    node.pass_on(summary(3, 60.0))
    message = cast(SummaryMessage, node.out[-1].message)
    assert message.today is not None and message.today.visits == 3 == message.out
    assert message.today.seconds == 6.0
    after = node.state()
    assert after is not None and after.today == message.today and after.occupied is None
    assert (tmp_path / "today-hall.json").exists()


def test_without_it_everything_passes(tmp_path: Path) -> None:
    node = Node(tmp_path, Privacy())
    node.pass_on(told("start"), faces_body("main", 640, 360, [visit()], at=NOON), told("end"))
    assert Counter(body.kind for body in node.out) == {"visits": 2, "faces": 1}


def test_a_state_tells_the_band_of_most_and_no_years(tmp_path: Path) -> None:
    node = Node(tmp_path, Privacy(age_bands=BANDS))
    for number, years in enumerate((20.0, 60.0, 61.0)):
        age = VisitAge(years=years, low=10.0, high=70.0, spread=None, samples=3)
        change = VisitChange(event="start", visit=visit(id=str(number), age=age), time_s=1.0)
        node.pass_on(visit_body(change, at=NOON, started_at=at, bands=BANDS))
    visits = [cast(Any, body.message) for body in node.out]
    assert [(message.age, message.age_band) for message in visits] == [(None, "18-34"), (None, "55+"), (None, "55+")]
    for body in node.out:
        assert "years" not in str(sent(body))
    state = node.state()
    assert state is not None and (state.age, state.age_band) == (None, "55+")


def test_a_pause_stands_in_the_state_with_its_reason(tmp_path: Path) -> None:
    node = Node(tmp_path, Privacy())
    node.state()
    paused = node.state(Look(status="paused", frames=1, paused="hours"))
    assert paused is not None
    assert (paused.status, paused.paused, paused.occupied, paused.count) == ("paused", "hours", None, None)
    again = node.state()
    assert again is not None and not isinstance(again.paused, str)
