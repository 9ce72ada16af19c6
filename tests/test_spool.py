"""The spool: on the disk before it is published, there until it is settled, and never a reason not to start."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from brokers import eventually
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from people import NOON, told
from spools import MACHINE, fields, kill, row, settled_on_disk, spool, spooled, taken

from edgeface.events import Interrupted, VisitMessage, notice_body
from edgeface.publish import opening
from edgeface.publish import spool as spool_module
from edgeface.publish.entries import Entry
from edgeface.publish.journal import Batch
from edgeface.publish.outbox import Outbox
from edgeface.publish.recovery import UNSURE
from edgeface.publish.spool import REPEATS
from edgeface.publish.spool_files import KEPT_ASIDE, StoreError, set_aside
from edgeface.publish.store import Store


def path(folder: Path) -> Path:
    return folder / "spool-hall.db"


def test_a_start_or_end_is_taken_when_it_is_written_and_an_update_at_once(tmp_path: Path) -> None:
    outbox = Outbox(node="hall", boot="new", capacity=10, spool=spool(tmp_path))
    outbox.accept(told("start", "a"))
    assert outbox.take() is None, "the writer has not begun"
    outbox.accept(told("update", "b", camera="door"))
    assert [fields(entry)["event"] for entry in taken(outbox, 1)] == ["update"]
    outbox.open()
    assert [fields(entry)["event"] for entry in taken(outbox, 1)] == ["start"]
    outbox.close()


def test_starts_and_ends_have_a_count_of_their_own_without_gaps(tmp_path: Path) -> None:
    outbox = spooled(tmp_path)
    for body in (told("start", "a"), told("update", "a"), notice_body(networks=[], at=NOON), told("end", "a")):
        outbox.accept(body)
    entries = sorted(taken(outbox, 4), key=lambda entry: entry.seq)
    numbers = [fields(entry).get("number", "none") for entry in entries]
    assert numbers == [0, None, "none", 1]
    assert outbox.spool_health().number == 1
    outbox.close()


def test_what_is_not_settled_comes_first_in_the_next_run_and_says_so(tmp_path: Path) -> None:
    outbox = spooled(tmp_path, "old")
    for name in "abc":
        outbox.accept(told("start", name))
        outbox.accept(told("update", name))
        outbox.accept(told("end", name))
    for entry in taken(outbox, 2):
        outbox.done(entry)
    outbox.close()
    again = spooled(tmp_path)
    again.accept(told("start", "d"))
    messages = [fields(entry) for entry in taken(again, 6)]
    assert [(m["boot"], m["number"], m["event"], m["replayed"]) for m in messages] == [
        ("old", 1, "end", True),
        ("old", 2, "start", True),
        ("old", 3, "end", True),
        ("old", 4, "start", True),
        ("old", 5, "end", True),
        ("new", 0, "start", False),
    ]
    assert again.spool_health().interrupted == [], "it was stopped as it should be"
    counters = again.counters()
    assert counters.accepted == counters.delivered + counters.queued + counters.rejected
    again.close()


def test_a_stop_with_everything_delivered_leaves_nothing(tmp_path: Path) -> None:
    outbox = spooled(tmp_path, "old")
    outbox.accept(told("start"))
    outbox.accept(told("end"))
    for entry in taken(outbox, 2):
        outbox.done(entry)
    outbox.close()
    with sqlite3.connect(path(tmp_path)) as db:
        assert db.execute("SELECT count(*) FROM message").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM run").fetchone() == (0,)
    assert path(tmp_path).stat().st_mode & 0o777 == 0o600
    assert b"3f2a" not in path(tmp_path).read_bytes(), "what was delivered is not left on the card"


def test_of_a_backlog_that_is_delivered_nothing_is_left_and_the_next_start_gives_its_room_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "LARGE_BYTES", 400_000)
    outbox = spooled(tmp_path, "old", capacity=100_000)
    for name in range(500):
        outbox.accept(told("start", str(name)))
        outbox.accept(told("end", str(name)))
    taken(outbox, 1000, done=True)
    outbox.close()
    content = path(tmp_path).read_bytes()
    assert len(content) > 400_000
    assert b'"visit"' not in content
    again = spooled(tmp_path)
    assert again.spool_health().bytes < 100_000
    again.accept(told("start", "a"))
    assert fields(taken(again, 1)[0])["visit"] == "a"
    again.close()


@pytest.mark.parametrize("set_s", [0.0, 365 * 86_400.0, -365 * 86_400.0])
@pytest.mark.parametrize(("machine", "skipped"), [(MACHINE, 0), ("another boot", UNSURE)])
def test_a_visit_that_lasted_when_the_power_went_is_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, machine: str, skipped: int, set_s: float
) -> None:
    now_s = 2.0
    outbox = spooled(tmp_path, "old", clock=lambda: now_s)
    outbox.accept(told("start", "a"))
    now_s = 12.0
    outbox.accept(told("start", "b", time_s=12.0))
    outbox.accept(told("start", "c", time_s=12.0))
    now_s = 15.0
    # Meanwhile the wall clock was set: it tells nothing of how long they lasted.
    outbox.accept(told("end", "b", time_s=15.0 + set_s))
    entries = taken(outbox, 4)
    outbox.done(entries[0])
    outbox.done(entries[3])
    settled_on_disk(outbox)
    kill(outbox)
    again = spooled(tmp_path, machine=machine)
    messages = [fields(entry) for entry in taken(again, 4)]
    assert [(m["visit"], m["event"], m["number"], m["reason"]) for m in messages] == [
        ("b", "start", 1, None),
        ("c", "start", 2, None),
        ("a", "end", 4 + skipped, "power"),
        ("c", "end", 5 + skipped, "power"),
    ]
    ends = messages[2:]
    assert {m["boot"] for m in messages} == {"old"}
    assert [(m["ended"], m["seconds"]) for m in ends] == [("2026-03-14T12:00:15.000Z", 15.0)] * 2
    assert all(m["replayed"] for m in messages)
    assert again.spool_health().interrupted == [Interrupted(boot="old", number=3, seconds=2.0, ended=2)]
    assert caplog.messages == [
        "boot old ended without a stop: its visits are durable up to number 3, up to 2 s may be missing; "
        "2 that lasted then are ended with reason power"
    ]
    # Killed once more before anything is delivered: it is told once, and no visit is ended twice.
    kill(again)
    third = spooled(tmp_path, "third", machine=machine)
    assert [fields(entry)["number"] for entry in taken(third, 4)] == [1, 2, 4 + skipped, 5 + skipped]
    assert third.spool_health().interrupted == []
    third.close()


def test_the_last_number_is_told_also_when_everything_was_delivered(tmp_path: Path) -> None:
    outbox = spooled(tmp_path, "old")
    for name in "abc":
        outbox.accept(told("start", name))
        outbox.accept(told("end", name))
    for entry in taken(outbox, 6):
        outbox.done(entry)
    kill(outbox)
    again = spooled(tmp_path)
    assert again.spool_health().interrupted == [Interrupted(boot="old", number=5, seconds=2.0, ended=0)]
    again.close()


@pytest.mark.parametrize("delivered", [0, 7, 19, 33, 60])
def test_a_kill_repeats_at_most_twenty(tmp_path: Path, delivered: int) -> None:
    outbox = spooled(tmp_path, "old")
    for name in range(40):
        outbox.accept(told("start", str(name)))
        outbox.accept(told("end", str(name)))
    sent: list[Entry] = []
    flying: list[Entry] = []

    def step() -> bool:
        while len(flying) < 20 and (entry := outbox.take()) is not None:
            flying.append(entry)
            sent.append(entry)
        while flying and len(sent) - len(flying) < delivered:
            outbox.done(flying.pop(0))
        return len(sent) - len(flying) == delivered

    eventually(step, "delivery")
    kill(outbox)
    again = spooled(tmp_path)
    # All that was not delivered comes, and of what was sent no more than that again.
    told_again = {fields(entry)["number"] for entry in taken(again, 80 - delivered, done=True)}
    while not again.idle:
        entry = again.take()
        if entry is not None:
            told_again.add(fields(entry)["number"])
            again.done(entry)
    assert told_again >= set(range(80)) - {fields(entry)["number"] for entry in sent[:delivered]}
    assert len(told_again & {fields(entry)["number"] for entry in sent}) <= REPEATS
    again.close()


def test_what_waits_when_the_connection_stands_says_that_it_is_late() -> None:
    outbox = Outbox(node="hall", boot="b", capacity=10)
    outbox.accept(told("start", "a"))
    outbox.connected()
    outbox.accept(told("end", "a"))
    assert [fields(entry)["replayed"] for entry in taken(outbox, 2)] == [True, False]


def test_what_is_full_drops_in_order_and_on_the_disk_too(tmp_path: Path) -> None:
    outbox = spooled(tmp_path, "old", capacity=4)
    for name in "abc":
        outbox.accept(told("start", name))
        outbox.accept(told("update", name))
        outbox.accept(told("end", name))
    assert outbox.counters().dropped["visits"] == 5
    outbox.close()
    again = spooled(tmp_path)
    assert [(fields(e)["visit"], fields(e)["event"]) for e in taken(again, 4)] == [
        ("b", "start"),
        ("b", "end"),
        ("c", "start"),
        ("c", "end"),
    ]
    again.close()


def test_the_oldest_visits_go_first_also_those_of_earlier_runs(tmp_path: Path) -> None:
    """And a visit that lasts is not one of them: its end tells it whole."""
    before = spooled(tmp_path, "before")
    before.accept(told("start", "a"))
    before.accept(told("end", "a"))
    before.close()
    outbox = spooled(tmp_path, "old", capacity=4)
    outbox.accept(told("start", "long"))
    outbox.accept(told("update", "long"))
    outbox.accept(told("start", "b"))
    outbox.accept(told("end", "b"))
    outbox.accept(told("update", "long"))
    outbox.accept(told("end", "long"))
    counters = outbox.counters()
    assert (counters.dropped["visits"], counters.queued) == (4, 4)
    assert outbox.undelivered().gone == 4
    assert [(fields(e)["visit"], fields(e)["event"]) for e in taken(outbox, 4)] == [
        ("long", "start"),
        ("b", "start"),
        ("b", "end"),
        ("long", "end"),
    ]
    outbox.close()


@settings(max_examples=50, deadline=None)
@given(visits=st.integers(1, 30), capacity=st.integers(1, 20), updates=st.integers(0, 3))
def test_what_is_left_of_too_many_is_the_newest_without_a_gap(visits: int, capacity: int, updates: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        outbox = spooled(Path(folder), "old", capacity=capacity)
        for name in range(visits):
            outbox.accept(told("start", str(name)))
            for _ in range(updates):
                outbox.accept(told("update", str(name)))
            outbox.accept(told("end", str(name)))
        left = [fields(e) for e in taken(outbox, min(capacity, outbox.counters().queued))]
        numbers = [one["number"] for one in left if one["event"] != "update"]
        assert numbers == list(range(2 * visits))[-len(numbers) :]
        assert len(numbers) == min(capacity, 2 * visits)
        outbox.close()


def test_a_topic_that_is_refused_keeps_its_newest_hundred(tmp_path: Path) -> None:
    outbox = spooled(tmp_path, "old")
    for name in range(60):
        outbox.accept(told("start", str(name)))
        outbox.accept(told("end", str(name)))
    for entry in taken(outbox, 20):
        outbox.reject(entry)
    for _ in range(100):
        outbox.reject(taken(outbox, 1)[0])
    outbox.close()
    again = spooled(tmp_path)
    assert fields(taken(again, 100, done=True)[0])["number"] == 20
    assert again.idle
    again.close()


# --- the disk -------------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bool]]:
    """A disk that can be made full."""
    full = {"now": False}
    write = Store.write

    def writes(self: Store, *args: Any, **options: Any) -> None:
        if full["now"]:
            raise StoreError("database or disk is full")
        write(self, *args, **options)

    monkeypatch.setattr(Store, "write", writes)
    yield full


def test_a_full_disk_is_one_line_and_goes_on_in_memory(
    tmp_path: Path, broken: dict[str, bool], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    outbox = spooled(tmp_path, "old", retry_s=0.02)
    outbox.accept(told("start", "a"))
    first = taken(outbox, 1)[0]
    broken["now"] = True
    for name in "bcd":
        outbox.accept(told("start", name))
        outbox.accept(told("end", name))
    outbox.done(first)
    flying = taken(outbox, 2)
    assert [fields(entry)["number"] for entry in flying] == [1, 2]
    health = outbox.spool_health()
    assert (health.state, health.error) == ("memory", "database or disk is full")
    assert outbox.kept() == 0
    for entry in flying:
        outbox.done(entry)
    eventually(lambda: len(caplog.messages) == 1, "the line")
    assert "cannot be written (database or disk is full): visits wait in memory only" in caplog.text
    broken["now"] = False
    eventually(lambda: outbox.spool_health().state == "disk", "the disk again")
    eventually(lambda: caplog.messages[1:] == ["the spool is written again"], "the other line")
    kill(outbox)
    again = spooled(tmp_path)
    told_again = [(fields(entry)["visit"], fields(entry)["event"]) for entry in taken(again, 5)]
    assert told_again == [("c", "start"), ("c", "end"), ("d", "start"), ("d", "end"), ("a", "end")]
    again.close()


def test_a_folder_that_becomes_writable_late_gives_what_lay_there(tmp_path: Path) -> None:
    outbox = spooled(tmp_path / "state", "old")
    outbox.accept(told("start", "a"))
    outbox.accept(told("end", "a"))
    outbox.close()
    (tmp_path / "state").rename(tmp_path / "away")
    (tmp_path / "state").write_text("a file in the way")
    late = spooled(tmp_path / "state", retry_s=0.02)
    late.accept(told("start", "b"))
    first = taken(late, 1)[0]
    assert fields(first)["visit"] == "b", "on in memory"
    assert late.spool_health().state == "memory"
    (tmp_path / "state").unlink()
    (tmp_path / "away").rename(tmp_path / "state")
    assert [fields(entry)["visit"] for entry in taken(late, 2)] == ["a", "a"]
    kill(late)
    again = spooled(tmp_path / "state", "third")
    assert [(fields(e)["boot"], fields(e)["event"]) for e in taken(again, 4)] == [
        ("old", "start"),
        ("old", "end"),
        ("new", "start"),
        ("new", "end"),
    ]
    again.close()


def test_a_disk_that_hangs_holds_up_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hang, write = threading.Event(), Store.write

    def writes(self: Store, *args: Any, **options: Any) -> None:
        hang.wait(30)
        write(self, *args, **options)

    monkeypatch.setattr(Store, "write", writes)
    monkeypatch.setattr(spool_module, "STUCK_S", 0.05)
    outbox = spooled(tmp_path)
    outbox.accept(told("start", "a"))
    assert fields(taken(outbox, 1)[0])["visit"] == "a"
    hang.set()
    outbox.close()


def test_another_process_of_the_node_has_no_part_in_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = spooled(tmp_path, "first")
    second = spooled(tmp_path, "second")
    assert second.spool_health().state == "memory"
    assert "another process of this node has it" in caplog.text
    second.accept(told("start", "a"))
    assert fields(taken(second, 1)[0])["visit"] == "a"
    second.close()
    first.accept(told("start", "b"))
    taken(first, 1)
    first.close()


# --- rubbish --------------------------------------------------------------------------------------------------------


def made(folder: Path, *, closed: bool = True) -> dict[str, bytes]:
    """The files of a spool with seven messages, as a stop or a kill leaves them."""
    outbox = spooled(folder, "old")
    for name in "abc":
        outbox.accept(told("start", name))
        outbox.accept(told("end", name))
    outbox.accept(told("start", "d"))
    taken(outbox, 7)
    if closed:
        outbox.close()
    files = {file.name: file.read_bytes() for file in folder.glob("spool-hall.db*")}
    if not closed:
        kill(outbox)
    return files


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return made(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return made(tmp_path_factory.mktemp("killed"), closed=False)


def begins_empty(folder: Path, caplog: pytest.LogCaptureFixture, content: bytes) -> None:
    """What cannot be believed: one line, nothing told, the old file kept, and a spool that works."""
    caplog.clear()
    outbox = spooled(folder)
    assert outbox.take() is None
    assert len(caplog.messages) == 1
    assert "it starts empty, and the old one is kept as" in caplog.messages[0]
    assert (folder / "spool-hall.db.bad-1").read_bytes() == content
    outbox.accept(told("start", "z"))
    assert fields(taken(outbox, 1)[0])["visit"] == "z"
    assert outbox.spool_health().state == "disk"
    outbox.close()


FOLDERS = iter(range(1_000_000))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_at_any_byte_starts_empty(
    tmp_path: Path, whole: dict[str, bytes], caplog: pytest.LogCaptureFixture, share: float
) -> None:
    folder = tmp_path / str(next(FOLDERS))
    folder.mkdir()
    content = whole["spool-hall.db"]
    cut = content[: int(share * len(content))]
    path(folder).write_bytes(cut)
    begins_empty(folder, caplog, cut)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=5000), head=st.booleans())
def test_a_file_of_rubbish_starts_empty(
    tmp_path: Path, whole: dict[str, bytes], caplog: pytest.LogCaptureFixture, content: bytes, head: bool
) -> None:
    folder = tmp_path / str(next(FOLDERS))
    folder.mkdir()
    content = whole["spool-hall.db"][:100] + content if head else content
    path(folder).write_bytes(content)
    begins_empty(folder, caplog, content)


def test_a_file_whose_tables_are_no_text_starts_empty(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Python makes a want of memory of what SQLite says of this one (found by the fuzzer)."""
    header = b"SQLite format 3\0" + bytes.fromhex("0400000000402020") + bytes(76)
    page = bytes.fromhex("0d0000000200000002d20070")
    table = bytes.fromhex("ffffffff00ffffff00690000000045")
    content = (header + page).ljust(722, b"\0") + table
    path(tmp_path).write_bytes(content)
    begins_empty(tmp_path, caplog, content)


NUMBERS = [0, 1, 2, 3, 4, 5, 6]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(places=[0.10706296691841023], rubbish=b"\x00\x80")
@given(
    places=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20),
    rubbish=st.binary(min_size=1, max_size=600),
)
def test_a_file_overwritten_by_rubbish_is_told_whole_or_not_at_all(
    tmp_path: Path, whole: dict[str, bytes], caplog: pytest.LogCaptureFixture, places: list[float], rubbish: bytes
) -> None:
    folder = tmp_path / str(next(FOLDERS))
    folder.mkdir()
    content = bytearray(whole["spool-hall.db"])
    size = len(content)
    for place in places:
        at = int(place * size)
        content[at : at + len(rubbish)] = rubbish[: size - at]
    path(folder).write_bytes(content)
    if (folder / "spool-hall.db").read_bytes() == whole["spool-hall.db"]:
        return
    caplog.clear()
    outbox = spooled(folder)
    numbers: list[int] = []
    # Behind them may come the end of the visit that lasted, as soon as it is written.
    while len(numbers) < len(NUMBERS) and (entry := outbox.take()) is not None:
        numbers.append(fields(entry)["number"])
    aside = path(folder).with_name("spool-hall.db.bad-1")
    # Bytes that mean nothing (what was deleted, counters) may be anything.
    assert (numbers, aside.exists()) in (([], True), (NUMBERS, False))
    assert len(caplog.messages) <= 1 if aside.exists() else True
    outbox.close()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1), rubbish=st.binary(max_size=100))
def test_a_log_that_is_cut_or_rubbish_costs_what_was_not_whole(
    tmp_path: Path, killed: dict[str, bytes], share: float, rubbish: bytes
) -> None:
    folder = tmp_path / str(next(FOLDERS))
    folder.mkdir()
    path(folder).write_bytes(killed["spool-hall.db"])
    log = killed["spool-hall.db-wal"]
    (folder / "spool-hall.db-wal").write_bytes(log[: int(share * len(log))] + rubbish)
    outbox = spooled(folder)
    numbers = []
    assert outbox.spool_health().state == "disk"
    while (entry := outbox.take()) is not None:
        numbers.append(fields(entry)["number"])
    starts = [n for n in numbers if n < len(NUMBERS)]
    assert starts == NUMBERS[: len(starts)], "a power cut costs the end, never the middle"
    outbox.close()


@pytest.mark.parametrize(
    "change",
    [
        "PRAGMA user_version = 3",
        "PRAGMA application_id = 1",
        "CREATE TABLE other (x)",
        "CREATE TRIGGER t AFTER INSERT ON message BEGIN DELETE FROM message; END",
        "UPDATE message SET number = 9 WHERE number = 3",
        "UPDATE message SET payload = 'text' WHERE number = 3",
        "UPDATE message SET event = 'update' WHERE number = 3",
        "UPDATE message SET suffix = '#' WHERE number = 3",
    ],
)
def test_a_file_that_sqlite_believes_is_not_believed_for_that(
    tmp_path: Path, whole: dict[str, bytes], caplog: pytest.LogCaptureFixture, change: str
) -> None:
    path(tmp_path).write_bytes(whole["spool-hall.db"])
    db = sqlite3.connect(path(tmp_path))
    db.execute(change)
    db.commit()
    db.close()
    begins_empty(tmp_path, caplog, path(tmp_path).read_bytes())


NO_TIME = row(1, "start", "a").payload.replace(b'"started":"2026', b'"started":"0000')
BAD_ROWS: list[dict[str, Any]] = [
    {"suffix": "main/#"},
    {"payload": b"{}"},
    {"payload": NO_TIME},
    {"boot": "another"},
    {"number": 7},
]


@pytest.mark.parametrize("change", BAD_ROWS, ids=str)
def test_a_row_whose_checksum_holds_must_still_be_its_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, Any]
) -> None:
    store = Store(path(tmp_path))
    store.read()
    batch = Batch(new=(msgspec_replaced(row(1, "start", "a"), change),), settled=(), gone=(), flush=True)
    store.write(batch, runs=[], over=[])
    store.close()
    begins_empty(tmp_path, caplog, path(tmp_path).read_bytes())


def msgspec_replaced(one: Any, change: dict[str, Any]) -> Any:
    from dataclasses import replace  # noqa: PLC0415

    return replace(one, **change)


def test_a_giant_is_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with path(tmp_path).open("wb") as file:
        file.truncate(2**40)
    outbox = spooled(tmp_path)
    assert "it has 1099511627776 bytes" in caplog.text
    outbox.close()


def test_three_are_kept_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    kept = path(tmp_path)
    for number in range(KEPT_ASIDE + 2):
        kept.write_text(str(number))
        place = set_aside(kept)
        os.utime(place, (number, number))
    assert sorted(file.read_text() for file in tmp_path.glob("*.bad-*")) == ["2", "3", "4"]


def test_a_file_that_turns_into_rubbish_while_it_is_used_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, bad = Store.write, {"times": 1}

    def writes(self: Store, *args: Any, **options: Any) -> None:
        if bad["times"]:
            bad["times"] -= 1
            self.release()
            self.path.write_bytes(b"rubbish")
            raise StoreError("database disk image is malformed", rubbish=True)
        write(self, *args, **options)

    outbox = spooled(tmp_path, "old")
    outbox.accept(told("start", "a"))
    taken(outbox, 1)
    monkeypatch.setattr(Store, "write", writes)
    outbox.accept(told("start", "b"))
    eventually(lambda: not bad["times"] and (tmp_path / "spool-hall.db.bad-1").exists(), "a new file")
    kill(outbox)
    monkeypatch.undo()
    again = spooled(tmp_path)
    assert [fields(entry)["visit"] for entry in taken(again, 4)] == ["a", "b", "a", "b"]
    again.close()


def test_a_payload_comes_back_as_it_went(tmp_path: Path) -> None:
    outbox = spooled(tmp_path, "old")
    outbox.accept(told("start", "ä\u2028\U0001f600"))
    payload = taken(outbox, 1)[0].payload
    outbox.close()
    again = spooled(tmp_path)
    back = msgspec.json.decode(taken(again, 1)[0].payload, type=VisitMessage)
    assert msgspec.structs.replace(back, replayed=False) == msgspec.json.decode(payload, type=VisitMessage)
    again.close()


def test_an_hour_costs_nothing_while_nobody_comes_and_little_with_a_visit_a_minute(tmp_path: Path) -> None:
    pytest.importorskip("benchmarks", reason="the tree's own, not installed")
    from benchmarks.spool import hour  # noqa: PLC0415

    assert hour(tmp_path / "nobody", 0)["disk"] == 0
    visits = hour(tmp_path / "visits", 60)
    assert max(visits["written"], visits["disk"]) <= 1_000_000
