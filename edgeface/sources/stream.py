"""Network cameras: RTSP and whatever else FFmpeg opens by address; TCP transport, both timeouts set."""

from __future__ import annotations

import time

import cv2
import numpy as np

from edgeface.backoff import Backoff
from edgeface.config import Camera, as_address, hide_credentials
from edgeface.errors import SourceError
from edgeface.sources.asking import asked, why_closed
from edgeface.sources.base import Monotonic
from edgeface.sources.capture import (
    BAD_READS,
    Capture,
    OpenCapture,
    as_bgr,
    fourcc_name,
    open_capture,
    pixel_shape,
    square,
)
from edgeface.sources.live import REOPENED
from edgeface.sources.restarts import Restarts
from edgeface.types import Image

SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://", "srt://")
TWICE = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://")
"""What can be opened a second time while it is read."""
PROBE_SHARE = 0.25
"""Of the read timeout a second connection may take so much to open, and as much for its picture."""
PROBES = Backoff(first_s=60.0, most_s=3600.0)
"""Between two second connections that have shown nothing new."""
OPEN_SHARE = 0.8
"""FFmpeg gets this part of the open timeout, so that what it says comes before the silence is noticed from outside."""
STILL_SHARE = 0.4
"""For this part of the open timeout a picture may stay the same before it is asked whether anything decodes it."""
FEW = 3
"""A stream that ends after fewer pictures may be none."""
NO_STREAM = "take the camera's address for MJPEG or RTSP"
NEVER_INTERLACED = frozenset(("MJPG", "mjpg", "PNG ", "png "))
UNCONVERTED = f"interlaced, which this OpenCV ({cv2.__version__}) cannot convert, or black"
PROGRESSIVE = "set the camera to progressive pictures"
SAME_SCENE = 0.8
"""Correlation from which two pictures of two connections show one scene."""


class Stream:
    """A stream by its address.

    OpenCV asks cameras for RTP over TCP unless ``OPENCV_FFMPEG_CAPTURE_OPTIONS`` says otherwise: UDP loses packets,
    and lost packets are grey smears that look like nobody.

    From OpenCV 4.13 on, frames of interlaced video are memory that nobody wrote (`edgeface.sources.opening`). So
    nothing is handed out before a frame differed from the first. A picture that stays the same is looked at over a
    second connection: of a scene that stands still it shows the same.

    OpenCV scales what comes later to the size of the first picture. So where the stream may have begun anew
    (`edgeface.sources.restarts`), a second connection tells its size of now.
    """

    def __init__(
        self, camera: Camera, *, opener: OpenCapture = open_capture, clock: Monotonic = time.monotonic
    ) -> None:
        self._address = as_address(str(camera.source))
        self.description = hide_credentials(self._address)
        self._open_s, self._read_s = camera.open_timeout, camera.read_timeout
        self._opener = opener
        self._clock = clock
        self._capture: Capture | None = None
        self._shape = 1.0
        self._written = False
        self._first: Image | None = None
        self._first_s = 0.0
        self._stood = False
        self._pictures = 0
        self._restarts = Restarts()
        self._suspected = False
        self._probes = 0
        self._probe_s = float("-inf")

    def open(self) -> None:
        """Connect and wait for the stream's description."""
        self._capture = self._connect()
        self._shape = pixel_shape(self._capture)
        self._written = fourcc_name(int(self._capture.get(cv2.CAP_PROP_FOURCC))) in NEVER_INTERLACED

    def read(self) -> Image | None:
        """Next frame; FFmpeg waits for it no longer than the read timeout. None before it is sure that one was written.

        Raises
        ------
        SourceError : the stream ended, gives frames that were not decoded, or pictures of another size
        """
        image = self._next()
        if not self._written:
            self._written = self._is_written(image)
        if not self._written:
            return None
        self._check_size(image)
        return square(image, self._shape)

    def _connect(self) -> Capture:
        # FFmpeg's own read timeout is the longer one: the silence is reported by whoever waits for the frame.
        capture = self._connected(self._open_s * OPEN_SHARE, self._read_s + 0.5)
        if not capture.isOpened():
            why = why_closed(self._address, self.description)
            raise SourceError(f"{self.description} cannot be opened: {why}", fix=REOPENED)
        return capture

    def _connected(self, open_s: float, read_s: float) -> Capture:
        options = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, max(1, round(open_s * 1000))),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, max(1, round(read_s * 1000))),
        ]
        return self._opener(self._address, cv2.CAP_FFMPEG, options)

    def _next(self) -> Image:
        assert self._capture is not None
        begun_s = self._clock()
        for _ in range(BAD_READS):
            done, image = self._capture.read()
            if done:
                self._pictures += 1
                return as_bgr(image)
            # A picture that cannot be decoded is one; the end of a stream is all that follow, and they come at once.
            if self._clock() - begun_s >= self._read_s:
                break
        said = f"{self.description} ended or fell silent"
        # It may end each time before the second look; then this is the only place to say what is wrong with it.
        if self._stood and not self._written:
            raise SourceError(f"{said}; all its pictures were the same: {UNCONVERTED}", fix=PROGRESSIVE)
        if self._pictures < FEW and self._address.startswith(("http://", "https://")):
            reply = asked(self._address)
            if reply is not None and reply.is_picture:
                raise SourceError(f"{said}: {reply.kind} is a single picture, no stream", fix=NO_STREAM)
        raise SourceError(said, fix=REOPENED)

    def _check_size(self, image: Image) -> None:
        """Raise an error where the stream's pictures have another size by now than those that it gives us."""
        assert self._capture is not None
        now_s, stamp_ms = self._clock(), self._capture.get(cv2.CAP_PROP_POS_MSEC)
        self._suspected |= self._restarts.see(image, stamp_ms=stamp_ms, time_s=now_s)
        if not self._suspected or now_s < self._probe_s or not self._address.startswith(TWICE):
            return
        was, is_now = image.shape[:2], self._size_now()
        if is_now not in (None, was):
            (height, width), (other_height, other_width) = was, is_now
            raise SourceError(
                f"{self.description} changed its pictures from {width}x{height} to {other_width}x{other_height}",
                fix=REOPENED,
            )
        self._suspected = False
        self._probe_s = self._clock() + PROBES.bound_s(self._probes)
        self._probes += 1

    def _size_now(self) -> tuple[int, int] | None:
        """Height and width of the pictures of a new connection; None where a second one is not to be had."""
        limit_s = PROBE_SHARE * self._read_s
        capture = self._connected(limit_s, limit_s)
        try:
            done, image = capture.read() if capture.isOpened() else (False, None)
        finally:
            capture.release()
        return image.shape[:2] if done and image is not None else None

    def _is_written(self, image: Image) -> bool:
        if self._first is None:
            self._first, self._first_s = image, self._clock()
            return False
        if not np.array_equal(image, self._first):
            return True
        self._stood = True
        if self._clock() - self._first_s < STILL_SHARE * self._open_s:
            return False
        # The first decoder stays until the second has its memory: what nobody wrote would be the same otherwise.
        before, self._capture = self._capture, self._connect()
        assert before is not None
        try:
            again = self._next()
        finally:
            before.release()
        if is_one_scene(self._first, again):
            return True
        raise SourceError(f"{self.description} is {UNCONVERTED}", fix=PROGRESSIVE)

    def interrupt(self) -> None:
        """Nothing to do: FFmpeg's own timeout ends the read, and its objects bear no second thread."""

    def release(self) -> None:
        """Close the connection."""
        if self._capture is not None:
            self._capture.release()


def is_one_scene(one: Image, other: Image) -> bool:
    """Whether two pictures of two connections show the same, and something: memory nobody wrote is black, or chance."""
    if one.shape != other.shape:
        return False
    values = [picture.astype(np.float32).reshape(-1) for picture in (one, other)]
    values = [value - value.mean() for value in values]
    spread = float(np.linalg.norm(values[0]) * np.linalg.norm(values[1]))
    return spread > 0 and float(values[0] @ values[1]) / spread >= SAME_SCENE
