"""The spool's file: SQLite, read with suspicion, written so that a power cut leaves a whole one.

Why a write-ahead log: a commit only appends pages whose checksums a later reader holds them against, so a cut leaves
what was whole before; a rollback journal would write each page twice and wait three times for the disk. A commit
hands over to the kernel and waits for nothing, which a killed program survives; `Store.flush` waits for the disk, and
that is what costs a flash card its life. Pages are small, for a flush writes whole pages. The log is folded into the
file when it has grown (`LOG_BYTES`), not at SQLite's own choice, for that flushes too; its blocks are then used again,
so that rows can still be deleted on a full disk.

What lies in the file may be cut, rubbish, or somebody else's: sizes, schema, SQLite's own check and a checksum of each
row hold before a row is believed. What does not hold is set aside, whole.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from edgeface.errors import EdgefaceError
from edgeface.files import make_folder
from edgeface.publish.journal import Batch, Row

T = TypeVar("T")
PAGE_BYTES = 1024
LOG_BYTES = 2**20
MOST_BYTES = 512 * 2**20
"""A larger file is none of ours: 100,000 rows are a quarter of it."""
MOST_S = 1e10
"""No machine is up for longer."""
KEPT_ASIDE = 3
APPLICATION, VERSION = 0xED6EFACE - 2**32, 1
"""SQLite keeps both as signed numbers in the file's head."""
SCHEMA = {
    "message": (
        "CREATE TABLE message (id INTEGER PRIMARY KEY, boot TEXT NOT NULL, number INTEGER NOT NULL, "
        "seq INTEGER NOT NULL, suffix TEXT NOT NULL, event TEXT NOT NULL, visit TEXT NOT NULL, payload BLOB NOT NULL, "
        "settled INTEGER NOT NULL, time REAL NOT NULL, checksum INTEGER NOT NULL)"
    ),
    "run": "CREATE TABLE run (boot TEXT PRIMARY KEY, machine TEXT NOT NULL) WITHOUT ROWID",
}
ROOM = 100_000
"""Keys between what lies there and what comes: ends of visits that were left open are put there."""
BESIDE = ("-wal", "-shm", "-journal")
_ELSEWHERE = ("readonly", "read-only", "full", "disk i/o error", "unable to open", "not authorized")
"""In SQLite's words: trouble that is not the file's own fault. Numbers come with Python 3.11 only."""


class StoreError(Exception):
    """The file cannot be read or written; ``rubbish`` where it is the file's own fault."""

    def __init__(self, why: str, *, rubbish: bool = False) -> None:
        super().__init__(why)
        self.rubbish = rubbish


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What lay in the file: rows, oldest first, keys below -`ROOM`; by id the runs that have not ended with a stop.

    ``runs`` maps each to the machine's own boot in which it ran.
    """

    rows: tuple[Row, ...]
    runs: dict[str, str]


class Store:
    """One spool file, held by one process; from one thread at a time.

    Raises
    ------
    StoreError : from every method
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._log: int | None = None
        self._offset = ROOM
        old = _files_bytes(path)
        if self._tried(lambda: _size(path)) == 0:
            raise StoreError("it is empty", rubbish=True)
        if old > MOST_BYTES:
            raise StoreError(f"it has {old} bytes", rubbish=True)
        try:
            make_folder(path.parent)
        except EdgefaceError as error:
            raise StoreError(error.what) from None
        # Private from the first byte on: it says who was where.
        self._tried(lambda: os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)))
        self._db = self._tried(lambda: sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False))
        try:
            self._tried(self._begin)
        except BaseException:
            self.release()
            raise

    @property
    def bytes(self) -> int:
        """Size of the file and its log."""
        return _files_bytes(self.path)

    def read(self) -> Found:
        """Read everything, and hold it against its checksums."""
        return self._tried(self._read)

    def write(self, batch: Batch, *, runs: Iterable[tuple[str, str]], over: Iterable[str], anew: bool = False) -> None:
        """Write a batch in one step: all of it survives, or nothing of it.

        Parameters
        ----------
        runs : boots that begin to be known, each with the machine's
        over : boots that need not be known any more
        anew : whether the batch is all there is
        """
        self._tried(lambda: self._write(batch, runs, over, anew))

    def flush(self) -> None:
        """Wait until everything written has reached the disk, and fold the log into the file where it has grown."""
        self._tried(self._flush)

    def close(self) -> None:
        """Fold the log into the file, and let go."""
        self._tried(self._db.close)
        self.release()

    def release(self) -> None:
        """Let go, however it stands."""
        if self._log is not None:
            os.close(self._log)
            self._log = None
        if hasattr(self, "_db"):
            with suppress(sqlite3.Error):
                self._db.close()

    def _begin(self) -> None:
        run = self._db.execute
        for line in (
            "trusted_schema = OFF",
            "cell_size_check = ON",
            f"page_size = {PAGE_BYTES}",
            "locking_mode = EXCLUSIVE",
            "synchronous = NORMAL",
            "secure_delete = FAST",
            "temp_store = MEMORY",
            "cache_size = -512",
        ):
            run(f"PRAGMA {line}")
        fresh = self.path.stat().st_size == 0
        if fresh:
            run("PRAGMA journal_mode = WAL")
            run("BEGIN IMMEDIATE")
            for line in SCHEMA.values():
                run(line)
            run(f"PRAGMA application_id = {APPLICATION}")
            run(f"PRAGMA user_version = {VERSION}")
            run("COMMIT")
            # So that the file is one of ours even when its log is lost.
            run("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            self._expect_ours()
        run("PRAGMA wal_autocheckpoint = 0")
        run(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        # Takes the lock now, and not at the first visit.
        run("BEGIN IMMEDIATE")
        run("COMMIT")

    def _expect_ours(self) -> None:
        def one(pragma: str) -> object:
            return self._db.execute(f"PRAGMA {pragma}").fetchone()[0]

        if (one("application_id"), one("user_version")) != (APPLICATION, VERSION):
            raise StoreError("it is no spool of this version", rubbish=True)
        if dict(self._db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")) != SCHEMA:
            raise StoreError("its tables are others", rubbish=True)
        if one("quick_check(1)") != "ok":
            raise StoreError("SQLite finds it damaged", rubbish=True)
        if one("journal_mode = WAL") != "wal":
            raise StoreError("it takes no write-ahead log")

    def _read(self) -> Found:
        read = self._db.execute(
            "SELECT id, boot, number, seq, suffix, event, visit, payload, settled, time, checksum FROM message "
            "ORDER BY id"
        ).fetchall()
        self._offset = read[-1][0] + 1 + ROOM if read else ROOM
        return Found(
            rows=tuple(_row(values, self._offset) for values in read),
            runs=dict(self._db.execute("SELECT boot, machine FROM run")),
        )

    def _write(self, batch: Batch, runs: Iterable[tuple[str, str]], over: Iterable[str], anew: bool) -> None:
        many = self._db.executemany
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if anew:
                self._db.execute("DELETE FROM message")
            many("INSERT OR REPLACE INTO run VALUES (?, ?)", runs)
            many("DELETE FROM run WHERE boot = ?", [(boot,) for boot in over])
            many("DELETE FROM message WHERE id = ?", [(key + self._offset,) for key in batch.gone])
            many("UPDATE message SET settled = 1 WHERE id = ?", [(key + self._offset,) for key in batch.settled])
            many(
                "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(row.key + self._offset, *_values(row), row.settled, row.time_s, _checksum(row)) for row in batch.new],
            )
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def _flush(self) -> None:
        if self._log is None:
            # SQLite's locks are on the file itself, so a descriptor of the log may come and go.
            self._log = os.open(f"{self.path}-wal", os.O_RDONLY | os.O_CLOEXEC)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        os.fdatasync(self._log)
        if os.fstat(self._log).st_size > LOG_BYTES:
            self._db.execute("PRAGMA wal_checkpoint(RESTART)")

    def _tried(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except UnicodeDecodeError:
            # SQLite names in its error what it met, and that is no text.
            raise StoreError("its tables have no names", rubbish=True) from None
        except (sqlite3.Error, OverflowError) as error:
            why = str(error)
            if "locked" in why:
                raise StoreError("another process of this node has it") from None
            raise StoreError(why, rubbish=not any(word in why.lower() for word in _ELSEWHERE)) from None
        except OSError as error:
            raise StoreError(error.strerror or str(error)) from None


def discard(path: Path) -> None:
    """Remove a file and its log, where that is possible."""
    for name in (str(path), *(f"{path}{suffix}" for suffix in BESIDE)):
        with suppress(OSError):
            Path(name).unlink()


def set_aside(path: Path) -> Path:
    """Move a file that does not hold out of the way, with its log; where it lies now. The oldest of three goes.

    Raises
    ------
    StoreError : it cannot be moved
    """
    places = [path.with_name(f"{path.name}.bad-{number}") for number in range(1, KEPT_ASIDE + 1)]
    free = [place for place in places if not place.exists()]
    try:
        place = free[0] if free else min(places, key=lambda one: one.stat().st_mtime)
        for suffix in BESIDE:
            Path(f"{place}{suffix}").unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").replace(f"{place}{suffix}")
        path.replace(place)
        # Its time says when it was set aside.
        os.utime(place)
    except OSError as error:
        raise StoreError(error.strerror or str(error)) from None
    return place


def _row(values: tuple[Any, ...], offset: int) -> Row:
    key, boot, number, seq, suffix, event, visit, payload, settled, time_s, checksum = values
    whole = all(isinstance(value, int) for value in (key, number, seq, settled, checksum))
    texts = all(isinstance(value, str) for value in (boot, suffix, event, visit))
    if not (whole and texts and isinstance(payload, bytes) and event in ("start", "end") and _is_time(time_s)):
        raise StoreError("a row is no message", rubbish=True)
    row = Row(
        key=key - offset,
        boot=boot,
        number=number,
        seq=seq,
        suffix=suffix,
        event=event,
        visit=visit,
        payload=payload,
        settled=bool(settled),
        time_s=time_s,
    )
    if _checksum(row) != checksum:
        raise StoreError("a row is not what was written", rubbish=True)
    return row


def _values(row: Row) -> tuple[str, int, int, str, Literal["start", "end"], str, bytes]:
    return row.boot, row.number, row.seq, row.suffix, row.event, row.visit, row.payload


def _checksum(row: Row) -> int:
    """Of all but the key, which a new start counts anew, and of what changes."""
    return zlib.crc32(repr((*_values(row), row.time_s)).encode())


def _is_time(value: object) -> bool:
    return isinstance(value, float) and 0 <= value < MOST_S


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _files_bytes(path: Path) -> int:
    total = 0
    for name in (str(path), *(f"{path}{suffix}" for suffix in BESIDE)):
        with suppress(OSError):
            total += Path(name).stat().st_size
    return total
