"""Opening a video file through the FFmpeg in OpenCV, whatever its name, and asking twice whether a frame was written.

OpenCV dies of a name that is no UTF-8, so such a file is opened by its descriptor. From OpenCV 4.13 on, FFmpeg's
converter refuses frames that are flagged interlaced, and OpenCV hands out memory that nobody wrote: black, or what lay
there before, with every sign of success. What a second, fresh decoder gives for the same frame tells the two apart.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeface.errors import SourceError


def open_file(path: Path, options: Sequence[int]) -> cv2.VideoCapture:
    """Open a file; an absolute path is never taken for a protocol, as FFmpeg would take `12:30.mp4`."""
    name = str(path.absolute())
    try:
        name.encode()
    except UnicodeEncodeError:
        capture = _open_by_descriptor(path, options)
    else:
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, list(options))
    # OpenCV 4.11 alone does not turn what a telephone filmed upright unless it is told to (opencv/opencv 26795).
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture


def _open_by_descriptor(path: Path, options: Sequence[int]) -> cv2.VideoCapture:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}", fix="check path and permissions") from None
    try:
        return cv2.VideoCapture(f"/proc/self/fd/{handle}", cv2.CAP_FFMPEG, list(options))
    finally:
        os.close(handle)


def was_written(path: Path, options: Sequence[int], index: int, image: npt.NDArray[Any]) -> bool | None:
    """Whether frame ``index`` came from the decoder, by what a fresh one gives for it; None where black leaves it open.

    Memory that nobody wrote is not the same twice, unless it is black. Black that was decoded is told by its
    brightness as stored, which is 16 in most videos; memory fresh from the kernel is 0.
    """
    other = _frame(path, options, index, as_stored=False)
    if other is None or other.shape != image.shape:
        return True
    if image.any():
        return bool(np.array_equal(other, image))
    stored = _frame(path, options, index, as_stored=True)
    return True if stored is not None and 0 < stored.min() == stored.max() else None


def _frame(path: Path, options: Sequence[int], index: int, *, as_stored: bool) -> npt.NDArray[Any] | None:
    """One frame of a decoder that converted none before it."""
    capture = open_file(path, options)
    try:
        if as_stored:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        if not all(capture.grab() for _ in range(index + 1)):
            return None
        done, image = capture.retrieve()
        return image if done else None
    finally:
        capture.release()
