"""Rows, spools and outboxes for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from people import told

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
