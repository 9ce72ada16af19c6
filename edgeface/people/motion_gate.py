"""Motion gate: which parts of a camera's picture have changed, beside its noise, its flicker and the light.

A running Gaussian for each cell of a coarse grid (Wren et al. 1997, "Pfinder"): a cell has changed where it is farther
from its mean than its own deviations explain. What changes all the time, such as grain at night, the pops of a video's
key frames or a lamp that flickers, widens the deviation and is noise; what changes everywhere by one factor is light
and is taken out first. All constants are in seconds of source time: a file gives the same answers everywhere.
"""

from __future__ import annotations

from math import exp

import cv2
import numpy as np
import numpy.typing as npt

from edgeface.geometry import shrink
from edgeface.types import F32, Image

Cells = npt.NDArray[np.bool_]
"""One truth for each cell of the grid, shape (rows, columns)."""
SIDE = 80
"""Cells along the picture's long side: a face of 30 pixels in 1280x720 fills two by two."""
SAMPLES = 2
"""Averaged pixels of a cell along each axis; each is the mean of four of the picture's."""
DEVIATIONS, LEAST, MOST = 5.0, 2.0, 30.0
"""A change is so many deviations, and at least and at most so many of 255 levels."""
CLIP = 3.0
"""A change counts for a cell's deviation up to so many of them: who passes by is no noise, what stays so becomes it."""
MEAN_S, HELD_S, NOISE_S = 1.0, 4.0, 10.0
"""Time constants: of the mean of a cell as usual, of one that has changed, and of its deviation."""
FIRST_NOISE = 1.5
"""Deviation of a cell before it is known, levels."""
DARK = 4.0
"""Cells darker than this tell nothing of the light: night, and what is painted over."""
LIGHT_FROM = 64
"""Least cells that tell of the light; fewer say nothing."""
ANEW = 0.7
"""From this share of changed cells on it is another picture: lights on, a camera that was moved, a cut."""


class MotionGate:
    """What has changed before one camera.

    Attributes
    ----------
    changed : cells that have changed; None before the first picture
    anew : whether the latest picture was another one as a whole: the first, one of another size, lights switched on
    """

    def __init__(self) -> None:
        self._mean: F32 | None = None
        self._variance: F32 = np.zeros((0, 0), np.float32)
        self._last_s = 0.0
        self.changed: Cells | None = None
        self.anew = False

    def see(self, image: Image, time_s: float) -> Cells:
        """Take in a picture; the cells that have changed.

        Parameters
        ----------
        image : uint8 (H, W, 3), BGR, painted where it is to be
        time_s : source time
        """
        now = grid(image)
        mean = self._mean
        if mean is None or mean.shape != now.shape:
            return self._begin(now, time_s)
        elapsed_s = max(0.0, time_s - self._last_s)
        self._last_s = time_s
        mean *= np.float32(light(now, mean))
        off = now - mean
        usual = np.minimum(np.maximum(DEVIATIONS * np.sqrt(self._variance), LEAST), MOST)
        changed: Cells = np.abs(off) > usual
        self.changed, self.anew = changed, int(np.count_nonzero(changed)) >= ANEW * changed.size
        if self.anew:
            # Its noise stays: that is the camera's, whatever it shows.
            self._mean = now
            return changed
        mean += off * np.where(changed, np.float32(_share(elapsed_s, HELD_S)), np.float32(_share(elapsed_s, MEAN_S)))
        counted = np.minimum(off * off, CLIP * CLIP * self._variance + 1)
        self._variance += np.float32(_share(elapsed_s, NOISE_S)) * (counted - self._variance)
        return changed

    def _begin(self, now: F32, time_s: float) -> Cells:
        self._mean, self._last_s = now, time_s
        self._variance = np.full(now.shape, FIRST_NOISE * FIRST_NOISE, np.float32)
        self.anew = True
        self.changed = np.ones(now.shape, np.bool_)
        return self.changed


def grid(image: Image) -> F32:
    """Mean brightness of each cell, float32 (rows, columns), 0 to 255; `SIDE` square cells along the long side."""
    cells_wh = grid_wh((image.shape[1], image.shape[0]))
    sampled = shrink(image, (cells_wh[0] * SAMPLES, cells_wh[1] * SAMPLES))
    grey = cv2.cvtColor(sampled, cv2.COLOR_BGR2GRAY).astype(np.float32)
    cells: F32 = cv2.resize(grey, cells_wh, interpolation=cv2.INTER_AREA)
    return cells


def grid_wh(image_wh: tuple[int, int]) -> tuple[int, int]:
    """Columns and rows of the grid for a picture of this size."""
    longest = max(image_wh)
    return max(1, round(image_wh[0] * SIDE / longest)), max(1, round(image_wh[1] * SIDE / longest))


def light(now: F32, before: F32) -> float:
    """By which factor it has become brighter: the median over the cells that are not dark; 1 where few are not."""
    lit = before > DARK
    ratios = now[lit] / before[lit]
    count = len(ratios)
    if count < LIGHT_FROM:
        return 1.0
    # `np.median` takes four times as long.
    middle = count // 2
    ratios.partition((middle - 1, middle))
    return float(ratios[middle]) if count % 2 else float((ratios[middle - 1] + ratios[middle]) / 2)


def _share(elapsed_s: float, constant_s: float) -> float:
    """Share of the way that an exponential mean goes in a time."""
    return 1 - exp(-elapsed_s / constant_s)
