"""The thread that reads one camera; its frames and its end travel through the inbox."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal

from edgeface.backoff import Backoff
from edgeface.errors import EdgefaceError, SourceError
from edgeface.service.inbox import Feed
from edgeface.sources import Source
from edgeface.sources.frozen import Frozen
from edgeface.sources.tampering import Tampering
from edgeface.types import Frame, Scene

logger = logging.getLogger(__name__)

BACKOFF = Backoff(most_s=30.0)
"""Pauses before a live camera is opened again; each is jittered. What gave frames for ``settled_s`` has held."""
STALE_S = 5.0
"""A camera that is opened again may begin with what it had frozen at, for so long."""


VIEWS: Mapping[Scene, str] = {
    "clear": "shows its scene again",
    "dark": "is dark",
    "covered": "is covered",
    "moved": "shows another scene: it was moved, or something large stands before it",
}

REST_S = 1.0
"""Between two looks at the clock while the camera is to be closed."""


class Reader(threading.Thread):
    """Reads one camera for ever, or one file to its end.

    A live camera that cannot be opened or falls silent is said once, tried again with growing, jittered pauses, and
    said once more when it is back. The pauses grow on until it has held: a camera that gives a frame and closes is not
    opened every second, and after its second loss nothing more is said of it before it has held. One that has frozen is
    lost too, and not back before its picture has changed.

    Parameters
    ----------
    opening : gives the source, not yet begun
    stop : set by `close`
    once : end with the source; else it is opened again, for ever
    closed : whether the camera is not to be open now; asked at each frame of a live one
    frozen_after_s : seconds of the same picture after which a live camera has frozen; 0: never

    Attributes
    ----------
    gone : set when it has let go of its device
    view : whether a live camera's picture shows its scene, as of the last frame
    """

    def __init__(
        self,
        camera: str,
        opening: Callable[[], Source],
        feed: Feed,
        stop: threading.Event,
        *,
        once: bool,
        closed: Callable[[], bool] = lambda: False,
        frozen_after_s: float = 0.0,
        backoff: Backoff = BACKOFF,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        super().__init__(name=f"camera-{camera}", daemon=True)
        self.camera = camera
        self.feed = feed
        self.gone = threading.Event()
        self.state: Literal["starting", "running", "away", "ended", "paused"] = "starting"
        self._halt = stop
        self._closed = closed
        self._backoff = backoff
        self._opening = opening
        self._clock = clock
        self._jitter = jitter
        self._once = once
        self._frozen = Frozen(frozen_after_s)
        self._tampering = Tampering()
        self.view: Scene = "clear"
        self._source: Source | None = None
        self._dropped = 0
        self._lost_s: float | None = None
        self._attempts = 0
        self._failures = 0
        self._first_s: float | None = None
        self._opened_s: float | None = None

    def run(self) -> None:
        """Read until the end or the stop; every failure travels through the feed."""
        try:
            while not self._halt.is_set():
                if self._rests():
                    continue
                if self._read_once():
                    break
            self.state = "ended"
            self.feed.end(None)
        except EdgefaceError as error:
            self.state = "ended"
            self.feed.end(error)
        except Exception as error:  # a bug in a reader must stop the program, not a thread
            logger.exception("camera %s: reader died", self.camera)
            self.state = "ended"
            self.feed.end(SourceError(f"camera {self.camera}: {error!r}", fix="please report this"))
        finally:
            self.gone.set()

    @property
    def dropped(self) -> int:
        """Frames that newer ones replaced, in the source or in the inbox."""
        source = self._source
        return self.feed.dropped + self._dropped + (0 if source is None else source.dropped)

    def close(self) -> None:
        """Ask it to leave, and make a blocked read return."""
        self._halt.set()
        source = self._source
        if source is not None:
            source.close()

    def _rests(self) -> bool:
        """Leave the camera closed for a moment, if it is not to be open; whether that was so."""
        if self._closed():
            self.state = "paused"
            self._halt.wait(REST_S)
            return True
        if self.state == "paused":
            self.state = "starting"
        return False

    def _read_once(self) -> bool:
        """Open and read until the end, or until it is to be closed; True when there is nothing more to read."""
        try:
            source = self._opening()
            self._source, self._opened_s = source, None
            try:
                for frame in source.frames():
                    if source.live and self._closed():
                        return False
                    if source.live and self._is_stale(frame, source.description):
                        continue
                    self._got_frame(source.description)
                    if source.live:
                        self._look(frame)
                        self.feed.put_newest(frame)
                    elif not self.feed.put(frame):
                        return True
                    if self._halt.is_set():
                        return True
            finally:
                source.close()
                self._source = None
                self._dropped += source.dropped
            if self._once:
                return True
            raise SourceError(f"{source.description} ended", fix="it is opened again")
        except SourceError as error:
            if self._halt.is_set():
                return True
            if self._once:
                raise
            self._lost(error)
        return False

    def _is_stale(self, frame: Frame, description: str) -> bool:
        """Whether a frame shows only what the camera has frozen at; SourceError where that is all it gives."""
        self._opened_s = frame.time_s if self._opened_s is None else self._opened_s
        if not self._frozen.look(frame):
            return False
        if frame.time_s - self._opened_s < STALE_S:
            return True
        raise SourceError(
            f"{description} has frozen: it gives exactly the same picture again and again",
            fix=f"it is opened again; set cameras.{self.camera}.frozen_after = 0 for a test pattern",
        )

    def _look(self, frame: Frame) -> None:
        view = self._tampering.look(frame)
        if view != self.view:
            # Of a camera that was moved the new scene is its own by and by; that is nothing to say.
            if not (self.view == "moved" and view == "clear"):
                logger.log(
                    logging.INFO if view == "clear" else logging.WARNING, "camera %s %s", self.camera, VIEWS[view]
                )
            self.view = view

    def _got_frame(self, description: str) -> None:
        now_s = self._clock()
        self._first_s = now_s if self._first_s is None else self._first_s
        held = now_s - self._first_s >= self._backoff.settled_s
        if self._lost_s is not None:
            if held or self._failures == self._attempts:
                logger.info(
                    "camera %s back after %.0f s, %d attempts", self.camera, now_s - self._lost_s, self._attempts
                )
                self._lost_s, self._attempts = None, 0
        elif self.state == "starting":
            logger.info("camera %s: %s", self.camera, description)
        if held:
            self._failures = 0
        self.state = "running"

    def _lost(self, error: SourceError) -> None:
        """Wait before the next attempt; ``_attempts`` count since the loss was said, ``_failures`` since it held."""
        self._attempts += 1
        self._failures += 1
        self._first_s = None
        self.state = "away"
        if self._lost_s is None:
            self._lost_s = self._clock()
            logger.warning("camera %s lost: %s", self.camera, error)
        self._halt.wait(self._backoff.bound_s(self._failures - 1) * self._jitter(0.5, 1.0))
