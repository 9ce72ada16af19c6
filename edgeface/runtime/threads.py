"""OpenCV's threads: a number of the whole process. A program sets it, whoever measures only borrows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def opencv_threads(count: int) -> Iterator[None]:
    """Let OpenCV have ``count`` threads meanwhile; afterwards as many as before."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
