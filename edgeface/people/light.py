"""When the light changed: a lamp is switched, a camera goes over to infrared; then everybody looks otherwise.

A lamp is everywhere in the picture, who moves and what is opened is somewhere: pixel by pixel what stands behind the
people is held against what stood there before.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from edgeface.people.appearance import FLOOR, LEAST_PIXELS, Patch, Views
from edgeface.types import F32

LIGHTNESS_CHANGED, COLOUR_CHANGED, ALL_CHANGED = 0.2, 0.15, 0.6
"""Logarithm of a pixel's lightness, and shares of the channels, by which it is another one; and the share of the pixels
from which on it is another light: of made clips a lamp changed .91 and more of them, people who walk past .32 at most;
an open door changes its part of the picture."""
LIGHT_S = 0.5
"""How often that is looked at."""
FICKLE, FICKLE_S = 2, 4.0
"""More changes than this in so many seconds are a light that never stands still, such as a television's in a dark room:
there looks tell people apart as well as they can."""
BLACK = np.log(np.float32(FLOOR + 0.5))
"""Logarithm of lightness up to which a pixel is black: the sum of its channels is 0."""
TICK_S = 1e-3


class Light:
    """When the light of what is behind the people changed last: then what everybody looks like may have.

    Attributes
    ----------
    changed_s : source time of the first look in that light; a fickle one counts as the same
    """

    def __init__(self) -> None:
        self.changed_s = float("-inf")
        self._planes = np.zeros((3, 0, 0), np.float32)
        self._bare: npt.NDArray[np.bool_] = np.zeros((0, 0), np.bool_)
        self._seen_s = self._kept_s = float("-inf")
        self._changes: deque[float] = deque([float("-inf")] * FICKLE, maxlen=FICKLE)

    def see(self, views: Views, time_s: float, *, at_once: bool = False) -> None:
        """Take in a picture; one is enough for `LIGHT_S` unless it is asked ``at_once``.

        It is held against one of `LIGHT_S` ago also where each is asked for: a lamp that fades in, or a camera that
        settles, changes little from one to the next.
        """
        if time_s - self._seen_s < (TICK_S if at_once else LIGHT_S):
            return
        self._seen_s = time_s
        behind = views.behind()
        if behind.size < LEAST_PIXELS:
            return
        planes = _planes(behind)
        other = planes.shape == self._planes.shape and self._is_other(planes, behind.bare)
        if other:
            if time_s - self._changes[0] > FICKLE_S:
                self.changed_s = time_s
            self._changes.append(time_s)
        if other or time_s - self._kept_s >= LIGHT_S - TICK_S:
            self._kept_s, self._planes, self._bare = time_s, planes, behind.bare

    def _is_other(self, planes: F32, bare: npt.NDArray[np.bool_]) -> bool:
        """Whether nearly all pixels that are seen now and were seen before are other ones.

        What is black both times is a mask, or a bar; a lamp that goes out makes black as well.
        """
        both = bare & self._bare & (np.maximum(planes[0], self._planes[0]) > BLACK)
        count = int(np.count_nonzero(both))
        lightness, *colours = np.abs(planes - self._planes)
        other = (lightness > LIGHTNESS_CHANGED) | (np.maximum(*colours) > COLOUR_CHANGED)
        return count >= LEAST_PIXELS and int(np.count_nonzero(other & both)) > ALL_CHANGED * count


def _planes(patch: Patch) -> F32:
    """Logarithm of lightness and two shares of colours of each pixel, shape (3, H, W)."""
    pixels = patch.pixels.astype(np.float32)
    sums = pixels.sum(axis=2) + np.float32(FLOOR)
    blue, green, red = (pixels[..., channel] for channel in range(3))
    planes: F32 = np.stack([np.log(sums), (blue - green) / sums, (red - green) / sums])
    return planes
