"""The spool: starts and ends of visits lie on the disk before they are published, until the broker has them.

One thread writes. Who hands a row in never waits for the disk; the publisher is told when the row is written. Where
the disk is full, read-only or broken it goes on in memory, says so once, and writes everything as soon as it can.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from edgeface.events import Interrupted, SpoolHealth
from edgeface.publish.journal import Journal, Row
from edgeface.publish.recovery import expect_message, recover
from edgeface.publish.store import Found, Store, StoreError, discard, set_aside

logger = logging.getLogger(__name__)

REPEATS = 20
"""Most messages that a kill makes the next run tell again: those in flight, and those whose end is not written yet."""
RETRY_S = 60.0
STUCK_S = 2.0
"""A disk that takes longer holds up no message."""


def forget(folder: Path, node: str) -> None:
    """Take away what earlier runs left of visits: they may not be told any more. Nobody may have it open."""
    path = folder / f"spool-{node}.db"
    if path.exists():
        discard(path)
        logger.warning("%s is deleted: privacy.least_count lets no single visit be told, nor be kept", path)


class Replays(Protocol):
    """Who takes what earlier runs left, and wants to know when something was written."""

    def replay(self, rows: Sequence[Row]) -> None:
        """Take rows that are older than everything else, in order."""

    def wake(self) -> None:
        """Something was written."""


class Spool:
    """The spool of one node for one run; safe to use from several threads.

    Parameters
    ----------
    folder : need not exist
    node, boot : who we are and which run this is
    machine : the machine's own boot
    retry_s : seconds between tries to write again

    Attributes
    ----------
    interrupted : earlier runs that ended without a stop
    """

    def __init__(
        self,
        folder: Path,
        *,
        node: str,
        boot: str,
        machine: str,
        retry_s: float = RETRY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = folder / f"spool-{node}.db"
        self._boot = boot
        self._machine = machine
        self._retry_s = retry_s
        self._clock = clock
        self._changed = threading.Condition()
        self._journal = Journal()
        self._store: Store | None = None
        self._error: str | None = None
        self._retry_at_s = 0.0
        self._read = False
        self._known = False
        self._over: tuple[str, ...] = ()
        self._writing_since_s: float | None = None
        self._slow = False
        self._closing = False
        self._number: int | None = None
        self._bytes = 0
        self._replays: Replays | None = None
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self.interrupted: tuple[Interrupted, ...] = ()

    @property
    def keeps(self) -> bool:
        """Whether what is not delivered is kept for the next run."""
        return self._error is None

    def open(self, replays: Replays) -> None:
        """Take over what earlier runs left, and begin to write; once."""
        self._replays = replays
        self._try_open()
        self._thread.start()

    def put(self, row: Row) -> None:
        """Take a start or an end, before it is published."""
        with self._changed:
            self._journal.put(replace(row, time_s=self._clock()))
            self._number = row.number
            self._changed.notify()

    def settle(self, key: int) -> None:
        """Note that a message needs to be sent no more."""
        with self._changed:
            self._journal.settle(key)
            if self._journal.wait_s(self._clock()) == 0:
                self._changed.notify()

    def safe(self, key: int, *, in_flight: int) -> bool:
        """Whether a message may be published: it is written, and a kill would repeat few; `Replays.wake` follows.

        ``in_flight``: starts and ends that are sent and not settled.
        """
        with self._changed:
            if self._error is not None or self._stuck():
                return True
            if not self._journal.written(key):
                return False
            if in_flight + self._journal.repeats < REPEATS:
                return True
            self._journal.hurry()
            self._changed.notify()
            return False

    def health(self) -> SpoolHealth:
        """Describe the spool for the health message."""
        with self._changed:
            return SpoolHealth(
                state="memory" if self._error is not None else "disk",
                error=self._error,
                number=self._number,
                waiting=self._journal.waiting,
                bytes=self._bytes,
                interrupted=list(self.interrupted),
            )

    def close(self, *, timeout_s: float = 1.0) -> None:
        """Write what is left, and let go of the file; whatever is not settled waits there for the next run."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closing and (wait_s := self._wait_s()) > 0:
                    self._changed.wait(None if wait_s == float("inf") else wait_s)
                closing = self._closing
            try:
                if closing:
                    self._finish()
                elif self._store is None:
                    self._try_open()
                else:
                    self._write(self._store)
            except Exception as error:
                # A mistake of ours must not hold messages back for good; the traceback tells of it.
                logger.exception("the spool broke on an error of this program")
                self._fail(StoreError(f"an error of this program: {error}"))
            if closing:
                return

    def _wait_s(self) -> float:
        if self._store is None:
            return self._retry_at_s - self._clock()
        return self._journal.wait_s(self._clock())

    def _try_open(self) -> None:
        """Open, take over what lies there, and write all that should; or note why that is not possible."""
        try:
            store, found = self._opened()
        except StoreError as error:
            self._fail(error)
            return
        first, broken = not self._read, self._error is not None
        with self._changed:
            self._store, self._read = store, True
            rows = self._take_over(found) if first else []
            if broken or not first:
                self._journal.lost()
            self._bytes = store.bytes
        if rows and self._replays is not None:
            self._replays.replay(rows)
        if broken or not first:
            self._write(store, anew=True)

    def _opened(self) -> tuple[Store, Found]:
        try:
            return _open_and_read(self._path)
        except StoreError as error:
            if not error.rubbish:
                raise
            place = set_aside(self._path)
            logger.warning("the spool does not hold, %s: it starts empty, and the old one is kept as %s", error, place)
            return _open_and_read(self._path)

    def _take_over(self, found: Found) -> list[Row]:
        """Load what lies there, and end what was left open; what is to be told of it, oldest first."""
        self._journal.load(found.rows)
        self._over = tuple(found.runs)
        recovered = [
            left
            for boot, machine in found.runs.items()
            if (left := recover(found.rows, boot, sure=bool(machine) and machine == self._machine)) is not None
        ]
        ends = [row for left in recovered for row in left.rows]
        # Between what lies there and what this run will put, whose keys begin with 0.
        ends = [replace(row, key=place - len(ends)) for place, row in enumerate(ends)]
        for row in ends:
            self._journal.put(row)
        self.interrupted = tuple(left.told for left in recovered)
        for told in self.interrupted:
            logger.warning("%s", _sentence(told))
        return [row for row in found.rows if not row.settled] + ends

    def _write(self, store: Store, *, anew: bool = False, last: bool = False) -> None:
        with self._changed:
            batch = self._journal.batch(self._clock())
            if last:
                batch = replace(batch, flush=True)
            self._writing_since_s = self._clock()
            clean = last and not self._journal.lasting
            runs = [(self._boot, self._machine)] if batch.new and not self._known and not clean else []
            over = [*self._over, *([self._boot] if clean else [])]
        try:
            store.write(batch, runs=runs, over=over, anew=anew)
            if batch.flush:
                store.flush()
        except StoreError as error:
            self._fail(error)
            if anew and "full" in str(error):
                # It may be the old rows that fill it: all that counts is in memory, and the next try begins anew.
                discard(self._path)
            return
        with self._changed:
            self._journal.wrote(batch, self._clock())
            self._known, self._over = self._known or bool(runs), ()
            self._writing_since_s, self._bytes = None, store.bytes
            again, self._error = self._error is not None, None
        if again:
            logger.info("the spool is written again")
        if self._replays is not None:
            self._replays.wake()

    def _finish(self) -> None:
        """Write the last word, where there is one; a run that had nothing to say leaves the file as it was."""
        if self._store is None:
            return
        with self._changed:
            self._journal.end()
            batch = self._journal.batch(self._clock())
        if self._known or self._over or batch.new or batch.gone or batch.settled:
            self._write(self._store, last=True)
        if self._store is not None:
            try:
                self._store.close()
            except StoreError as error:
                self._fail(error)

    def _fail(self, error: StoreError) -> None:
        with self._changed:
            if self._store is not None:
                self._store.release()
                self._store = None
            first, self._error = self._error is None, str(error)
            self._writing_since_s = None
            # A file that turns out to be rubbish is set aside at once; a disk may take its time.
            self._retry_at_s = self._clock() + (0.0 if error.rubbish and first else self._retry_s)
            self._journal.lost()
            self._known = False
        if first:
            logger.warning(
                "the spool %s cannot be written (%s): visits wait in memory only until it can; "
                "check free space and permissions",
                self._path,
                error,
            )
        if self._replays is not None:
            self._replays.wake()

    def _stuck(self) -> bool:
        since_s = self._writing_since_s
        if since_s is None or self._clock() - since_s < STUCK_S:
            return False
        if not self._slow:
            self._slow = True
            logger.warning(
                "the disk takes longer than %g s to write the spool: visits are published before they are written",
                STUCK_S,
            )
        return True


def _open_and_read(path: Path) -> tuple[Store, Found]:
    store = Store(path)
    try:
        found = store.read()
        for row in found.rows:
            expect_message(row)
    except BaseException:
        store.release()
        raise
    return store, found


def _sentence(told: Interrupted) -> str:
    return (
        f"boot {told.boot} ended without a stop: its visits are durable up to number {told.number}, up to "
        f"{told.seconds:g} s may be missing; {told.ended} that lasted then are ended with reason power"
    )
