"""What is on the disk of visits that the broker does not have: which rows, and when they are written.

Pure: no file, no clock, no thread. `Journal` knows what should lie on the disk and what does; `spool` asks it for the
next `Batch` and `store` writes that. The start and the end of a visit are rows; updates are none. A row goes when
its message is settled (acknowledged, given up, refused for good), but for two kinds that stay on:

- the start of a visit that lasts, and an end whose start is still there: from a start alone the next run would tell
  that the visit was cut short;
- the newest of all, for its number says up to where the run's visits are durable.

Beside the rows lie the cameras' totals of their day, one value each, of which only the last handed in is written. They
are no reason to flush: they reach the disk with the row that changed them.

Rows that go are no reason to write. They go with the next row that comes; only when `SETTLED_AT_ONCE` of them are due
they go alone, so that a killed program repeats few.

On a full disk rows go, and none comes (`batch` of no bytes). What stands there then holds by itself: a row that stands
for one that could not be written stays, and that it is settled is noted on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

FLUSH_S = 2.0
"""Least seconds between two flushes: what a power cut may cost."""
SETTLED_AT_ONCE = 10
BATCH_BYTES = 256 * 2**10
"""Most that new rows take in one step: what a step appends to the log must find room in what is kept for that."""
TOUCHED_BYTES = 3 * 2**10
"""Most that a row which goes, or is noted as settled, takes in the log: its pages, and its share of those above."""
ROW_BYTES = 2300
"""Most that a row takes on the disk beside its payload: texts and numbers, and what of two pages stays empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One start or end of a visit.

    Attributes
    ----------
    key : order among all; an earlier run's are negative
    boot, number, seq : as in the message
    suffix : topic below ``<prefix>/<node>/``
    settled : the broker has it, or will never get it; it only stands for its visit or its number
    time_s : when it was put, on a clock that nobody sets; comparable within a run
    """

    key: int
    boot: str
    number: int
    seq: int
    suffix: str
    event: Literal["start", "end"]
    visit: str
    payload: bytes
    settled: bool = False
    time_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is to be written in one step, by keys but for what is new; ``flush``: and then to reach the disk.

    ``totals``: by camera, those that have changed.
    """

    new: tuple[Row, ...]
    settled: tuple[int, ...]
    gone: tuple[int, ...]
    flush: bool
    totals: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def grows(self) -> bool:
        """Whether it may need room that nothing else has left."""
        return bool(self.new or self.totals)

    def __len__(self) -> int:
        return len(self.new) + len(self.settled) + len(self.gone) + len(self.totals)


class Journal:
    """The rows of one node, those of earlier runs included."""

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}
        self._starts: dict[tuple[str, str], int] = {}
        self._ends: dict[tuple[str, str], int] = {}
        self._newest: int | None = None
        self._new: dict[int, None] = {}
        self._settled: set[int] = set()
        self._gone: dict[int, int | None] = {}
        self._totals: dict[str, bytes] = {}
        self._stale: set[str] = set()
        self._top: int | None = None
        self._flushed_s = float("-inf")
        self._unflushed = False
        self._hurry = False

    @property
    def waiting(self) -> int:
        """How many are not settled."""
        return sum(not row.settled for row in self._rows.values())

    @property
    def unwritten(self) -> int:
        """How many are neither written nor settled: a kill would cost them."""
        return sum(not self._rows[key].settled for key in self._new)

    @property
    def pending(self) -> int:
        """How many rows are to be written, noted as settled, or to go, and how many totals to be written."""
        return len(self._new) + len(self._settled | self._gone.keys()) + len(self._stale)

    @property
    def behind(self) -> bool:
        """Whether rows are not written."""
        return bool(self._new)

    @property
    def stocked(self) -> bool:
        """Whether what is written is not all settled: rows will go, and leave their room."""
        return any(not row.settled and key not in self._new for key, row in self._rows.items())

    @property
    def repeats(self) -> int:
        """How many settled ones the next run would tell again, were this one killed now."""
        return len(self._settled)

    @property
    def lasting(self) -> bool:
        """Whether a visit has a start and no end."""
        return any(visit not in self._ends for visit in self._starts)

    @property
    def totals(self) -> Mapping[str, bytes]:
        """By camera, as handed in last, by this run or an earlier one."""
        return dict(self._totals)

    @property
    def stale(self) -> bool:
        """Whether totals were handed in that are not written."""
        return bool(self._stale)

    def keep(self, totals: Mapping[str, bytes]) -> None:
        """Note the totals of cameras; those that are as before are not written again."""
        self._stale |= {camera for camera, days in totals.items() if self._totals.get(camera) != days}
        self._totals |= totals

    def load(self, rows: Iterable[Row], totals: Mapping[str, bytes] | None = None) -> None:
        """Take in what is on the disk already; older than all that was put."""
        self._totals = {**(totals or {}), **self._totals}
        for row in rows:
            self._rows[row.key] = row
            (self._starts if row.event == "start" else self._ends)[row.boot, row.visit] = row.key
            self._newest = row.key if self._newest is None else max(self._newest, row.key)
            self._top = row.key if self._top is None else max(self._top, row.key)

    def put(self, row: Row) -> None:
        """Note a row that is to be written before its message is published."""
        before, self._newest = self._newest, row.key
        self._rows[row.key] = row
        self._new[row.key] = None
        (self._starts if row.event == "start" else self._ends)[row.boot, row.visit] = row.key
        start = self._starts.get((row.boot, row.visit)) if row.event == "end" else None
        for key in (start, before):
            if key in self._rows and self._rows[key].settled:
                self._let_go(key)

    def settle(self, key: int) -> None:
        """Note that a row's message needs to be sent no more; nothing for a key that has no row."""
        row = self._rows.get(key)
        if row is None or row.settled:
            return
        self._rows[key] = replace(row, settled=True)
        if key not in self._new:
            self._settled.add(key)
        self._let_go(key)

    def written(self, key: int) -> bool:
        """Whether a row was handed to the file system: it survives the program."""
        return key not in self._new

    def hurry(self) -> None:
        """Let settled rows be written now, however few they are."""
        self._hurry = self.repeats > 0

    def wait_s(self, now_s: float, *, full: bool = False) -> float:
        """Seconds until something is to be written; 0: now; infinite: nothing is.

        ``full``: new rows have no room.
        """
        if ((self._new or self._stale) and not full) or self._hurry or self.repeats >= SETTLED_AT_ONCE:
            return 0.0
        return max(0.0, self._flushed_s + FLUSH_S - now_s) if self._unflushed else float("inf")

    def batch(self, now_s: float, *, step: int = BATCH_BYTES, room: int | None = None) -> Batch:
        """What to write now, a part of it where it is much; `wrote` says that it is.

        Parameters
        ----------
        step : bytes that it may take in the log, more or less
        room : bytes that new rows have on the disk; None: nothing is short
        """
        new = self._first(step, room)
        flush = (bool(new) or self._unflushed) and now_s >= self._flushed_s + FLUSH_S
        coming = {row.key for row in new}

        def may_go(key: int, end: int | None) -> bool:
            last = key == self._top and self._newest is not None
            return (bool(new) or not last) and (end is None or end in coming or end not in self._new)

        most = max(1, step // TOUCHED_BYTES)
        gone = sorted(islice((key for key, end in self._gone.items() if may_go(key, end)), most))
        settled = sorted(islice(self._settled.difference(gone), most))
        totals = {camera: self._totals[camera] for camera in sorted(self._stale)} if room is None else {}
        return Batch(new=new, settled=tuple(settled), gone=tuple(gone), flush=flush, totals=totals)

    def wrote(self, batch: Batch, now_s: float) -> None:
        """Note what is written; what changed since the batch was made is still to be."""
        for row in batch.new:
            self._new.pop(row.key, None)
            now = self._rows.get(row.key)
            if not row.settled and (now is None or now.settled):
                self._settled.add(row.key)
            if now is None:
                self._gone[row.key] = self._end_of(row)
            self._top = row.key if self._top is None else max(self._top, row.key)
        self._settled.difference_update(batch.settled, batch.gone)
        self._stale -= {camera for camera, days in batch.totals.items() if self._totals[camera] == days}
        for key in batch.gone:
            del self._gone[key]
        self._unflushed = (self._unflushed or bool(batch.new)) and not batch.flush
        self._flushed_s = now_s if batch.flush else self._flushed_s
        self._hurry = False

    def lost(self) -> None:
        """Note that nothing is on the disk any more: all is to be written anew."""
        self.found(())

    def found(self, rows: Iterable[Row], totals: Mapping[str, bytes] | None = None) -> None:
        """Note what really is on the disk: the rest is to be written, and what is too much is to go."""
        lying = totals or {}
        self._stale = {camera for camera, days in self._totals.items() if lying.get(camera) != days}
        there = {row.key: row for row in rows}
        self._new = dict.fromkeys(sorted(self._rows.keys() - there.keys()))
        self._gone = {key: self._end_of(there[key]) for key in sorted(there.keys() - self._rows.keys())}
        over = {key for key in there if key in self._gone or self._rows[key].settled}
        self._settled = {key for key in over if not there[key].settled}
        self._top = max(there, default=None)

    def end(self) -> None:
        """Let go of all that is settled: the run ends as it should, and nobody will ask for its last number."""
        self._newest = None
        for key in [key for key, row in self._rows.items() if row.settled]:
            self._let_go(key)

    def _let_go(self, key: int) -> None:
        """Forget a settled row, unless it still stands for something."""
        row = self._rows.get(key)
        if row is None or not row.settled or key == self._newest:
            return
        visit = row.boot, row.visit
        if row.event == "start" and visit not in self._ends:
            return
        if row.event == "end" and visit in self._starts:
            return
        self._forget(key)
        if row.event == "start":
            del self._starts[visit]
            self._let_go(self._ends[visit])
        else:
            del self._ends[visit]

    def _forget(self, key: int) -> None:
        row = self._rows.pop(key)
        if key in self._new:
            del self._new[key]
        else:
            self._gone[key] = self._end_of(row)

    def _end_of(self, row: Row) -> int | None:
        """The end that must be on the disk before this row may go, where it is a start."""
        return self._ends.get((row.boot, row.visit)) if row.event == "start" else None

    def _first(self, step: int, room: int | None) -> tuple[Row, ...]:
        """As many of the new ones, oldest first, as have room; where nothing is short, one at least."""
        left = step if room is None else min(step, room)
        taken: list[Row] = []
        for key in self._new:
            left -= len(self._rows[key].payload) + ROW_BYTES
            if left < 0 and (taken or room is not None):
                break
            taken.append(self._rows[key])
        return tuple(taken)
