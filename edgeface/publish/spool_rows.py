"""What lies in the spool's file, as SQLite gives it: nothing is believed whose checksum does not hold."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any, Literal

from edgeface.publish.journal import Row
from edgeface.publish.spool_files import StoreError

MOST_S = 1e10
"""No machine is up for longer."""


def read_totals(values: Iterable[tuple[Any, ...]]) -> dict[str, bytes]:
    """Totals of the day by camera, from camera, days and checksum; StoreError where they are not what was written."""
    found = {}
    for camera, days, checksum in values:
        if not (isinstance(camera, str) and isinstance(days, bytes)) or totals_checksum(camera, days) != checksum:
            raise StoreError("totals are not what was written", rubbish=True)
        found[camera] = days
    return found


def totals_checksum(camera: str, days: bytes) -> int:
    """Of one camera's totals."""
    return zlib.crc32(camera.encode() + b"\0" + days)


def read_row(values: tuple[Any, ...], offset: int) -> Row:
    """One row; its key without what was added in the file. StoreError where it is not what was written."""
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
    if row_checksum(row) != checksum:
        raise StoreError("a row is not what was written", rubbish=True)
    return row


def row_values(row: Row) -> tuple[str, int, int, str, Literal["start", "end"], str, bytes]:
    """What the checksum is of, but for the time."""
    return row.boot, row.number, row.seq, row.suffix, row.event, row.visit, row.payload


def row_checksum(row: Row) -> int:
    """Of all but the key, which a new start counts anew, and of what changes."""
    return zlib.crc32(repr((*row_values(row), row.time_s)).encode())


def _is_time(value: object) -> bool:
    return isinstance(value, float) and 0 <= value < MOST_S
