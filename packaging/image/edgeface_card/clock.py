"""A board without a clock of its own starts where its data partition was written last, not years before.

Nothing is written to keep the time: files tell when they were written, and a clean stop leaves ``/data/clock``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

STAMP = "clock"
STATE = "state"
"""The service's own folder is below it."""
WORTH_S = 60.0


def newest_s(data: Path) -> float:
    """Latest time at which the stamp or something of the service's was written, seconds since 1970; 0: never."""
    return max(_times(data), default=0.0)


def set_forward(data: Path, now_s: float, put: Callable[[float], object]) -> bool:
    """Set a clock that is behind what was written already; never one that is ahead of it."""
    latest_s = newest_s(data)
    if latest_s - now_s < WORTH_S:
        return False
    put(latest_s)
    return True


def _times(data: Path) -> Iterator[float]:
    for path in (data / STAMP, *(data / STATE).rglob("*")):
        try:
            yield path.lstat().st_mtime
        except OSError:
            continue
