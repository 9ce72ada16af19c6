"""Opening a spool: what lies there is believed or set aside, and forgotten where it may not be told."""

from __future__ import annotations

import logging
from pathlib import Path

from edgeface.publish.recovery import expect_message
from edgeface.publish.spool_files import StoreError, discard, set_aside
from edgeface.publish.store import Found, Store

logger = logging.getLogger(__name__)

LARGE_BYTES = 4 * 2**20


def forget(folder: Path, node: str) -> None:
    """Take away what earlier runs left of visits: they may not be told any more. Nobody may have it open."""
    path = folder / f"spool-{node}.db"
    if path.exists():
        discard(path)
        logger.warning("%s is deleted: privacy.least_count lets no single visit be told, nor be kept", path)


def open_or_begin(path: Path, offset: int | None) -> tuple[Store, Found]:
    """Open and read; what is rubbish is set aside, and an empty one begins, as where a large one holds nothing.

    ``offset``: as `Store` takes it

    Raises
    ------
    StoreError : the file cannot be read or written
    """
    try:
        store, found = _open_and_read(path, offset)
        if found.rows or store.bytes <= LARGE_BYTES:
            return store, found
        # SQLite gives nothing back of what a backlog took.
        discard(path)
        store.release()
        return _open_and_read(path, offset)
    except StoreError as error:
        if not error.rubbish:
            raise
        place = set_aside(path)
        logger.warning("the spool does not hold, %s: it starts empty, and the old one is kept as %s", error, place)
        return _open_and_read(path, offset)


def _open_and_read(path: Path, offset: int | None) -> tuple[Store, Found]:
    store = Store(path, offset=offset)
    try:
        found = store.read()
        for row in found.rows:
            expect_message(row)
    except BaseException:
        store.release()
        raise
    return store, found
