"""The spool's file: SQLite, read with suspicion, written so that a power cut leaves a whole one.

Why a write-ahead log: a commit only adds pages whose checksums a later reader holds them against, so a cut leaves
what was whole before; a rollback journal would write each page twice and wait three times for the disk. A commit
hands over to the kernel and waits for nothing, which a killed program survives; `Store.flush` waits for the disk, and
that is what costs a flash card its life. Pages are small, for a flush writes whole pages. The log is folded into the
file when it is full (`LOG_BYTES`), not at SQLite's own choice, for that flushes too.

A log that grows costs more than what is written to it: with each flush the file system writes down anew how long it is,
in a journal of its own, five to ten blocks for one. So the log is filled with zeros once, up to where it is folded, and
used again from its beginning: a flush writes a block or two where they lie, and nothing else.

On a full disk rows must still go, or a kill would tell them all again. What that takes is kept beforehand (`room`): the
log has blocks for twice its length, the file has them for every page that the log may bring. A new row that would need
others is refused before anything is touched. Where a file system keeps nothing beforehand, that is what is missing.

What lies in the file may be cut, rubbish, or somebody else's: sizes, schema, SQLite's own check and a checksum of each
row hold before a row is believed. What does not hold is set aside, whole.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edgeface.errors import EdgefaceError
from edgeface.files import make_folder
from edgeface.publish.journal import BATCH_BYTES, ROW_BYTES, Batch, Row
from edgeface.publish.room import keep_most
from edgeface.publish.spool_files import StoreError, discard, files_bytes, size
from edgeface.publish.spool_log import Log
from edgeface.publish.spool_rows import read_row, read_totals, row_checksum, row_values, totals_checksum

T = TypeVar("T")
PAGE_BYTES = 1024
LOG_BYTES = 4 * BATCH_BYTES
SPARE_BYTES = 2 * BATCH_BYTES
"""Kept for rows to come."""
AMPLE_BYTES = 32 * 2**10
MOST_BYTES = 512 * 2**20
"""A larger file is none of ours: 100,000 rows are a quarter of it."""
APPLICATION, VERSION, WITHOUT_TOTALS = 0xED6EFACE - 2**32, 2, 1
"""SQLite keeps them as signed numbers in the file's head; the version before had no totals, and is taken over."""
SCHEMA = {
    "message": (
        "CREATE TABLE message (id INTEGER PRIMARY KEY, boot TEXT NOT NULL, number INTEGER NOT NULL, "
        "seq INTEGER NOT NULL, suffix TEXT NOT NULL, event TEXT NOT NULL, visit TEXT NOT NULL, payload BLOB NOT NULL, "
        "settled INTEGER NOT NULL, time REAL NOT NULL, checksum INTEGER NOT NULL)"
    ),
    "run": "CREATE TABLE run (boot TEXT PRIMARY KEY, machine TEXT NOT NULL) WITHOUT ROWID",
    "totals": (
        "CREATE TABLE totals (camera TEXT PRIMARY KEY, days BLOB NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID"
    ),
}
ROOM = 100_000
"""Keys between what lies there and what comes: ends of visits that were left open are put there."""
_ELSEWHERE = ("readonly", "read-only", "full", "disk i/o error", "unable to open", "not authorized")
"""In SQLite's words: trouble that is not the file's own fault. Numbers come with Python 3.11 only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What lay in the file: rows, oldest first, keys below -`ROOM`; by id the runs that have not ended with a stop.

    ``runs`` maps each to the machine's own boot in which it ran, ``totals`` each camera to those of its day.
    """

    rows: tuple[Row, ...]
    runs: dict[str, str]
    totals: dict[str, bytes]


class Store:
    """One spool file, held by one process; from one thread at a time.

    Parameters
    ----------
    offset : of the store that had this file before in this process: keys mean the same rows

    Attributes
    ----------
    step : bytes that a batch may take, more or less (`Journal.batch`)

    Raises
    ------
    StoreError : from every method
    """

    def __init__(self, path: Path, *, offset: int | None = None) -> None:
        self.path = path
        self.step = BATCH_BYTES
        self.offset = offset
        self._files: list[int] = []
        self._named = False
        self._log_bytes = LOG_BYTES
        self._log_cut = False
        self._kept = 0
        self._keeps = True
        old = files_bytes(path)
        if self._tried(lambda: size(path)) == 0:
            raise StoreError("it is empty", rubbish=True)
        if old > MOST_BYTES:
            raise StoreError(f"it has {old} bytes", rubbish=True)
        try:
            make_folder(path.parent)
        except EdgefaceError as error:
            raise StoreError(error.what) from None
        fresh = not path.exists()
        # Private from the first byte on: it says who was where.
        self._tried(lambda: os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)))
        self._db = self._tried(lambda: sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False))
        try:
            self._tried(self._begin)
        except BaseException:
            self.release()
            if fresh:
                discard(path)
            raise

    @property
    def bytes(self) -> int:
        """Size of the file, and of what its log is filled with."""
        return (size(self.path) or 0) + self._tried(self._log.used)

    @property
    def room(self) -> int:
        """Bytes that new rows may take for certain."""
        return self._tried(self._room)

    @property
    def ample(self) -> bool:
        """Whether there is room for more than a few rows, as far as can be told; it is kept where there is."""
        return self._tried(self._ample)

    def read(self) -> Found:
        """Read everything, and hold it against its checksums."""
        return self._tried(self._read)

    def write(self, batch: Batch, *, runs: Iterable[tuple[str, str]], over: Iterable[str]) -> None:
        """Write a batch in one step: all of it survives, or nothing of it.

        Parameters
        ----------
        runs : boots that begin to be known, each with the machine's
        over : boots that need not be known any more
        """
        self._tried(lambda: self._write(batch, runs, over))

    def flush(self) -> None:
        """Wait until everything written has reached the disk."""
        self._tried(self._flush)

    def fold(self) -> None:
        """Fold the log into the file where it has grown."""
        self._tried(self._fold)

    def close(self) -> None:
        """Fold the log into the file, and let go; the file keeps until the next start what was kept for the log."""
        self._tried(self._db.close)
        self._keep_closed()
        self.release()

    def release(self) -> None:
        """Let go, however it stands."""
        if hasattr(self, "_db"):
            with suppress(sqlite3.Error):
                self._db.close()
        # SQLite's locks are on the file, and go with any descriptor of it.
        while self._files:
            os.close(self._files.pop())

    def _begin(self) -> None:
        run = self._db.execute
        for line in (
            "trusted_schema = OFF",
            "cell_size_check = ON",
            f"page_size = {PAGE_BYTES}",
            "locking_mode = EXCLUSIVE",
            "synchronous = NORMAL",
            "secure_delete = ON",
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
            self.offset = ROOM if self.offset is None else self.offset
            before = VERSION
        else:
            before = self._expect_ours()
        run("PRAGMA wal_autocheckpoint = 0")
        # Takes the lock now, and not at the first visit.
        run("BEGIN IMMEDIATE")
        run("COMMIT")
        for path in (self.path, f"{self.path}-wal"):
            self._files.append(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        self._log = Log(self._files[1])
        self._keep_log()
        self._keep_pages(SPARE_BYTES)
        if before == WITHOUT_TOTALS:
            self._begin_totals()

    def _begin_totals(self) -> None:
        """Let a file of the version before have what this one has."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute(SCHEMA["totals"])
            self._db.execute(f"PRAGMA user_version = {VERSION}")
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def _expect_ours(self) -> int:
        """Which version it is."""

        def one(pragma: str) -> object:
            return self._db.execute(f"PRAGMA {pragma}").fetchone()[0]

        application, version = one("application_id"), one("user_version")
        if application != APPLICATION or version not in (VERSION, WITHOUT_TOTALS):
            raise StoreError("it is no spool of this version", rubbish=True)
        tables = {name: sql for name, sql in SCHEMA.items() if version == VERSION or name != "totals"}
        if dict(self._db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")) != tables:
            raise StoreError("its tables are others", rubbish=True)
        if one("quick_check(1)") != "ok":
            raise StoreError("SQLite finds it damaged", rubbish=True)
        if one("journal_mode = WAL") != "wal":
            raise StoreError("it takes no write-ahead log")
        return VERSION if version == VERSION else WITHOUT_TOTALS

    def _read(self) -> Found:
        read = self._db.execute(
            "SELECT id, boot, number, seq, suffix, event, visit, payload, settled, time, checksum FROM message "
            "ORDER BY id"
        ).fetchall()
        if self.offset is None:
            self.offset = read[-1][0] + 1 + ROOM if read else ROOM
        offset = self.offset
        return Found(
            rows=tuple(read_row(values, offset) for values in read),
            runs=dict(self._db.execute("SELECT boot, machine FROM run")),
            totals=read_totals(self._db.execute("SELECT camera, days, checksum FROM totals").fetchall()),
        )

    def _write(self, batch: Batch, runs: Iterable[tuple[str, str]], over: Iterable[str]) -> None:
        many, offset = self._db.executemany, self.offset
        if offset is None:
            raise StoreError("it was not read")
        if batch.grows:
            values = (*(row.payload for row in batch.new), *batch.totals.values())
            self._make_room(sum(len(value) + ROW_BYTES for value in values))
        self._db.execute("BEGIN IMMEDIATE")
        try:
            many("INSERT OR REPLACE INTO run VALUES (?, ?)", runs)
            many("DELETE FROM run WHERE boot = ?", [(boot,) for boot in over])
            many("DELETE FROM message WHERE id = ?", [(key + offset,) for key in batch.gone])
            many("UPDATE message SET settled = 1 WHERE id = ?", [(key + offset,) for key in batch.settled])
            many(
                "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(row.key + offset, *row_values(row), row.settled, row.time_s, row_checksum(row)) for row in batch.new],
            )
            many(
                "INSERT OR REPLACE INTO totals VALUES (?, ?, ?)",
                [(camera, days, totals_checksum(camera, days)) for camera, days in batch.totals.items()],
            )
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            # A limit that is no matter of blocks; what rows leave in the file has room all the same.
            self._kept = 0
            raise

    def _flush(self) -> None:
        if not self._named:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            self._named = True
        os.fdatasync(self._files[1])

    def _fold(self) -> None:
        if self._log_cut:
            self._log_cut = False
            self._keep_log()
        if self._log.used() <= self._log_bytes:
            return
        self._db.execute("PRAGMA wal_checkpoint(RESTART)")
        self._log.folded()
        # SQLite has cut the file to its pages, and cuts the log to its limit at the next commit.
        self._keep_pages(SPARE_BYTES)
        self._log_cut = True

    def _keep_log(self) -> None:
        """Keep twice what the log may have: it is folded when it is longer than that, and one step may be on top."""
        sizes = tuple(2 * LOG_BYTES >> by for by in range(6))
        kept = keep_most(self._files[1], sizes)
        if kept == 0:
            # What the last stop left behind the end of the file.
            os.ftruncate(self._files[0], os.fstat(self._files[0]).st_size)
            kept = keep_most(self._files[1], sizes)
        self._log_bytes = LOG_BYTES if kept is None else max(kept, 2 * LOG_BYTES >> 5) // 2
        if kept:
            self._log.fill(self._log_bytes)
        self.step = self._log_bytes // 4
        self._db.execute(f"PRAGMA journal_size_limit = {self._log_bytes}")

    def _keep_pages(self, spare: int) -> None:
        """Keep what the file has, and what may come; as much of it as there is."""
        has = self._pages("page_count")
        kept = keep_most(self._files[0], (*(has + (spare >> by) for by in range(6)), has))
        self._keeps, self._kept = kept is not None, kept or has

    def _keep_closed(self) -> None:
        size = os.fstat(self._files[0]).st_size
        keep_most(self._files[0], tuple(size + (2 * LOG_BYTES + SPARE_BYTES >> by) for by in range(6)))

    def _make_room(self, need: int) -> None:
        if not self._keeps or need <= self._room():
            return
        self._keep_pages(need + SPARE_BYTES)
        if self._keeps and need > self._room():
            raise StoreError("database or disk is full")

    def _ample(self) -> bool:
        if self._keeps and self._room() < AMPLE_BYTES:
            self._keep_pages(SPARE_BYTES)
        return not self._keeps or self._room() >= AMPLE_BYTES

    def _room(self) -> int:
        return self._pages("freelist_count") + max(0, self._kept - self._pages("page_count"))

    def _pages(self, pragma: str) -> int:
        count: int = self._db.execute(f"PRAGMA {pragma}").fetchone()[0]
        return count * PAGE_BYTES

    def _tried(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except (UnicodeDecodeError, MemoryError):
            # SQLite names in its error what it met, and that is no text; or Python finds no text at all in it.
            raise StoreError("its tables have no names", rubbish=True) from None
        except (sqlite3.Error, OverflowError) as error:
            why = str(error)
            if "locked" in why:
                raise StoreError("another process of this node has it") from None
            raise StoreError(why, rubbish=not any(word in why.lower() for word in _ELSEWHERE)) from None
        except OSError as error:
            raise StoreError(error.strerror or str(error)) from None
