"""The spool's file and those beside it, as files: how large, removed, set aside."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

KEPT_ASIDE = 3
BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite puts beside it."""


class StoreError(Exception):
    """The spool cannot be read or written.

    Attributes
    ----------
    rubbish : it is the file's own fault
    """

    def __init__(self, why: str, *, rubbish: bool = False) -> None:
        super().__init__(why)
        self.rubbish = rubbish


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


def size(path: Path) -> int | None:
    """Bytes of one file; None: there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def files_bytes(path: Path) -> int:
    """Bytes of a file and its log."""
    total = 0
    for name in (str(path), *(f"{path}{suffix}" for suffix in BESIDE)):
        with suppress(OSError):
            total += Path(name).stat().st_size
    return total
