"""What is so now before a camera, and the totals of its day: in words that the visits themselves say."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from brokers import AnyBroker, Auditor, Mosquitto, eventually
from daemons import Child
from hypothesis import given
from hypothesis import strategies as st
from people import AGE, HAPPY, NOON, at, told, visit
from pretend_camera import CONFIG, PretendCamera
from publishing import Make
from test_events import sent

from edgeface.events import (
    Body,
    CameraState,
    Counted,
    StateMessage,
    SummaryWindow,
    Today,
    Totals,
    VisitMessage,
    visit_body,
)
from edgeface.questions import VisitAge, VisitExpression
from edgeface.service.standing import SAVE_S, Look, Standing
from edgeface.visit import VisitChange

NOTHING = Today(date="2026-03-14", visits=0, seconds=0.0)
RUNNING = Look(status="running", frames=1)


def message(body: Body) -> VisitMessage:
    return cast(VisitMessage, body.message)


def known(name: str, **values: Any) -> VisitMessage:
    change = VisitChange(event="start", visit=visit(id=name, **values), time_s=1.0)
    return message(visit_body(change, at=NOON, started_at=at))


class Watched:
    """A camera's state, asked once a second."""

    def __init__(self) -> None:
        self.state = CameraState("main")
        self.now_s = 0.0

    def ask(self, status: Any = "running", frames: int = 1, *, after_s: float = 1.0) -> StateMessage | None:
        self.now_s += after_s
        self.state.look(status, frames)
        body = self.state.news(at=NOON + timedelta(seconds=self.now_s), now_s=self.now_s, today=NOTHING)
        if body is None:
            return None
        sent(body)
        return cast(StateMessage, body.message)


def test_what_a_live_camera_shows_is_told_at_once_and_of_a_file_never() -> None:
    state = CameraState("main")
    told: list[Any] = []
    looks = [
        ("running", "clear"),
        ("running", "covered"),
        ("running", "covered"),
        ("away", "covered"),
        ("running", None),
    ]
    for second, (status, view) in enumerate(looks):
        state.look(cast(Any, status), 1 + second, view=cast(Any, view))
        body = state.news(at=NOON, now_s=2.0 * second, today=NOTHING)
        told.append(None if body is None else sent(body).get("view", "unsaid"))
    assert told == ["clear", "covered", None, None, "unsaid"]


def test_nobody_looks_before_the_first_frame() -> None:
    watched = Watched()
    first = watched.ask("running", 0)
    assert first is not None
    assert (first.status, first.occupied, first.count, first.expires) == ("starting", None, None, None)
    empty = watched.ask("running", 1)
    assert empty is not None
    assert (empty.status, empty.occupied, empty.count) == ("running", False, 0)


def test_somebody_comes_and_goes() -> None:
    watched = Watched()
    watched.ask()
    watched.state.visit(message(told("start")))
    there = watched.ask()
    assert there is not None
    assert (there.occupied, there.count, there.since) == (True, 1, "2026-03-14T12:00:00.000Z")
    assert there.expires is not None and there.expires > there.at
    watched.state.visit(message(told("end", time_s=5.0)))
    gone = watched.ask()
    assert gone is not None
    # Empty since the last detection of who left, not since that was certain.
    assert (gone.occupied, gone.count, gone.since, gone.expires) == (False, 0, "2026-03-14T12:00:05.000Z", None)


def test_what_they_show_and_how_old_they_seem() -> None:
    sad = VisitExpression(dominant="sad", shares={"sad": 0.6, "happy": 0.4}, samples=3)
    young = VisitAge(years=20.0, low=18.0, high=22.0, spread=None, samples=3)
    watched = Watched()
    for name, expression, age in (("a", sad, AGE), ("b", HAPPY, None), ("c", HAPPY, young)):
        values = {"expression": expression} | ({"age": age} if age else {})
        watched.state.visit(known(name, **values))
    state = watched.ask()
    assert state is not None
    assert (state.count, state.expression, state.age) == (3, "happy", 25.5)


def test_of_equal_numbers_the_larger_share_of_time_decides() -> None:
    watched = Watched()
    watched.state.visit(known("a", expression=VisitExpression(dominant="sad", shares={"sad": 1.0}, samples=3)))
    watched.state.visit(known("b", expression=HAPPY))
    state = watched.ask()
    assert state is not None
    assert state.expression == "sad"


@pytest.mark.parametrize("status", ["away", "ended", "stopped", "paused", "starting"])
def test_nobody_is_there_where_nobody_looks(status: Any) -> None:
    watched = Watched()
    watched.state.visit(message(told("start")))
    there = watched.ask()
    assert there is not None and there.occupied
    state = watched.ask(status)
    assert state is not None
    assert (state.status, state.occupied, state.count, state.age, state.expires) == (status, None, None, None, None)


def test_a_silent_camera_is_away_until_its_next_frame() -> None:
    """Its reader does not know yet, its visits have been ended."""
    watched = Watched()
    watched.state.visit(message(told("start")))
    watched.ask(frames=7)
    watched.state.visit(msgspec.structs.replace(message(told("end")), reason="source_ended"))
    silent = watched.ask(frames=7)
    assert silent is not None
    assert (silent.status, silent.occupied) == ("away", None)
    assert watched.ask(frames=7) is None
    back = watched.ask(frames=8)
    assert back is not None
    assert (back.status, back.occupied) == ("running", False)


def test_it_is_said_on_change_and_again_while_somebody_is_there() -> None:
    watched = Watched()
    assert watched.ask() is not None
    assert watched.ask(after_s=3600) is None, "an empty scene says nothing"
    watched.state.visit(message(told("start")))
    assert not watched.state.due(watched.now_s - 3600 + 0.9)
    assert watched.ask() is not None
    assert watched.ask(after_s=19) is None
    again = watched.ask(after_s=1)
    assert again is not None
    assert again.at < (again.expires or "")


UTC = timezone.utc


def test_a_day_begins_at_local_midnight() -> None:
    east = timezone(timedelta(hours=2))
    totals = Totals(zone=east)
    totals.add(message(told("start", time_s=0)))
    late = NOON.replace(hour=21, minute=59, second=59)
    assert totals.on(late) == Today(date="2026-03-14", visits=1, seconds=0.0)
    assert totals.on(late + timedelta(seconds=1)) == Today(date="2026-03-15", visits=0, seconds=0.0)


def test_a_clock_that_was_wrong_for_a_while_costs_nothing() -> None:
    totals = Totals(zone=UTC)
    totals.add(message(told("start")))
    totals.add(message(told("start", time_s=365 * 86_400)))
    totals.add(message(told("end", time_s=9)))
    day = totals.on(NOON)
    assert (day.visits, day.seconds) == (1, 9.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10 * 86_400)), max_size=40))
def test_only_three_days_are_kept(visits: list[tuple[int, int]]) -> None:
    totals = Totals(zone=UTC)
    for name, time_s in visits:
        totals.add(message(told("start", str(name), time_s=time_s)))
    assert len(totals.days) <= 3


@given(st.lists(st.sampled_from(["come", "go", "minute"]), max_size=30))
def test_state_summary_and_visits_agree(steps: list[str]) -> None:
    """The totals are the sum of the visits' own messages, and so are the windows of the summary."""
    standing = Standing(Path("/dev/null/nowhere"), now=lambda: NOON, clock=itertools.count(0.0, 1.0).__next__)
    standing.begin("hall", {"main": Counted()}, live=["main"])
    window = SummaryWindow("main", start_s=0)
    there: list[str] = []
    starts = ends = 0
    seconds = 0.0
    summed = [0, 0]
    for number, step in enumerate(steps):
        if step == "minute":
            body = window.body(number, at=at(number), started_at=at)
            (passed,) = standing.through([body])
            summary = cast(Any, passed.message)
            summed = [summed[0] + summary.in_, summed[1] + summary.out]
            assert summed == [starts, ends]
            assert (summary.today.visits, summary.today.seconds, summary.in_view) == (starts, seconds, len(there))
            continue
        if step == "go" and not there:
            continue
        event: Any = "start" if step == "come" else "end"
        name = str(number) if step == "come" else there.pop()
        if step == "come":
            there.append(name)
        ended = {"ended_s": float(number)} if event == "end" else {}
        change = VisitChange(event=event, visit=visit(id=name, **ended), time_s=number)
        window.observe([change], [visit(id=other) for other in there])
        (body,) = standing.through([visit_body(change, at=at(number), started_at=at)])
        starts, ends = starts + (event == "start"), ends + (event == "end")
        seconds += message(body).seconds if event == "end" else 0.0
        (state,) = standing.news({"main": RUNNING})
        now = cast(StateMessage, state.message)
        assert (now.count, now.today.visits, now.today.seconds) == (len(there), starts, seconds)


def test_an_age_is_counted_in_the_band_in_which_it_is_told() -> None:
    window = SummaryWindow("main", start_s=0)
    young = visit(age=VisitAge(years=29.96, low=20, high=40, spread=None, samples=3))
    window.observe([VisitChange(event="start", visit=young, time_s=1)], [young])
    summary = cast(Any, window.body(1, at=NOON, started_at=at).message)
    assert summary.ages["30-39"] == 1
    assert cast(Any, known("a", age=young.known.age)).age.years == 30.0


class Hand:
    """Clocks set by hand."""

    def __init__(self) -> None:
        self.s = 0.0

    def monotonic(self) -> float:
        return self.s

    def wall(self) -> datetime:
        return NOON + timedelta(seconds=self.s)


@pytest.fixture
def standing(tmp_path: Path) -> Callable[[Hand], Standing]:
    return lambda hand: Standing(tmp_path / "state", now=hand.wall, clock=hand.monotonic)


def begun(standing: Standing, live: bool = True) -> Standing:
    standing.begin("hall", {"main": Counted()}, live=["main"] if live else [])
    return standing


def today(standing: Standing, look: Look = RUNNING) -> Today:
    (body,) = standing.news({"main": look})
    return cast(StateMessage, body.message).today


def test_totals_survive_a_kill(standing: Callable[[Hand], Standing]) -> None:
    hand = Hand()
    first = begun(standing(hand))
    first.through([told("start"), told("end")])
    assert today(first).visits == 1
    # No farewell.
    second = begun(standing(hand))
    assert (today(second).visits, today(begun(standing(hand))).seconds) == (1, 2.0)


def test_totals_are_written_at_most_every_two_seconds(standing: Callable[[Hand], Standing], tmp_path: Path) -> None:
    hand = Hand()
    mine = begun(standing(hand))
    path = tmp_path / "state" / "today-hall.json"
    mine.news({"main": RUNNING})
    assert not path.exists(), "nothing has happened"
    mine.through([told("start")])
    hand.s = 1.0
    mine.news({"main": RUNNING})
    written = path.read_bytes()
    mine.through([told("update"), told("end")])
    hand.s = 1.0 + SAVE_S - 0.1
    mine.news({"main": RUNNING})
    assert path.read_bytes() == written
    hand.s = 1.0 + SAVE_S
    mine.news({"main": RUNNING})
    assert path.read_bytes() != written


def test_midnight_is_told_though_nobody_is_there(standing: Callable[[Hand], Standing]) -> None:
    hand = Hand()
    mine = begun(standing(hand))
    mine.through([told("start"), told("end")])
    assert today(mine).visits == 1
    hand.s = 5 * 86_400.0
    assert today(mine).visits == 0


def test_a_file_counts_from_nothing(standing: Callable[[Hand], Standing], tmp_path: Path) -> None:
    hand = Hand()
    for _ in range(2):
        mine = begun(standing(hand), live=False)
        mine.through([told("start")])
        assert today(mine).visits == 1
        mine.stopped({"main": RUNNING})
    assert not (tmp_path / "state").exists()


def test_a_reload_keeps_the_totals(standing: Callable[[Hand], Standing]) -> None:
    mine = begun(standing(Hand()))
    mine.through([told("start")])
    assert today(begun(mine)).visits == 1


@pytest.mark.parametrize(
    "rubbish",
    [
        b"",
        b"{",
        b"[1]",
        b'{"\xff": 1}',
        b"[" * 100_000,
        b'{"main": [{"date": "x", "visits": 1, "seconds": 2}]}',
        b"\0" * 99,
    ],
)
def test_rubbish_is_one_line(
    standing: Callable[[Hand], Standing], tmp_path: Path, caplog: pytest.LogCaptureFixture, rubbish: bytes
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "today-hall.json").write_bytes(rubbish)
    assert today(begun(standing(Hand()))).visits == 0
    assert len(caplog.records) == 1


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")
    hand = Hand()
    mine = begun(Standing(tmp_path / "file", now=hand.wall, clock=hand.monotonic))
    for _ in range(3):
        hand.s += 10
        mine.through([told("start")])
        mine.news({"main": RUNNING})
    lines = [record.getMessage() for record in caplog.records if "survive" in record.getMessage()]
    assert len(lines) == 1


def test_a_stop_says_that_nobody_looks(standing: Callable[[Hand], Standing]) -> None:
    mine = begun(standing(Hand()))
    mine.through([told("start")])
    mine.news({"main": RUNNING})
    (body,) = mine.stopped({"main": RUNNING})
    state = cast(StateMessage, body.message)
    assert (state.status, state.occupied) == ("stopped", None)
    assert mine.stopped({"main": RUNNING}) == []


def last(auditor: Auditor) -> dict[str, Any]:
    """The latest state that arrived."""
    return auditor.of("state")[-1].json


def test_a_live_camera_from_the_first_look_to_the_stop(
    broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child], tmp_path: Path
) -> None:
    """Nobody, somebody, a kill, somebody, a frozen camera, nobody, a stop: it never says more than somebody sees."""
    camera = PretendCamera(tmp_path / "camera")
    config = tmp_path / "edgeface.toml"
    config.write_text(f'[node]\nid = "hall"\n[cameras.main]\n{CONFIG}')
    environ = {"PATH": f"{camera.programs}:{os.environ['PATH']}", "STATE_DIRECTORY": str(tmp_path / "state")}
    auditor = audit(broker)

    def until(what: str, true: Callable[[dict[str, Any]], bool], timeout_s: float = 60) -> dict[str, Any]:
        eventually(lambda: bool(auditor.of("state")) and true(last(auditor)), what, timeout_s)
        return last(auditor)

    child = run(broker.port, "--config", config, environ=environ)
    until("an empty scene", lambda s: s["occupied"] is False)
    camera.show("face")
    there = until("somebody", lambda s: s["occupied"] is True)
    assert (there["count"], there["today"]["visits"]) == (1, 1)
    child.process.kill()
    child.wait()
    before = len(auditor.of("state"))
    child = run(broker.port, "--config", config, environ=environ)
    until("another start", lambda _: len(auditor.of("state")) > before)
    first = auditor.of("state")[before].json
    assert (first["status"], first["occupied"], first["today"]["visits"]) == ("starting", None, 1)
    until("somebody again", lambda s: s["occupied"] is True)
    camera.show("frozen")
    frozen = until("a frozen camera", lambda s: s["status"] == "away")
    assert (frozen["occupied"], frozen["count"]) == (None, None)
    camera.show("empty")
    until("an empty scene again", lambda s: s["occupied"] is False)
    camera.show("face")
    until("a third visit", lambda s: s["occupied"] is True)
    assert child.ask(signal.SIGTERM) == 0, child.log()
    stopped = until("the stop", lambda s: s["status"] == "stopped")
    ends = [heard.json for heard in auditor.of("visits") if heard.json["event"] == "end"]
    # What the kill cut off is ended by the next start; no such end is in the totals.
    ends = [end for end in ends if end["reason"] != "power"]
    summary = auditor.of("summary")[-1].json
    assert (stopped["occupied"], stopped["today"], summary["in_view"]) == (None, summary["today"], 0)
    # The one that the kill cut off has begun.
    assert stopped["today"]["visits"] == 3
    assert stopped["today"]["seconds"] == pytest.approx(sum(end["seconds"] for end in ends))
    child = run(broker.port, "--config", config, environ=environ)
    until("the next start", lambda s: s["status"] != "stopped")
    assert last(auditor)["today"] == stopped["today"]


def test_the_broker_forgets_somebody_whom_nobody_sees_any_more(
    mosquitto: Callable[..., Mosquitto], publish: Make
) -> None:
    """A killed program cannot say so: what says that somebody is there has an end, what says that nobody is none."""
    broker = mosquitto()
    _, outbox = publish(broker.port)
    state = CameraState("main")
    heard: list[Any] = []
    auditor = Auditor(
        broker.port, set_up=lambda client: client.message_callback_add("#", lambda *_: heard.append(_[2]))
    )
    for scene in ("start", "end"):
        state.visit(message(told(cast(Any, scene))))
        state.look("running", 1)
        body = state.news(at=NOON, now_s=len(heard) + 1.0, today=NOTHING)
        assert body is not None
        outbox.accept(body)
        eventually(lambda: outbox.idle, "the state")
    eventually(lambda: sum(one.topic.endswith("/state") for one in heard) == 2, "both")
    ends = [getattr(one.properties, "MessageExpiryInterval", None) for one in heard if one.topic.endswith("/state")]
    auditor.close()
    assert ends[0] in (59, 60)
    assert ends[1] is None
