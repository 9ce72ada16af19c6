"""Network cameras: RTSP and whatever else FFmpeg opens by address; TCP transport, both timeouts set."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import cv2
import numpy as np

from edgeface.config import Camera, as_address, hide_credentials
from edgeface.errors import SourceError
from edgeface.sources.base import Monotonic
from edgeface.sources.capture import (
    Capture,
    OpenCapture,
    as_bgr,
    fourcc_name,
    open_capture,
    pixel_shape,
    square,
)
from edgeface.sources.live import REOPENED
from edgeface.types import Image

SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://", "srt://")
PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "http": 80, "https": 443}
OPEN_SHARE = 0.8
"""FFmpeg gets this part of the open timeout, so that what it says comes before the silence is noticed from outside."""
STILL_SHARE = 0.4
"""For this part of the open timeout a picture may stay the same before it is asked whether anything decodes it."""
PROBE_S = 1.0
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

    def open(self) -> None:
        """Connect and wait for the stream's description."""
        self._capture = self._connect()
        self._shape = pixel_shape(self._capture)
        self._written = fourcc_name(int(self._capture.get(cv2.CAP_PROP_FOURCC))) in NEVER_INTERLACED

    def read(self) -> Image | None:
        """Next frame; FFmpeg waits for it no longer than the read timeout. None before it is sure that one was written.

        Raises
        ------
        SourceError : the stream ended, or gives frames that were not decoded
        """
        image = self._next()
        if not self._written:
            self._written = self._is_written(image)
        return square(image, self._shape) if self._written else None

    def _connect(self) -> Capture:
        # FFmpeg's own read timeout is the longer one: the silence is reported by whoever waits for the frame.
        options = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, max(1, round(self._open_s * OPEN_SHARE * 1000))),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(self._read_s * 1000) + 500),
        ]
        capture = self._opener(self._address, cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            raise SourceError(f"{self.description} cannot be opened: {_why(self.description)}", fix=REOPENED)
        return capture

    def _next(self) -> Image:
        assert self._capture is not None
        done, image = self._capture.read()
        if done:
            return as_bgr(image)
        said = f"{self.description} ended or fell silent"
        # It may end each time before the second look; then this is the only place to say what is wrong with it.
        if self._stood and not self._written:
            raise SourceError(f"{said}; all its pictures were the same: {UNCONVERTED}", fix=PROGRESSIVE)
        raise SourceError(said, fix=REOPENED)

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


def _why(address: str) -> str:
    """Why a stream did not open, as far as one connection tells; OpenCV itself only says that it did not.

    The address comes without credentials: half a password with / or ? in it would pass for the host.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return "the address is not valid"
    if host is None or port is None or parts.scheme == "udp":
        return "no stream came"
    try:
        with socket.create_connection((host, port), timeout=PROBE_S):
            return f"{host} answers, but gives no such stream (path, user, password, codec?)"
    except socket.gaierror:
        return f"the name {host} is not known"
    except OSError as error:
        return f"{host} port {port}: {(error.strerror or str(error)).lower()}"
