"""What all live sources have in common: a thread that reads the device, and somebody who notices its silence.

The read of a camera may never return: drivers, FFmpeg and child processes have all been seen to hang. So the device
is opened, read and released by a thread of its own, and whoever asks for frames waits for that thread no longer than
the configured timeouts. A thread that is stuck is left behind with its device; the next attempt starts afresh.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Protocol

import cv2

from edgeface.config import Camera
from edgeface.errors import SourceError
from edgeface.sources.base import Monotonic
from edgeface.sources.transform import Preparation
from edgeface.types import Frame, Image

logger = logging.getLogger(__name__)

STUCK_MOST = 8
"""Threads of one camera left behind in a read that never returned, before it is not opened any more."""
REOPENED = "it is opened again while the program runs"


class Device(Protocol):
    """Something that gives pictures; all but `interrupt` are called by one thread only.

    Attributes
    ----------
    description : what it is, for a log line; without credentials
    """

    description: str

    def open(self) -> None:
        """Open it; SourceError says why that failed."""

    def read(self) -> Image | tuple[Image, Image] | None:
        """Wait for the next picture, (H, W, 3) BGR; None for one that is lost, SourceError for the end.

        A camera that makes the same view in two sizes gives both, the large one first.
        """

    def interrupt(self) -> None:
        """Make a `read` that waits return, as far as the device allows; from another thread, more than once."""

    def release(self) -> None:
        """Let go of it, whether or not it was opened."""


class LiveSource:
    """A device as a source: the newest frame wins, and a frame that nobody took leaves a gap in the index.

    Parameters
    ----------
    join_s : `close` waits so long for a read that hangs
    clock : monotonic seconds, the source time of a frame
    now : wall time, aware, UTC
    """

    live = True

    def __init__(
        self,
        camera_id: str,
        camera: Camera,
        device: Device,
        *,
        join_s: float = 2.0,
        clock: Monotonic = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self.description = device.description
        self.dropped = 0
        self._camera_id = camera_id
        self._camera = camera
        self._prepare, self._prepare_small = Preparation(camera), Preparation(camera)
        self.device = device
        self._join_s = join_s
        self._clock = clock
        self._now = now
        self._ready = threading.Condition()
        self._newest: Frame | None = None
        self._error: SourceError | None = None
        self._over = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def frames(self) -> Iterator[Frame]:
        """Newest frames as they come.

        Raises
        ------
        SourceError : no first frame within ``open_timeout``, silence for ``read_timeout``, or the device's own error
        """
        self._start()
        try:
            limit_s = self._camera.open_timeout
            while (frame := self._wait(limit_s)) is not None:
                limit_s = self._camera.read_timeout
                yield frame
        finally:
            self.close()

    def close(self) -> None:
        """Stop; a read that hangs is not waited for longer than ``join_s``."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
        self.device.interrupt()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(self._join_s)

    def _start(self) -> None:
        name = f"read-{self._camera_id}"
        stuck = sum(thread.name == name for thread in threading.enumerate())
        if stuck >= STUCK_MOST:
            raise SourceError(
                f"{self.description} hung {stuck} times and is not opened any more", fix="restart the program"
            )
        thread = threading.Thread(target=self._pump, name=name, daemon=True)
        thread.start()
        # Only now: whoever closes us meanwhile joins no thread that has not begun.
        self._thread = thread

    def _wait(self, limit_s: float) -> Frame | None:
        with self._ready:
            came = self._ready.wait_for(lambda: self._newest is not None or self._over or self._closed, limit_s)
            frame, self._newest = self._newest, None
            if self._closed:
                return None
            if frame is not None:
                return frame
            if self._error is not None:
                raise self._error
            if not came:
                raise SourceError(f"{self.description} gave no frame for {limit_s:g} s", fix=REOPENED)
            return None

    def _pump(self) -> None:
        """Body of the reading thread."""
        error: SourceError | None = None
        try:
            self.device.open()
            index = 0
            while not self._closed:
                captured = self.device.read()
                if captured is not None:
                    self._put(captured, index)
                    index += 1
        except SourceError as raised:
            error = raised
        except (cv2.error, OSError, ValueError) as raised:
            error = SourceError(f"{self.description} failed: {raised}".replace("\n", " "), fix=REOPENED)
        except Exception as raised:  # a thread that dies is heard, whatever it dies of
            logger.exception("%s: the reading thread died", self.description)
            error = SourceError(f"{self.description} failed: {raised!r}".replace("\n", " "), fix=REOPENED)
        finally:
            # A device that takes long to let go of has said what was wrong with it all the same.
            self._error = error
            self._release()
            with self._ready:
                self._over = True
                self._ready.notify_all()

    def _put(self, captured: Image | tuple[Image, Image], index: int) -> None:
        image, small = captured if isinstance(captured, tuple) else (captured, None)
        image = self._prepare(image)
        frame = Frame(
            image=image,
            small=None if small is None else self._prepare_small(small),
            camera=self._camera_id,
            index=index,
            time_s=self._clock(),
            captured_at=self._now(),
            painted=self._prepare.painted,
        )
        with self._ready:
            if self._newest is not None:
                self.dropped += 1
            self._newest = frame
            self._ready.notify_all()

    def _release(self) -> None:
        try:
            self.device.release()
        except (cv2.error, OSError) as error:
            logger.debug("%s: release: %s", self.description, error)
