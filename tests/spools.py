"""Rows, spools and outboxes for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from brokers import eventually
from people import told

from edgeface.publish.entries import Entry
from edgeface.publish.journal import Row
from edgeface.publish.outbox import Outbox
from edgeface.publish.spool import Spool

MACHINE = "the machine's boot"


def row(key: int, event: Any, visit: str, *, boot: str = "old", **values: Any) -> Row:
    """A start or an end as a spool keeps it; its number is its key's."""
    number = values.pop("number", max(0, key))
    message = told(event, visit, **values.pop("when", {})).stamped(node="hall", boot=boot, seq=number, number=number)
    given: dict[str, Any] = {
        "key": key,
        "boot": boot,
        "number": number,
        "seq": number,
        "suffix": "main/visits",
        "event": event,
        "visit": visit,
        "payload": msgspec.json.encode(message),
        **values,
    }
    return Row(**given)


def spool(folder: Path, boot: str = "new", **options: Any) -> Spool:
    return Spool(folder, **{"node": "hall", "boot": boot, "machine": MACHINE, **options})


def spooled(folder: Path, boot: str = "new", *, capacity: int = 1000, **options: Any) -> Outbox:
    """An outbox over a spool that is open."""
    outbox = Outbox(node="hall", boot=boot, capacity=capacity, spool=spool(folder, boot, **options))
    outbox.open()
    return outbox


def taken(outbox: Outbox, count: int, *, done: bool = False) -> list[Entry]:
    """The next messages, as soon as the spool lets them go; it lets no more than twenty fly."""
    entries: list[Entry] = []

    def more() -> bool:
        while len(entries) < count and (entry := outbox.take()) is not None:
            entries.append(entry)
            if done:
                outbox.done(entry)
        return len(entries) == count

    eventually(more, f"{count} messages", 60)
    return entries


def fields(entry: Entry) -> dict[str, Any]:
    value = json.loads(entry.payload)
    assert isinstance(value, dict)
    return value


def kill(outbox: Outbox) -> None:
    """What a kill leaves: nothing more is written, the kernel closes the file."""
    ours = outbox._spool
    assert ours is not None
    idle(ours)
    with ours._changed:
        assert ours._store is not None
        ours._store.release()
        ours._store, ours._retry_at_s = None, float("inf")


def idle(ours: Spool) -> None:
    """Wait until the writer has nothing to do at once."""

    def nothing() -> bool:
        with ours._changed:
            writing = ours._writing_since_s is not None or ours._wait_s() <= 0
            return ours._store is not None and not writing

    eventually(nothing, "the writer")


def settled_on_disk(outbox: Outbox) -> None:
    """Wait until what is settled is written, as more of it, or a new visit, would bring about."""
    ours = outbox._spool
    assert ours is not None
    with ours._changed:
        ours._journal.hurry()
        ours._changed.notify()
    idle(ours)
