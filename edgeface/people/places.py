"""Lines that are crossed and zones that are entered, by the middle of a face.

Only real detections count: where a track is predicted nothing is crossed. Distances are in face sizes, so that somebody
who sways on a line, near or far, is counted once: a side is where somebody was half a face beyond the line, and a zone
is left half a face outside of it. Who is on the other side in the next frame has crossed where the straight way leads
through the line, and not where it leads around its ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

import cv2
import msgspec
import numpy as np

from edgeface.config import Line, Point, Zone
from edgeface.types import F32

MARGIN = 0.5
"""Face sizes beyond a line, and outside of a zone: the sway of somebody who stands, and the jitter of a box."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a face is in one frame.

    Attributes
    ----------
    x, y : its middle, in shares of the picture
    width, height : of the picture, pixels
    size_px : of the face: the root of its area
    """

    x: float
    y: float
    width: int
    height: int
    size_px: float


@dataclass(slots=True)
class Sides:
    """On which side of one line somebody was last, -1 left or 1 right; 0 while that is not known.

    ``last`` is the latest place, with its side; ``through`` says whether the way last led through the line itself.
    """

    side: int = 0
    last: Point | None = None
    through: bool = False

    def see(self, line: Line, place: Place) -> int:
        """Take in a place: 1 for a crossing to the right, -1 to the left, 0 for none."""
        begin, end = _pixels(line.from_, place), _pixels(line.to, place)
        along = (end[0] - begin[0], end[1] - begin[1])
        length = hypot(*along)
        here, before = _pixels((place.x, place.y), place), None if self.last is None else _pixels(self.last, place)
        beyond = _right_of(begin, along, here) / length
        if before is not None:
            was = _right_of(begin, along, before) / length
            if (was >= 0) != (beyond >= 0):
                share = was / (was - beyond)
                x, y = (a + (b - a) * share for a, b in zip(before, here, strict=True))
                where = ((x - begin[0]) * along[0] + (y - begin[1]) * along[1]) / length**2
                self.through = 0 <= where <= 1
        self.last = (place.x, place.y)
        side = side_of(line, place)
        if not side:
            return 0
        crossed = side if self.side == -side and self.through else 0
        self.side = side
        return crossed


@dataclass(slots=True)
class Stay:
    """One person's stays in one zone; ``since_s`` and ``seen_s`` are begin and latest sight of the one that lasts."""

    entries: int = 0
    seconds: float = 0.0
    since_s: float | None = None
    seen_s: float = 0.0

    def see(self, corners: F32, place: Place, time_s: float) -> bool:
        """Take in a place; whether it is in the zone, or near enough to be still in it.

        ``corners`` are those of the zone, float32 (N, 2), in shares of the picture.
        """
        shape = corners * np.array((place.width, place.height), np.float32)
        inward = cv2.pointPolygonTest(shape, (place.x * place.width, place.y * place.height), measureDist=True)
        inside = inward >= (0.0 if self.since_s is None else -MARGIN * place.size_px)
        if inside and self.since_s is None:
            self.since_s = time_s
            self.entries += 1
        if inside:
            self.seen_s = time_s
        return inside

    def lasting_s(self) -> float:
        """Seconds of the stay that lasts."""
        return 0.0 if self.since_s is None else self.seen_s - self.since_s

    def end(self) -> float:
        """End the stay that lasts; its seconds."""
        lasted_s = self.lasting_s()
        self.seconds += lasted_s
        self.since_s = None
        return lasted_s


def side_of(line: Line, place: Place) -> int:
    """On which side of a line a face is, -1 left or 1 right; 0 where it is too near to be on one."""
    begin, end = _pixels(line.from_, place), _pixels(line.to, place)
    along = (end[0] - begin[0], end[1] - begin[1])
    beyond = _right_of(begin, along, _pixels((place.x, place.y), place)) / hypot(*along)
    return 0 if abs(beyond) < MARGIN * place.size_px else 1 if beyond > 0 else -1


def corners_of(zone: Zone) -> F32:
    """Corners of a zone, float32 (N, 2), in shares of the picture."""
    shape = zone.shape
    if len(shape) == 4:
        left, top, right, bottom = shape
        shape = (left, top, right, top, right, bottom, left, bottom)
    return np.array(shape, np.float32).reshape(-1, 2)


def _pixels(point: Point, place: Place) -> Point:
    return point[0] * place.width, point[1] * place.height


def _right_of(begin: Point, along: Point, point: Point) -> float:
    """Distance to the right of an arrow, times its length; y goes down."""
    return along[0] * (point[1] - begin[1]) - along[1] * (point[0] - begin[0])
