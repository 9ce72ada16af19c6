"""Totals of the day lie in the spool: kept before they are told, whatever ends the program."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from brokers import eventually
from people import NOON, told
from spools import fields, idle, kill, row, spool, spooled, taken

from edgeface.events import Counted, StateMessage, Today
from edgeface.publish.journal import Batch
from edgeface.publish.outbox import Outbox
from edgeface.publish.spool_files import StoreError
from edgeface.publish.spool_log import Log
from edgeface.publish.store import LOG_BYTES, Store
from edgeface.service.standing import Look, Standing

RUNNING = Look(status="running", frames=1)
FILE = "spool-hall.db"


def standing(folder: Path, keeper: Outbox | None) -> Standing:
    mine = Standing(folder, now=lambda: NOON, clock=lambda: 0.0)
    mine.begin("hall", {"main": Counted()}, live=["main"], keeper=keeper)
    return mine


def pass_on(mine: Standing, outbox: Outbox, *events: Any) -> None:
    for body in mine.through([told(event) for event in events]) + mine.news({"main": RUNNING}):
        outbox.accept(body)


def today(mine: Standing) -> Today:
    (body,) = mine.stopped({"main": RUNNING})
    return cast(StateMessage, body.message).today


def lie(store: Store) -> dict[str, bytes]:
    found = store.read().totals
    store.close()
    return found


def test_totals_survive_a_kill_without_a_file_of_their_own(tmp_path: Path) -> None:
    outbox = spooled(tmp_path, "old")
    pass_on(standing(tmp_path, outbox), outbox, "start", "end")
    kill(outbox)
    assert not (tmp_path / "today-hall.json").exists()
    again = spooled(tmp_path)
    totals = today(standing(tmp_path, again))
    assert (totals.visits, totals.seconds) == (1, 2.0)
    again.close()


def test_a_state_waits_until_its_totals_are_written(tmp_path: Path) -> None:
    outbox = Outbox(node="hall", boot="new", capacity=10, spool=spool(tmp_path))
    pass_on(standing(tmp_path, outbox), outbox, "start")
    assert outbox.take() is None, "the writer has not begun"
    outbox.open()
    kinds = {entry.kind for entry in taken(outbox, 2)}
    assert kinds == {"visits", "state"}
    outbox.close()


def test_a_disk_that_takes_nothing_holds_up_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = spooled(tmp_path, "old", retry_s=3600)
    write = Store.write

    def full(self: Store, *args: Any, **options: Any) -> None:
        raise StoreError("database or disk is full")

    monkeypatch.setattr(Store, "write", full)
    pass_on(standing(tmp_path, outbox), outbox, "start")
    eventually(lambda: outbox.spool_health().error is not None, "the end of the disk")
    assert "state" in {entry.kind for entry in iter(outbox.take, None)}
    monkeypatch.setattr(Store, "write", write)
    outbox.close()
    # The stop tries once more.
    assert b'"visits":1' in lie(Store(tmp_path / FILE))["main"]


def test_totals_go_along_with_the_visit_that_changed_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, int]] = []
    write, flush = Store.write, Store.flush

    def writes(self: Store, batch: Batch, **options: Any) -> None:
        written.extend(
            [("totals", len(batch.totals))] * bool(batch.totals) + [("rows", len(batch.new))] * bool(batch.new)
        )
        write(self, batch, **options)

    def flushes(self: Store) -> None:
        written.append(("flush", 0))
        flush(self)

    monkeypatch.setattr(Store, "write", writes)
    monkeypatch.setattr(Store, "flush", flushes)
    outbox = spooled(tmp_path)
    pass_on(standing(tmp_path, outbox), outbox, "start")
    taken(outbox, 2)
    assert outbox._spool is not None
    idle(outbox._spool)
    assert written == [("totals", 1), ("rows", 1), ("flush", 0)], "one flush has both"
    outbox.close()


def as_version_1(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE totals")
        db.execute("PRAGMA user_version = 1")
    db.close()


def test_spool_and_file_of_the_version_before_are_taken_over(tmp_path: Path) -> None:
    outbox = spooled(tmp_path, "old")
    outbox.accept(told("start"))
    taken(outbox, 1)
    outbox.close()
    as_version_1(tmp_path / FILE)
    (tmp_path / "today-hall.json").write_bytes(b'{"main":[{"date":"2026-03-14","visits":7,"seconds":3.5}]}')
    again = spooled(tmp_path)
    assert again.spool_health().error is None
    mine = standing(tmp_path, again)
    pass_on(mine, again, "end")
    events = [fields(entry)["event"] for entry in taken(again, 4) if entry.kind == "visits"]
    assert events == ["start", "end", "end"], "what lay there, its end by power, and this run's"
    kill(again)
    (tmp_path / "today-hall.json").unlink()
    third = spooled(tmp_path)
    totals = today(standing(tmp_path, third))
    assert (totals.visits, totals.seconds) == (7, 5.5)
    third.close()


@pytest.mark.parametrize(("filed", "counted"), [(0, 1), (5, 5)])
def test_of_file_and_spool_the_one_counts_that_has_counted_more(tmp_path: Path, filed: int, counted: int) -> None:
    outbox = spooled(tmp_path, "old")
    pass_on(standing(tmp_path, outbox), outbox, "start")
    kill(outbox)
    days = f'{{"main":[{{"date":"2026-03-14","visits":{filed},"seconds":0}}]}}'
    (tmp_path / "today-hall.json").write_text(days)
    again = spooled(tmp_path)
    assert today(standing(tmp_path, again)).visits == counted
    again.close()


def test_a_stop_leaves_a_file_for_a_start_without_a_spool(tmp_path: Path) -> None:
    outbox = spooled(tmp_path, "old")
    mine = standing(tmp_path, outbox)
    pass_on(mine, outbox, "start")
    assert today(mine).visits == 1
    outbox.close()
    without = Outbox(node="hall", boot="new", capacity=10)
    assert today(standing(tmp_path, without)).visits == 1


@pytest.mark.parametrize(
    ("change", "begins_anew"),
    [
        ("UPDATE totals SET days = x'5b5d'", True),
        ("UPDATE totals SET days = 'text'", True),
        ("UPDATE totals SET camera = 'door'", True),
        ("DELETE FROM totals", False),
    ],
)
def test_totals_that_are_not_what_was_written_are_not_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: str, begins_anew: bool
) -> None:
    outbox = spooled(tmp_path, "old")
    pass_on(standing(tmp_path, outbox), outbox, "start")
    taken(outbox, 2)
    outbox.close()
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute(change)
    db.close()
    again = spooled(tmp_path)
    assert again.totals == {}
    assert ("does not hold, totals are not what was written" in caplog.text) == begins_anew
    again.close()


def test_rubbish_with_a_good_checksum_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = spooled(tmp_path, "old")
    outbox.keep({"main": b'[{"date":1}]'})
    outbox.close()
    again = spooled(tmp_path)
    standing(tmp_path, again)
    assert len(caplog.records) == 1 and "totals of main in the spool are none" in caplog.text
    again.close()


def write(store: Store, numbers: range) -> None:
    for number in numbers:
        event: Any = ("start", "end")[number % 2]
        one = row(number, event, f"{number // 2:x}")
        gone = (number - 1,) if number else ()
        batch = Batch(new=(one,), settled=(), gone=gone, flush=True, totals={"main": b"%d" % number})
        store.write(batch, runs=[], over=[])
        store.flush()
        store.fold()


def frames(store: Store) -> int:
    """How many the log has, in SQLite's own words."""
    count: int = store._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    return count


def test_the_log_is_written_where_it_lies_and_begins_anew_when_it_is_full(tmp_path: Path) -> None:
    path, log = tmp_path / FILE, tmp_path / f"{FILE}-wal"
    store = Store(path)
    store.read()
    lying = log.stat()
    assert lying.st_size == LOG_BYTES
    before, folds = 0, 0
    for number in range(0, 800, 10):
        write(store, range(number, number + 10))
        assert (log.stat().st_size, log.stat().st_blocks) == (LOG_BYTES, lying.st_blocks), (
            "nothing but its bytes changes"
        )
        used = store._log.used()
        folds, before = folds + (used < before), used
    assert folds == 1
    assert used == 32 + 1048 * frames(store)
    assert store.bytes == path.stat().st_size + used, "what it holds, not what it keeps"
    store.close()


def test_what_a_kill_leaves_in_the_log_is_read_and_written_on(tmp_path: Path) -> None:
    store = Store(tmp_path / FILE)
    store.read()
    write(store, range(100))
    used = store._log.used()
    again_from: Callable[[], Store] = lambda: Store(tmp_path / FILE)  # noqa: E731
    copied = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    store.release()
    for name, content in copied.items():
        (tmp_path / name).write_bytes(content)
    again = again_from()
    found = again.read()
    assert (len(found.rows), found.totals) == (1, {"main": b"99"})
    assert again._log.used() == used
    again.close()


def test_a_log_of_zeros_has_nothing(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+b") as file:
        log = Log(file.fileno())
        log.fill(10_000)
        assert (tmp_path / "log").stat().st_size == 10_000
        assert log.used() == 0
        log.fill(5_000)
        assert (tmp_path / "log").stat().st_size == 10_000
