"""Raw YUV 4:2:0 pictures: rows of padded length, brightness of either range, and how long what comes at once is."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edgeface.types import Image

Bytes = npt.NDArray[np.uint8]

SAME_BURSTS = 3
"""Bursts of one unexpected size after which rows are taken to be padded."""
UNBROKEN_MOST = 3
"""Pictures without a gap between them after which they are believed all the same."""
FULL_RANGE_SPACES = frozenset(("sycc", "jpeg", "srgb"))

LIMITED_BRIGHT = (219 / 255, 16.0)
LIMITED_COLOUR = (224 / 255, 128 - 128 * 224 / 255)
"""Factor and summand that bring brightness and colours of full range to limited range."""


class Bursts:
    """How many bytes come between two gaps, against the size of a picture.

    Attributes
    ----------
    trusted : whether gaps came where pictures end; before that, what looks like a picture may be a part of two
    """

    def __init__(self, picture_bytes: int) -> None:
        self.trusted = False
        self._picture_bytes = picture_bytes
        self._now = 0
        self._last = 0
        self._same = 0

    def add(self, count: int) -> None:
        """Count bytes that came."""
        self._now += count
        self.trusted |= self._now >= UNBROKEN_MOST * self._picture_bytes

    def gap(self) -> int | None:
        """Note a gap; the size of the pictures that come instead of what was expected, once that is certain."""
        burst, self._now = self._now, 0
        if burst == 0:
            return None
        if burst % self._picture_bytes == 0:
            self.trusted, self._same = True, 0
            return None
        self._same = self._same + 1 if burst == self._last else 1
        self._last = burst
        if self._same < SAME_BURSTS:
            return None
        self._same, self._picture_bytes, self.trusted = 0, burst, True
        return burst


def cut_rows(planes: Bytes, width: int, height: int, stride: int) -> Bytes:
    """I420 without the padding at the end of its rows; rows of both colour planes are half as long.

    Parameters
    ----------
    planes : uint8, (height * 3 / 2 * stride,)

    Returns
    -------
    uint8, (height * 3 / 2 * width,)
    """
    bright = planes[: height * stride].reshape(height, stride)[:, :width]
    colours = planes[height * stride :].reshape(height, stride // 2)[:, : width // 2]
    return np.concatenate((bright.reshape(-1), colours.reshape(-1)))


def yuv_to_bgr(planes: Bytes, *, full_range: bool, interleaved: bool = False) -> Image:
    """Convert BT.601 I420, or NV12 where the colours are interleaved, uint8 (H * 3 / 2, W), to BGR, uint8 (H, W, 3).

    OpenCV converts brightness of 16 to 235 alone; that of 0 to 255 is brought there first, off by one level at most.
    """
    if full_range:
        height = len(planes) * 2 // 3
        full, planes = planes, np.empty_like(planes)
        for part, (factor, summand) in ((slice(height), LIMITED_BRIGHT), (slice(height, None), LIMITED_COLOUR)):
            cv2.convertScaleAbs(full[part], dst=planes[part], alpha=factor, beta=summand)
    image: Image = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_NV12 if interleaved else cv2.COLOR_YUV2BGR_I420)
    return image


def says_full_range(space: str) -> bool:
    """Whether a colour space as libcamera writes it has brightness from 0 to 255: ``sYCC``, ``.../Full``."""
    parts = space.lower().split("/")
    return parts[-1] == "full" or (len(parts) == 1 and parts[0] in FULL_RANGE_SPACES)
