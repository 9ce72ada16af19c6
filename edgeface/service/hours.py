"""When people may be looked at: `privacy.hours`, held against the clock of this place."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from edgeface.config import is_open

Now = Callable[[], datetime]


def local_now() -> datetime:
    """Time as the clocks of this place show it."""
    return datetime.now(timezone.utc).astimezone()


class Hours:
    """Asked by the worker and by the threads of the cameras; ``now`` is local time."""

    def __init__(self, spans: Sequence[str], *, now: Now = local_now) -> None:
        # The machine may be told its place while it runs; a reload looks anew.
        time.tzset()
        self._spans = spans
        self._now = now

    def clock(self) -> str:
        """Time as it is told of: a board may believe to be in another zone than its operator does."""
        return f"{self._now():%H:%M %Z}"

    def closed(self) -> bool:
        """Whether nobody may be looked at now."""
        return bool(self._spans) and not is_open(self._spans, self._now())
