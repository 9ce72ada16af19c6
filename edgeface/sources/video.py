"""Video files, through the FFmpeg in OpenCV's wheel; every frame, in order, as a viewer shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeface.config import Camera
from edgeface.errors import SourceError
from edgeface.sources.base import Origin, Pace
from edgeface.sources.length import movie_length_s
from edgeface.types import Frame, Image

EARLY_S, EARLY_SHARE = 1.0, 0.05
"""A video may end this much before its announced length; headers are rarely exact."""
FALLBACK_FPS = 25.0


class VideoFile:
    """A video file.

    Parameters
    ----------
    decoder_threads : threads of the decoder; None leaves it to OpenCV
    """

    live = False
    dropped = 0

    def __init__(
        self,
        path: Path,
        camera: Camera,
        origin: Origin,
        *,
        pace: Pace | None = None,
        decoder_threads: int | None = None,
    ) -> None:
        self.description = str(path)
        self._path = path
        self._camera = camera
        self._origin = origin
        self._pace = pace or Pace(camera.pace)
        self._threads = decoder_threads
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        """Every frame; a file that ends too early raises SourceError after its last one."""
        capture = self._open()
        try:
            fps = capture.get(cv2.CAP_PROP_FPS)
            step_s = 1 / fps if 0 < fps < 1000 else 1 / FALLBACK_FPS
            announced_s = self._announced_s(max(0.0, capture.get(cv2.CAP_PROP_FRAME_COUNT)) * step_s)
            index, time_s = 0, -step_s
            while not self._closed:
                done, image = capture.read()
                if not done:
                    break
                stamp_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                # Time stamps may be missing, stand still or jump back; source time never does.
                time_s = stamp_s if stamp_s > time_s else time_s + step_s
                self._pace.wait(time_s)
                yield self._origin.frame(as_bgr(image), self._camera, index=index, time_s=time_s)
                index += 1
            if not self._closed:
                self._check_end(index, time_s + step_s, announced_s)
        finally:
            capture.release()

    def close(self) -> None:
        """Stop after the current frame."""
        self._closed = True

    def _open(self) -> cv2.VideoCapture:
        self._expect_readable()
        # A rotation in the file is applied by default, as viewers do. An absolute path is never taken for a protocol,
        # as FFmpeg would take `12:30.mp4`.
        options = [] if self._threads is None else [cv2.CAP_PROP_N_THREADS, self._threads]
        capture = cv2.VideoCapture(str(self._path.absolute()), cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            raise SourceError(
                f"{self._path} is not a video that can be opened, or was cut off",
                fix="check that it plays elsewhere, or convert it to H.264",
            )
        return capture

    def _expect_readable(self) -> None:
        """Say in words what FFmpeg would not."""
        try:
            with self._path.open("rb") as file:
                empty = not file.read(1)
        except OSError as error:
            raise SourceError(
                f"{self._path} cannot be read: {error.strerror}", fix="check path and permissions"
            ) from None
        if empty:
            raise SourceError(f"{self._path} is empty", fix="copy it again")

    def _announced_s(self, by_frames_s: float) -> float:
        """Length that players show: all frames, or fewer where the file's index says so."""
        length_s = movie_length_s(self._path)
        return by_frames_s if length_s is None else min(by_frames_s, length_s)

    def _check_end(self, count: int, ended_s: float, announced_s: float) -> None:
        if count == 0:
            raise SourceError(f"{self._path} has no frame that can be decoded", fix="convert it to H.264")
        if announced_s - ended_s > max(EARLY_S, EARLY_SHARE * announced_s):
            raise SourceError(
                f"{self._path} ends after {ended_s:.1f} of {announced_s:.1f} s; its {count} frames were analysed",
                fix="copy or record it again",
            )


def as_bgr(image: npt.NDArray[Any]) -> Image:
    """Three channels of eight bits, also from a grey or a deep video."""
    if image.dtype != np.uint8:
        image = (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else cv2.convertScaleAbs(image)
    if image.ndim == 2 or image.shape[2] == 1:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return image
