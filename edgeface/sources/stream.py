"""Network cameras: RTSP and whatever else FFmpeg opens by address; TCP transport, both timeouts set."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import cv2

from edgeface.config import Camera, hide_credentials
from edgeface.errors import SourceError
from edgeface.sources.capture import Capture, OpenCapture, as_bgr, open_capture
from edgeface.sources.live import REOPENED
from edgeface.types import Image

SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://", "srt://")
PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "http": 80, "https": 443}
OPEN_SHARE = 0.8
"""FFmpeg gets this part of the open timeout, so that what it says comes before the silence is noticed from outside."""
PROBE_S = 1.0


class Stream:
    """A stream by its address.

    OpenCV asks cameras for RTP over TCP unless ``OPENCV_FFMPEG_CAPTURE_OPTIONS`` says otherwise: UDP loses packets,
    and lost packets are grey smears that look like nobody.
    """

    def __init__(self, camera: Camera, *, opener: OpenCapture = open_capture) -> None:
        self._address = str(camera.source)
        self.description = hide_credentials(self._address)
        self._open_s, self._read_s = camera.open_timeout, camera.read_timeout
        self._opener = opener
        self._capture: Capture | None = None

    def open(self) -> None:
        """Connect and wait for the stream's description."""
        # FFmpeg's own read timeout is the longer one: the silence is reported by whoever waits for the frame.
        options = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, max(1, round(self._open_s * OPEN_SHARE * 1000))),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(self._read_s * 1000) + 500),
        ]
        self._capture = self._opener(self._address, cv2.CAP_FFMPEG, options)
        if not self._capture.isOpened():
            raise SourceError(f"{self.description} cannot be opened: {_why(self._address)}", fix=REOPENED)

    def read(self) -> Image | None:
        """Next frame; FFmpeg waits for it no longer than the read timeout."""
        assert self._capture is not None
        done, image = self._capture.read()
        if not done:
            raise SourceError(f"{self.description} ended or fell silent", fix=REOPENED)
        return as_bgr(image)

    def interrupt(self) -> None:
        """Nothing to do: FFmpeg's own timeout ends the read, and its objects bear no second thread."""

    def release(self) -> None:
        """Close the connection."""
        if self._capture is not None:
            self._capture.release()


def _why(address: str) -> str:
    """Why a stream did not open, as far as one connection tells; OpenCV itself only says that it did not."""
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
