"""USB and other V4L2 cameras through OpenCV: the mode is asked for, and what was granted is logged."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2

from edgeface.config import Camera
from edgeface.errors import SourceError
from edgeface.sources.base import Sleep
from edgeface.sources.capture import (
    BAD_READS,
    Capture,
    OpenCapture,
    as_bgr,
    fourcc_code,
    fourcc_name,
    open_capture,
)
from edgeface.sources.kinds import irregular
from edgeface.sources.live import REOPENED
from edgeface.sources.modes import Mode, modes_of, nearest_size
from edgeface.sources.transform import wanted_size
from edgeface.types import Image

logger = logging.getLogger(__name__)

DEFAULT_WH = (640, 480)
RAW_MOST_PIXELS = 640 * 480
"""Above this a USB 2 cable does not carry raw pictures at video rate, so MJPG is asked for."""
BAD_PAUSE_S = 0.05


def device_path(source: int | str) -> Path:
    """``/dev/video0`` for 0; a link such as ``/dev/v4l/by-id/...`` is followed at every opening."""
    return Path(f"/dev/video{source}") if str(source).isdecimal() else Path(str(source))


class V4l2Camera:
    """A camera by number, path or ``/dev/v4l/by-id`` name."""

    def __init__(
        self,
        camera: Camera,
        *,
        opener: OpenCapture = open_capture,
        sleep: Sleep = time.sleep,
        modes: Callable[[Path], Sequence[Mode]] = modes_of,
    ) -> None:
        self._path = device_path(camera.source)
        self.description = str(self._path)
        self._camera = camera
        self._opener = opener
        self._sleep = sleep
        self._modes = modes
        self._capture: Capture | None = None
        self._bad = 0

    def open(self) -> None:
        """Open the device and set its mode."""
        self._check()
        self._capture = self._opener(str(self._path.resolve()), cv2.CAP_V4L2, [])
        if not self._capture.isOpened():
            raise SourceError(
                f"{self.description} gives no pictures (in use, or not a capture node)", fix="see `edgeface cameras`"
            )
        self._set_mode(self._capture)

    def read(self) -> Image | None:
        """Next picture, None where one was lost."""
        assert self._capture is not None
        done, image = self._capture.read()
        if done and image is not None and image.size:
            self._bad = 0
            return as_bgr(image)
        self._bad += 1
        if self._bad >= BAD_READS or not self._path.exists():
            raise SourceError(f"{self.description} stopped giving pictures", fix=REOPENED)
        self._sleep(BAD_PAUSE_S)
        return None

    def interrupt(self) -> None:
        """Nothing to do: the driver's wait ends by itself, and the device bears no second thread."""

    def release(self) -> None:
        """Give the camera back."""
        if self._capture is not None:
            self._capture.release()

    def _check(self) -> None:
        """Say in words what OpenCV would not."""
        what = irregular(self._path)
        if what not in (None, "a device"):
            raise SourceError(f"camera {self.description} is {what}, not a camera", fix="see `edgeface cameras`")
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_NONBLOCK))
        except OSError as error:
            reasons = {
                errno.ENOENT: ("is not there", "plug the camera in, or see `edgeface cameras`"),
                errno.EACCES: ("may not be opened", "add the user to the group video"),
                errno.EBUSY: ("is used by another program", "stop that program"),
            }
            what, fix = reasons.get(error.errno or 0, (f"cannot be opened: {error.strerror}", "see `edgeface cameras`"))
            raise SourceError(f"camera {self.description} {what}", fix=fix) from None

    def _set_mode(self, capture: Capture) -> None:
        camera = self._camera
        width, height = wanted_size(camera, DEFAULT_WH)
        fourcc = camera.fourcc or ("MJPG" if width * height > RAW_MOST_PIXELS else None)
        if (camera.width is None) != (camera.height is None):
            wanted = width, height
            width, height = nearest_size(self._modes(self._path), wanted, fourcc)
            logger.info("%s: %dx%d is 16:9, the nearest mode is %dx%d", self.description, *wanted, width, height)
        # A queue of old pictures is of no use; not every driver lets it be shortened.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 2)
        # The format first: a driver answers sizes and rates for the format that is set.
        if fourcc is not None:
            capture.set(cv2.CAP_PROP_FOURCC, fourcc_code(fourcc))
        if camera.width is not None or camera.height is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        if camera.fps is not None:
            capture.set(cv2.CAP_PROP_FPS, camera.fps)
        logger.info("%s: asked for %s, granted %s", self.description, _asked(camera, fourcc), _granted(capture))


def _asked(camera: Camera, fourcc: str | None) -> str:
    size = f"{camera.width or 'any'}x{camera.height or 'any'}"
    return f"{size} {fourcc or 'any format'} {'any rate' if camera.fps is None else f'{camera.fps:g} fps'}"


def _granted(capture: Capture) -> str:
    width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    fourcc = fourcc_name(int(capture.get(cv2.CAP_PROP_FOURCC)))
    return f"{width:g}x{height:g} {fourcc} {capture.get(cv2.CAP_PROP_FPS):g} fps"
