"""What a run that ended without a stop has left open: pure, from the rows that it left.

Its visits that lasted are ended with reason ``power``, under its own boot, after its last durable number. What was
told of them last is their start, so an end says no more than that: they lasted at least until the run's last row. How
long that was is counted on the clock that nobody sets, for the other may have been set in between.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

import msgspec

from edgeface.events import Interrupted, VisitMessage, decode, iso, moment
from edgeface.publish.journal import FLUSH_S, Row
from edgeface.publish.spool_files import StoreError

UNSURE = 10_000
"""Numbers that are left out after a power cut. Those right after the last durable one may have been published in the
seconds that were lost, and a number never means two messages."""
SHORT = "short of room"
"""In place of the machine's boot for a run that could not write everything."""

SUFFIX = re.compile(r"[a-zA-Z0-9_-]{1,64}/visits")


class Replays(Protocol):
    """Who takes what earlier runs left, and wants to know when something was written."""

    def replay(self, rows: Sequence[Row]) -> None:
        """Take rows that are older than everything else, in order."""

    def wake(self) -> None:
        """Something was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What is to be told of a run: its rows to come, and for the log and for ``health`` how it ended."""

    rows: tuple[Row, ...]
    told: Interrupted


def left_open(rows: Sequence[Row], runs: Mapping[str, str], machine: str) -> tuple[list[Row], tuple[Interrupted, ...]]:
    """Ends of all that runs without a stop have left open, and what is to be told of these runs.

    Keys of the ends lie between those of ``rows`` and those that this run will put, which begin with 0. ``runs``: as in
    `Found.runs`; ``machine``: the machine's own boot now.
    """
    recovered = [
        left
        for boot, its in runs.items()
        if (left := recover(rows, boot, sure=bool(its) and its == machine)) is not None
    ]
    ends = [row for left in recovered for row in left.rows]
    return [replace(row, key=place - len(ends)) for place, row in enumerate(ends)], tuple(o.told for o in recovered)


def recover(rows: Sequence[Row], boot: str, *, sure: bool) -> Recovered | None:
    """End what a run has left open; None for one that left nothing.

    Parameters
    ----------
    rows : all that lies in the spool, oldest first, keys below 0
    sure : the machine has been up since: all that was written is there, and nothing else was published

    Raises
    ------
    msgspec.DecodeError : a payload is no message on ``visits``
    """
    own = [row for row in rows if row.boot == boot]
    if not own:
        return None
    last = max(row.number for row in own)
    seq = max(row.seq for row in own) + 1
    ended = {row.visit for row in own if row.event == "end"}
    lasting = [row for row in own if row.event == "start" and row.visit not in ended]
    last_s = max(row.time_s for row in own)
    first = last + 1 + (0 if sure else UNSURE)
    ends = tuple(_end(row, last_s, number=first + place, seq=seq + place) for place, row in enumerate(lasting))
    return Recovered(rows=ends, told=Interrupted(boot=boot, number=last, seconds=FLUSH_S, ended=len(ends)))


def expect_message(row: Row) -> None:
    """Raise StoreError for a row that cannot be told: it goes to a topic, and to those who trust what stands there."""
    try:
        message = decode("visits", row.payload)
        assert isinstance(message, VisitMessage)
        moment(message.started)
    except (msgspec.DecodeError, ValueError):
        raise StoreError("a row is no message", rubbish=True) from None
    told = message.boot, message.event, message.visit, message.number, f"{message.camera}/visits"
    if told != (row.boot, row.event, row.visit, row.number, row.suffix) or not SUFFIX.fullmatch(row.suffix):
        raise StoreError("a row is another message", rubbish=True)


def sentence(told: Interrupted, machine: str) -> str:
    """What the log says of a run that ended without a stop; ``machine`` as in `Found.runs`."""
    lost = "what had no room on the disk is lost" if machine == SHORT else f"up to {told.seconds:g} s may be missing"
    return (
        f"boot {told.boot} ended without a stop: its visits are durable up to number {told.number}, "
        f"{lost}; {told.ended} that lasted then are ended with reason power"
    )


def _end(row: Row, last_s: float, *, number: int, seq: int) -> Row:
    start = _message(row)
    lasted_s = last_s - row.time_s
    try:
        at = iso(moment(start.at) + timedelta(seconds=lasted_s))
    except OverflowError:  # a clock at the end of all years
        at = start.at
    message = msgspec.structs.replace(
        start,
        at=at,
        seq=seq,
        event="end",
        ended=at,
        seconds=round(start.seconds + lasted_s, 3),
        reason="power",
        number=number,
    )
    return replace(row, key=0, number=number, seq=seq, event="end", payload=msgspec.json.encode(message), settled=False)


def _message(row: Row) -> VisitMessage:
    return msgspec.json.decode(row.payload, type=VisitMessage)
