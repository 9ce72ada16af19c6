"""When people may be looked at: `privacy.hours`, held against the clock of this place."""

from __future__ import annotations

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
        self._spans = spans
        self._now = now

    def closed(self) -> bool:
        """Whether nobody may be looked at now."""
        return bool(self._spans) and not is_open(self._spans, self._now())
