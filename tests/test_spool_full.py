"""The spool on a disk without room: what the broker has is not told again, and what has room is kept.

The disks are real: small file systems in memory where one may be mounted, and files that may not grow everywhere.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from brokers import eventually
from people import told
from spools import fields, idle, spooled, taken

from edgeface.publish import spool as spool_module
from edgeface.publish.outbox import Outbox
from edgeface.publish.recovery import UNSURE
from edgeface.publish.spool import REPEATS
from edgeface.publish.spool_files import StoreError
from edgeface.publish.store import Store

MANY = 4000
"""Visits; far more than the disks here hold."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of so many bytes, in memory; only where one may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(size: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        try:
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("needs the right to mount")
        return disk

    yield mount
    subprocess.run(["umount", "--lazy", disk], check=False, stderr=subprocess.DEVNULL)


@contextmanager
def limited(size: int) -> Iterator[None]:
    """Files of this process may not grow beyond so many bytes, as with a quota."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fill(disk: Path) -> Path:
    """Let others take all that is free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return filler
    raise AssertionError("a disk without an end")


def come(outbox: Outbox, visits: range) -> None:
    for name in visits:
        outbox.accept(told("start", str(name)))
        outbox.accept(told("end", str(name)))


def error(outbox: Outbox) -> str | None:
    return outbox.spool_health().error


def killed(outbox: Outbox, folder: Path, to: Path) -> Path:
    """The files as a kill at this moment leaves them, on a disk with room."""
    ours = outbox._spool
    assert ours is not None
    idle(ours)
    to.mkdir()
    for file in folder.glob("spool-hall.db*"):
        shutil.copy(file, to / file.name)
    return to


def retold(folder: Path) -> list[int]:
    """The numbers of the boot `old` that the next run tells, but for ends that it makes up."""
    again = spooled(folder, capacity=100_000)
    numbers = []
    while not again.idle:
        entry = taken(again, 1, done=True)[0]
        if fields(entry)["reason"] != "power":
            numbers.append(fields(entry)["number"])
    again.close()
    return numbers


def expect_few_again(outbox: Outbox, folder: Path, to: Path, *, delivered: int, kept: int) -> None:
    """Killed now, few are told twice, and all that had room is told."""
    numbers = retold(killed(outbox, folder, to))
    assert numbers == sorted(numbers)
    assert sum(number < delivered for number in numbers) <= REPEATS
    rest = [number for number in numbers if number >= delivered]
    assert rest == list(range(delivered, delivered + len(rest))), "the oldest, without a gap"
    assert len(rest) >= kept


def through_a_backlog(folder: Path, tmp_path: Path) -> None:
    """More comes than the disk holds; it is delivered, with a kill here and there, and all the while more comes."""
    outbox = spooled(folder, "old", capacity=100_000, retry_s=3600)
    come(outbox, range(MANY))
    eventually(lambda: error(outbox) is not None, "the end of the disk", 60)
    ours = outbox._spool
    assert ours is not None
    idle(ours)
    on_disk = outbox.kept()
    assert on_disk > 100
    assert ours.lost == 2 * MANY - on_disk
    assert outbox.undelivered().visits == ours.lost
    expect_few_again(outbox, folder, tmp_path / "first", delivered=0, kept=on_disk)
    delivered = 0
    for round_ in range(3):
        count = on_disk // 2 + 7
        assert [fields(e)["number"] for e in taken(outbox, count, done=True)] == [*range(delivered, delivered + count)]
        delivered += count
        come(outbox, range(MANY + 10 * round_, MANY + 10 * round_ + 10))
        # What was delivered has given its room to what waited for it.
        kept = min(on_disk * 3 // 4, 2 * MANY - delivered)
        expect_few_again(outbox, folder, tmp_path / str(round_), delivered=delivered, kept=kept)
    rest = 2 * MANY + 60 - delivered
    taken(outbox, rest, done=True)
    eventually(lambda: error(outbox) is None, "room again")
    expect_few_again(outbox, folder, tmp_path / "last", delivered=2 * MANY + 60, kept=0)
    outbox.close()
    assert retold(folder) == []


def test_a_backlog_that_fills_the_disk(small_disk: Callable[[str], Path], tmp_path: Path) -> None:
    through_a_backlog(small_disk("4m"), tmp_path)


def test_a_backlog_that_fills_what_a_file_may_have(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with limited(2**21):
        through_a_backlog(tmp_path / "state", tmp_path)


@pytest.mark.parametrize("size", ["200k", "400k", "1m"])
def test_a_disk_with_hardly_any_room(small_disk: Callable[[str], Path], size: str) -> None:
    disk = small_disk(size)
    outbox = spooled(disk, "old", retry_s=0.02)
    come(outbox, range(500))
    eventually(lambda: error(outbox) == "database or disk is full", "the end of the disk")
    taken(outbox, 1000, done=True)
    eventually(lambda: outbox.spool_health().state == "disk", "the disk again")
    outbox.close()
    assert retold(disk) == [], "what was delivered is not told again"


def test_a_disk_that_others_fill_costs_nothing_while_the_broker_is_there(
    small_disk: Callable[[str], Path], tmp_path: Path
) -> None:
    disk = small_disk("4m")
    outbox = spooled(disk, "old")
    fill(disk)
    for first in range(0, 3000, 100):
        come(outbox, range(first, first + 100))
        taken(outbox, 200, done=True)
    come(outbox, range(3000, 3050))
    assert error(outbox) is None
    expect_few_again(outbox, disk, tmp_path / "killed", delivered=6000, kept=100)
    outbox.close()


def test_a_start_on_a_full_disk(small_disk: Callable[[str], Path], tmp_path: Path) -> None:
    """What a stop left there is delivered, and a kill in the middle does not begin again from the first."""
    disk = small_disk("4m")
    outbox = spooled(disk, "old", capacity=100_000)
    come(outbox, range(400))
    outbox.close()
    filler = fill(disk)
    again = spooled(disk, "again", capacity=100_000, retry_s=3600)
    taken(again, 300, done=True)
    expect_few_again(again, disk, tmp_path / "killed", delivered=300, kept=500)
    taken(again, 500, done=True)
    again.close()
    filler.unlink()
    assert retold(disk) == []


def test_what_has_no_room_is_held_back_until_nothing_moves(
    small_disk: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spool_module, "HELD_S", 0.2)
    disk = small_disk("3m")
    now_s = [0.0]
    outbox = spooled(disk, "old", capacity=100_000, clock=lambda: now_s[0], retry_s=3600)
    come(outbox, range(MANY))
    eventually(lambda: error(outbox) is not None, "the end of the disk", 60)
    outbox.accept(told("start", "other", camera="door"))
    first = taken(outbox, 3)
    assert {fields(entry)["camera"] for entry in first} == {"main"}
    # Nobody acknowledges anything; meanwhile the other camera's visit must not wait for ever.
    held = outbox.take(lambda entry: entry.suffix.startswith("door"))
    assert held is None
    came = []

    def other() -> bool:
        # The wait begins anew with each row that still finds room, so one step of the clock may not be enough.
        now_s[0] += 0.3
        entry = outbox.take(lambda entry: entry.suffix.startswith("door"))
        came.extend([entry] if entry is not None else [])
        ours = outbox._spool
        assert ours is not None
        with ours._changed:
            ours._changed.notify()
        return bool(came)

    eventually(other, "the other camera")
    for entry in came:
        outbox.done(entry)
    # A number that was told and is not in the file is never given to an end that the next run makes up.
    again = spooled(killed(outbox, disk, tmp_path / "killed"), capacity=100_000)
    health = again.spool_health()
    assert "what had no room on the disk is lost" in caplog.text
    durable = health.interrupted[0].number
    assert durable < 2 * MANY
    ends = []
    while not again.idle:
        message = fields(taken(again, 1, done=True)[0])
        ends += [message["number"]] if message["reason"] == "power" else []
    assert all(number > durable + UNSURE for number in ends)
    assert health.interrupted[0].ended == len(ends)
    again.close()
    outbox.close()


def test_a_file_from_which_nothing_can_go_is_put_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails once; then what counts stands in another file, and a kill tells nothing twice."""
    outbox = spooled(tmp_path, "old", capacity=100_000)
    come(outbox, range(200))
    taken(outbox, 100, done=True)
    ours = outbox._spool
    assert ours is not None
    idle(ours)
    write, fails = Store.write, [1]

    def writes(self: Store, *args: object, **options: object) -> None:
        if fails.pop() if fails else 0:
            raise StoreError("disk I/O error")
        write(self, *args, **options)  # type: ignore[arg-type]

    os.link(tmp_path / "spool-hall.db", tmp_path / "the-old-one")
    monkeypatch.setattr(Store, "write", writes)
    taken(outbox, 100, done=True)
    eventually(lambda: not fails and error(outbox) is None, "another file")
    assert not (tmp_path / "spool-hall.db").samefile(tmp_path / "the-old-one")
    expect_few_again(outbox, tmp_path, tmp_path / "killed", delivered=200, kept=200)
    outbox.close()
