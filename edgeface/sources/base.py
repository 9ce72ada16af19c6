"""What all sources have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from edgeface.sources.transform import Preparation
from edgeface.types import Frame, Image

Monotonic = Callable[[], float]
Sleep = Callable[[float], None]


class Source(Protocol):
    """One place that frames come from.

    Attributes
    ----------
    live : whether time goes on without us: a camera or stream, not a file
    description : what it is, for a log line; without credentials
    dropped : frames that a newer one replaced before anybody took them
    """

    live: bool
    description: str
    dropped: int

    def frames(self) -> Iterator[Frame]:
        """Give the frames until the end.

        Raises
        ------
        SourceError : it cannot be opened, fell silent, or (a file) ended too early, after its last frame
        """

    def close(self) -> None:
        """Let go of the device; may be called from another thread, more than once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a file's frames come from.

    Attributes
    ----------
    camera : id of the camera
    started_at : wall time at which source time 0 of the file lies
    prepare : turns, mirrors and paints over
    """

    camera: str
    started_at: datetime
    prepare: Preparation

    def frame(self, image: Image, *, index: int, time_s: float, still: bool = False) -> Frame:
        """Make the frame of a file: prepared as configured, wall time counted from the start."""
        image = self.prepare(image)
        return Frame(
            image=image,
            camera=self.camera,
            index=index,
            time_s=time_s,
            captured_at=self.started_at + timedelta(seconds=time_s),
            still=still,
            painted=self.prepare.painted,
        )


class Pace:
    """Holds a file back so that its frames come as a camera would give them; ``max`` holds nothing back."""

    def __init__(self, pace: str, *, clock: Monotonic = time.monotonic, sleep: Sleep = time.sleep) -> None:
        self._realtime = pace == "realtime"
        self._clock = clock
        self._sleep = sleep
        self._zero_s: float | None = None

    def wait(self, time_s: float) -> None:
        """Wait until source time ``time_s`` has come; the first call sets the start."""
        if not self._realtime:
            return
        now_s = self._clock()
        if self._zero_s is None:
            self._zero_s = now_s - time_s
        ahead_s = self._zero_s + time_s - now_s
        if ahead_s > 0:
            self._sleep(ahead_s)
