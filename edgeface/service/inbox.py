"""Frames of all cameras between their readers and the one worker; bounded by construction.

A live camera's place holds one frame, the newest; what nobody took is counted. A file's place holds a few, and its
reader waits: no frame of a file is lost. A reader's end, good or bad, travels through its place.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from edgeface.errors import EdgefaceError
from edgeface.types import Frame

FILE_FRAMES = 2
"""Frames of a file read ahead: 12 MB at 1920x1080, enough to keep decoding and inference both busy."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The source of a camera is over; ``error`` says why if it did not simply end."""

    camera: str
    error: EdgefaceError | None


class Pace:
    """Says which frames of a camera are analysed: ``rate`` a second on average; None: every one."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._credit = 1.0
        self._last_s: float | None = None

    def takes(self, time_s: float) -> bool:
        """Whether the frame of this source time is."""
        if self._rate is None:
            return True
        since_s = 0.0 if self._last_s is None else max(0.0, time_s - self._last_s)
        self._last_s = time_s
        # Half a frame more or less: time stamps are not exact, and of a camera of just this rate all are taken.
        self._credit = min(1.5, self._credit + since_s * self._rate)
        if self._credit < 0.5:
            return False
        self._credit -= 1.0
        return True


class Feed:
    """One camera's place in the inbox, used by its reader thread."""

    def __init__(self, camera: str, ready: threading.Condition) -> None:
        self.camera = camera
        self.dropped = 0
        self._ready = ready
        self._items: deque[Frame | Ended] = deque()
        self._closed = False

    def put_newest(self, frame: Frame) -> None:
        """Replace what is there; never waits."""
        with self._ready:
            while self._items and isinstance(self._items[0], Frame):
                self._items.popleft()
                self.dropped += 1
            self._items.append(frame)
            self._ready.notify_all()

    def put(self, frame: Frame) -> bool:
        """Wait for room; False when the inbox was closed meanwhile and the frame was not taken."""
        with self._ready:
            self._ready.wait_for(lambda: self._closed or len(self._items) < FILE_FRAMES)
            if self._closed:
                return False
            self._items.append(frame)
            self._ready.notify_all()
            return True

    def end(self, error: EdgefaceError | None) -> None:
        """Say that no more frames come; frames already there are still delivered first."""
        with self._ready:
            self._items.append(Ended(self.camera, error))
            self._ready.notify_all()

    def _take(self) -> Frame | Ended | None:
        return self._items.popleft() if self._items else None

    def _close(self) -> None:
        self._closed = True


class Inbox:
    """All feeds; the worker takes at most one item of each camera at a time."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._feeds: list[Feed] = []

    def feed(self, camera: str) -> Feed:
        """Make a camera's place."""
        feed = Feed(camera, self._ready)
        self._feeds.append(feed)
        return feed

    def take(self, *, timeout_s: float, but: Collection[str] = ()) -> list[Frame | Ended]:
        """Next item of every camera that has one, ``but`` of these; empty when nothing came in time."""
        with self._ready:
            asked = [feed for feed in self._feeds if feed.camera not in but]
            self._ready.wait_for(lambda: any(feed._items for feed in asked), timeout_s)
            taken = [item for feed in asked if (item := feed._take()) is not None]
            if taken:
                self._ready.notify_all()
            return taken

    def drop(self, feed: Feed) -> None:
        """Take a place away, with what lies in it; its reader no longer waits for room."""
        with self._ready:
            if feed in self._feeds:
                self._feeds.remove(feed)
            feed._close()
            self._ready.notify_all()
