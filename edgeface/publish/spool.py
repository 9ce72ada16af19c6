"""The spool: starts and ends of visits lie on the disk before they are published, until the broker has them.

One thread writes. Who hands a row in never waits for the disk; the publisher is told when the row is written. Where
the disk is full, read-only or broken it goes on in memory, says so once, and writes everything as soon as it can.

Full, the file goes on losing what the broker has, and takes in as much as that gives room for, oldest first. What has
no room yet is held back meanwhile: told and not written, a killed program could not end it. Only when nothing moves for
`HELD_S` is it told from memory, once the file says that its last number is not the run's. A file from which not even
rows can go is put away at once, and what counts begins another: old rows must not be told again. Where it cannot be put
away either, for the file system has become read-only, a kill tells again what it holds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from edgeface.events import Interrupted, SpoolHealth
from edgeface.publish.journal import Batch, Journal, Row
from edgeface.publish.opening import open_or_begin
from edgeface.publish.recovery import SHORT, Replays, left_open, sentence
from edgeface.publish.spool_files import StoreError, discard
from edgeface.publish.store import Found, Store

logger = logging.getLogger(__name__)

REPEATS = 20
"""Most messages that a kill makes the next run tell again: those in flight, and those whose end is not written yet."""
RETRY_S = 60.0
STUCK_S = 2.0
"""A disk that takes longer holds up no message."""
HELD_S = 10.0
"""Nor does one that stays full for longer while nothing goes."""
GROW, FIT, SHRINK = 2, 1, 0
"""What a file that is full may still be asked: to grow, to take what fits, or only to lose rows."""


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
        self._offset: int | None = None
        self._hope = SHRINK
        self._held_since_s: float | None = None
        self._released = False
        self._anew_at_s = 0.0
        self._noted: str | None = None
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
        """Whether what is not delivered is kept for the next run, but for those that are `lost`."""
        return self._error is None or self._store is not None

    @property
    def lost(self) -> int:
        """How many of those that are not settled the next run would not find."""
        with self._changed:
            return 0 if self._error is None else self._journal.unwritten

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

    @property
    def totals(self) -> Mapping[str, bytes]:
        """Totals of the day by camera, as handed in last; after `open` those of earlier runs."""
        with self._changed:
            return self._journal.totals

    def keep(self, totals: Mapping[str, bytes]) -> None:
        """Take totals of the day by camera, before the visits that changed them and before who tells them."""
        with self._changed:
            self._journal.keep(totals)
            self._changed.notify()

    def current(self) -> bool:
        """Whether totals may be told: they are written, or cannot be; `Replays.wake` follows."""
        with self._changed:
            return not self._journal.stale or self._error is not None or self._stuck()

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
            if self._stuck() or (self._error is not None and self._store is None):
                return True
            if not self._journal.written(key):
                if self._error is not None and self._held_since_s is None:
                    self._held_since_s = self._clock()
                    self._changed.notify()
                return self._released
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
        now_s = self._clock()
        if self._store is None:
            return self._retry_at_s - now_s
        if self._error is None:
            return self._journal.wait_s(now_s) if self._noted != SHORT else 0.0
        if self._hope:
            return 0.0
        return min(self._journal.wait_s(now_s, full=True), self._retry_at_s - now_s, self._held_s(now_s))

    def _held_s(self, now_s: float) -> float:
        """Seconds until what is held back must go."""
        if self._held_since_s is None or self._released:
            return float("inf")
        return self._held_since_s + HELD_S - now_s if self._journal.stocked else 0.0

    def _try_open(self) -> None:
        """Open, take over what lies there, and write all that should; or note why that is not possible."""
        first = self._offset is None
        try:
            store, found = open_or_begin(self._path, self._offset)
        except StoreError as error:
            self._fail(error)
            return
        with self._changed:
            self._store, self._offset, self._hope = store, store.offset, GROW
            rows = self._take_over(found) if first else []
            if not first:
                self._journal.found(found.rows, found.totals)
            self._bytes = store.bytes
        if rows and self._replays is not None:
            self._replays.replay(rows)
        if self._error is not None:
            self._write(store)

    def _take_over(self, found: Found) -> list[Row]:
        """Load what lies there, and end what was left open; what is to be told of it, oldest first."""
        self._journal.load(found.rows, found.totals)
        self._over = tuple(found.runs)
        ends, self.interrupted = left_open(found.rows, found.runs, self._machine)
        for row in ends:
            self._journal.put(row)
        for told in self.interrupted:
            logger.warning("%s", sentence(told, found.runs[told.boot]))
        return [row for row in found.rows if not row.settled] + ends

    def _write(self, store: Store, *, last: bool = False) -> None:
        batch = None
        try:
            batch = self._batch(store, last=last)
            with self._changed:
                now_s = self._writing_since_s = self._clock()
                clean = last and not self._journal.lasting and len(batch) == self._journal.pending
                release = not len(batch) and self._held_s(now_s) <= 0
                # What is told from memory has numbers that the file does not know.
                machine = self._machine if self._error is None else SHORT
                begins = (batch.new or release) and self._noted is None
                runs = [(self._boot, machine)] if begins or self._noted not in (None, machine) else []
                over = [*self._over, *([self._boot] if clean else [])]
            store.write(batch, runs=[] if clean else runs, over=over)
        except StoreError as error:
            if batch is not None and batch.grows and not error.rubbish:
                self._no_room(error)
            else:
                self._begin_anew(store, error)
            return
        with self._changed:
            self._journal.wrote(batch, self._clock())
            self._noted, self._over = machine if runs else self._noted, ()
            self._released = not batch.new and (self._released or release)
            self._held_since_s = None if batch.new else self._held_since_s
        try:
            if batch.flush:
                store.flush()
            store.fold()
            ample = self._error is None or store.ample
        except StoreError as error:
            self._begin_anew(store, error)
            return
        self._written(batch, store.bytes, ample=ample)

    def _batch(self, store: Store, *, last: bool) -> Batch:
        """What is to be written, as far as it has room."""
        with self._changed:
            now_s = self._clock()
            if self._error is not None and now_s >= self._retry_at_s:
                self._hope, self._retry_at_s = GROW, now_s + self._retry_s
            grows = self._error is None or self._hope == GROW
        room = None if grows else store.room if self._hope == FIT else 0
        with self._changed:
            batch = self._journal.batch(self._clock(), step=store.step, room=room)
        return replace(batch, flush=True) if last else batch

    def _written(self, batch: Batch, size: int, *, ample: bool) -> None:
        with self._changed:
            self._writing_since_s, self._bytes = None, size
            again = self._error is not None and not self._journal.behind and ample
            if again:
                self._error, self._hope, self._held_since_s, self._released = None, SHRINK, None, False
            elif not len(batch):
                self._hope = SHRINK
            elif batch.gone:
                self._hope = max(self._hope, FIT)
        if again:
            logger.info("the spool is written again")
        if self._replays is not None:
            self._replays.wake()

    def _no_room(self, error: StoreError) -> None:
        """New rows do not fit; others go, and some may take their place."""
        with self._changed:
            grew = self._error is None or self._hope == GROW
            self._hope = FIT if grew else SHRINK
            self._retry_at_s = self._clock() + self._retry_s if grew else self._retry_at_s
            self._writing_since_s = None
        self._trouble(error)

    def _begin_anew(self, store: Store, error: StoreError) -> None:
        """Not even rows can go: put the file away, and begin another where that is possible."""
        now_s = self._clock()
        if not error.rubbish:
            # While it is ours. What it holds and the broker has not is in memory.
            discard(self._path)
        if error.rubbish or now_s < self._anew_at_s:
            self._fail(error)
            return
        store.release()
        with self._changed:
            self._store, self._anew_at_s = None, now_s + self._retry_s
        try:
            fresh, found = open_or_begin(self._path, self._offset)
        except StoreError:
            self._fail(error)
            return
        with self._changed:
            self._store, self._noted, self._hope = fresh, None, GROW
            self._retry_at_s, self._writing_since_s = now_s + self._retry_s, None
            self._journal.found(found.rows, found.totals)
        self._trouble(error)

    def _finish(self) -> None:
        """Write the last word, where there is one; a run that had nothing to say leaves the file as it was."""
        with self._changed:
            self._journal.end()
            left, before, self._hope = self._journal.pending, -1, GROW
        if self._noted is not None or self._over or left:
            while self._store is not None and (before < 0 or (left and (left != before or self._hope))):
                self._write(self._store, last=True)
                before, left = left, self._journal.pending
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
            self._writing_since_s = None
            # A file that turns out to be rubbish is set aside at once; a disk may take its time.
            self._retry_at_s = self._clock() + (0.0 if error.rubbish and self._error is None else self._retry_s)
            self._journal.lost()
            self._noted = None
        self._trouble(error)

    def _trouble(self, error: StoreError) -> None:
        """Say that visits wait in memory, once."""
        with self._changed:
            first, self._error = self._error is None, str(error)
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
