"""What has changed before a camera since it was looked at: how still the scene is, which regions are of interest.

The motion gate tells which cells of a coarse grid change. That is kept here until a pass of the detector has seen the
cell in a fine scale; a change that a known face explains, its body below it, can wait.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from edgeface.detect.mosaic import Region, Sheet, Size, region_around
from edgeface.people.motion_gate import Cells, MotionGate
from edgeface.people.tracked import Expected
from edgeface.types import Image

SEE_S = 0.05
"""Motion is looked for once in so many seconds at most."""
ACTIVE_S, ACTIVE = 0.5, 0.3
"""Time constant of the share of pictures with a change, and the share from which on a scene is not still: a cell that
flashes once is looked at and does no more."""
LEAST_CELLS = 2
"""Cells that a change must have: one alone is no face."""
BODY = (1.6, 1.0, 6.5)
"""Motion that a known face explains: so many face widths to both sides, heights above and below its middle."""
BODY_S = 1.0
"""What a face explains is looked at once in so many seconds all the same: others walk behind it."""
EDGE_CELLS = 1
"""Cells at a region's edges that were not looked at: a face there was cut."""
LEAST_SIDE_CELLS = 6
"""A region that holds fewer cells along a side is not worth looking at."""


class Scales(msgspec.Struct, frozen=True):
    """The finest and the coarsest scale of a region, in pixels of the input for one of the picture."""

    finest: float
    coarsest: float


class Changes:
    """What has changed before one camera.

    Attributes
    ----------
    moving : whether the latest picture shows a change
    active_s : source time of the latest picture in a lively scene
    stirred : whether the scene was lively since `all_seen` was last called
    """

    def __init__(self) -> None:
        self._gate = MotionGate()
        self._activity = 0.0
        self._saw_s: float | None = None
        self._due: Cells = np.zeros((0, 0), np.bool_)
        self._looked_s: npt.NDArray[np.float64] = np.zeros((0, 0))
        self.moving = True
        self.active_s = float("-inf")
        self.stirred = True

    def see(self, image: Image, time_s: float) -> None:
        """Notice what has changed in a picture, uint8 (H, W, 3), of source time ``time_s``."""
        elapsed_s = float("inf") if self._saw_s is None else max(0.0, time_s - self._saw_s)
        if elapsed_s < SEE_S:
            return
        self._saw_s = time_s
        changed = self._gate.see(image, time_s)
        if changed.shape != self._due.shape:
            self._due, self._looked_s = np.zeros_like(changed), np.full(changed.shape, -np.inf)
        self._due |= changed
        self.moving = int(np.count_nonzero(changed)) >= LEAST_CELLS
        share = 1.0 if elapsed_s == float("inf") else elapsed_s / (elapsed_s + ACTIVE_S)
        self._activity += share * (self.moving - self._activity)
        if self._activity > ACTIVE or self._gate.anew:
            self.active_s, self.stirred = time_s, True

    def unexplained(self, known: Sequence[Expected], image_wh: Size, time_s: float) -> Cells:
        """Cells that have changed since they were looked at, and that no known face explains."""
        if not known or not self._due.any():
            return self._due
        explained = np.zeros_like(self._due)
        rows, columns = self._due.shape
        to_x, to_y = columns / image_wh[0], rows / image_wh[1]
        beside, above, below = BODY
        for one in known:
            left, right = one.x - beside * one.width, one.x + beside * one.width
            top, bottom = one.y - above * one.height, one.y + below * one.height
            across = slice(max(0, int(left * to_x)), max(0, int(right * to_x) + 1))
            explained[max(0, int(top * to_y)) : max(0, int(bottom * to_y) + 1), across] = True
        due: Cells = self._due & (~explained | (self._looked_s < time_s - BODY_S))
        return due

    def fill(self, sheet: Sheet, due: Cells, image_wh: Size, scales: Scales, time_s: float) -> None:
        """Fill what is free on a canvas with what is due, what waits longest first; it counts as looked at."""
        grown = cv2.dilate(due.astype(np.uint8), np.ones((3, 3), np.uint8))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(grown, connectivity=8)
        parts: list[tuple[float, int, int, int, int]] = []
        for number in range(1, count):
            left, top, width, height, _ = stats[number].tolist()
            place = slice(top, top + height), slice(left, left + width)
            inside = due[place] & (labels[place] == number)
            if np.count_nonzero(inside) >= LEAST_CELLS:
                since_s = float(self._looked_s[place][inside].min())
                parts.append((since_s, left, top, left + width, top + height))
        for since_s, *cells in sorted(parts):
            region = self._region(sheet.room_wh, tuple(cells), due, since_s, image_wh, scales)
            if region is not None and sheet.put(region):
                self._seen(region, image_wh, time_s)

    def all_seen(self, time_s: float) -> None:
        """The whole picture was looked at in a fine scale."""
        self._due[:] = False
        self._looked_s[:] = time_s
        self.stirred = self._activity > ACTIVE

    def _region(
        self, room_wh: Size, cells: tuple[int, ...], due: Cells, since_s: float, image_wh: Size, scales: Scales
    ) -> Region | None:
        """The region of a change, as fine as it fits into the room; a part of it where it is too large; None: no room.

        ``cells`` are left, top, right, bottom of the change; ``since_s`` is the earliest look at one of them.
        """
        rows, columns = due.shape
        cell_x, cell_y = image_wh[0] / columns, image_wh[1] / rows
        left, top, right, bottom = cells
        width, height = (right - left) * cell_x, (bottom - top) * cell_y
        scale = min(scales.finest, room_wh[0] / (width + cell_x), room_wh[1] / (height + cell_y))
        if scale >= scales.coarsest:
            middle = ((left + right) / 2 * cell_x, (top + bottom) / 2 * cell_y)
            return region_around(middle, (width / 2, height / 2), scale, image_wh)
        wide, tall = (room_wh[0] - 2) / scales.coarsest, (room_wh[1] - 2) / scales.coarsest
        if min(wide / cell_x, tall / cell_y) < LEAST_SIDE_CELLS:
            return None
        part = due[top:bottom, left:right] & (self._looked_s[top:bottom, left:right] <= since_s)
        row, column = divmod(int(np.argmax(part)), right - left)
        x, half_x = _within((left + column + 0.5) * cell_x, wide / 2, left * cell_x, right * cell_x)
        y, half_y = _within((top + row + 0.5) * cell_y, tall / 2, top * cell_y, bottom * cell_y)
        return region_around((x, y), (half_x, half_y), scales.coarsest, image_wh)

    def _seen(self, region: Region, image_wh: Size, time_s: float) -> None:
        """Cells of a region are looked at, but for those at its edges."""
        rows, columns = self._due.shape
        to_x, to_y = columns / image_wh[0], rows / image_wh[1]
        left = round(region.left * to_x) + (EDGE_CELLS if region.left else 0)
        top = round(region.top * to_y) + (EDGE_CELLS if region.top else 0)
        right = round(region.right * to_x) - (EDGE_CELLS if region.right < image_wh[0] else 0)
        bottom = round(region.bottom * to_y) - (EDGE_CELLS if region.bottom < image_wh[1] else 0)
        self._due[top:bottom, left:right] = False
        self._looked_s[top:bottom, left:right] = time_s


def _within(middle: float, half: float, first: float, last: float) -> tuple[float, float]:
    """An interval around ``middle`` moved into another one, or that one where it is shorter: its middle and half."""
    if last - first <= 2 * half:
        return (first + last) / 2, (last - first) / 2
    return min(max(middle, first + half), last - half), half
