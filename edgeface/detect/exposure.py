"""What a detector sees of a dark picture: its noise averaged away, and as bright as by day.

Detectors have learned from pictures that people took: of faces in a tenth of a room's light they find one in eight, and
nine of ten once the picture is made brighter (docs/performance.md). Only what is searched is made so.
"""

from __future__ import annotations

import cv2

from edgeface.types import Image

Size = tuple[int, int]
DARK, USUAL, GAIN_MOST = 0.2, 0.3, 8.0
"""Brightness below which a picture is made brighter, how bright, and how many times at most: what is darker still is
noise."""


def gain_for(brightness: float | None) -> float:
    """How many times as bright a picture of this mean brightness, 0 to 1, is to be for a detector; None: not known."""
    if brightness is None or brightness >= DARK:
        return 1.0
    return min(GAIN_MOST, USUAL / max(brightness, USUAL / GAIN_MOST))


def brightened(image: Image, gain: float) -> Image:
    """A picture, uint8 (H, W, 3), so many times as bright."""
    bright: Image = cv2.convertScaleAbs(image, alpha=gain)
    return bright


def averaged(image: Image, size_wh: Size) -> Image:
    """The mean of as many pixels as leave no fewer than an input of this size takes: each is less noisy.

    Shrinking for a detector picks pixels where they are many, which is as good by day and costs less.
    """
    times = min(image.shape[1] // size_wh[0], image.shape[0] // size_wh[1])
    if times < 2:
        return image
    small_wh = (image.shape[1] // times, image.shape[0] // times)
    mean: Image = cv2.resize(image, small_wh, interpolation=cv2.INTER_AREA)
    return mean
