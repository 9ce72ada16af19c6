"""Regions of a picture side by side in one input of the detector, and the faces found there back in the picture.

What a detector sees of one whole picture, 320x192 of its pixels, also holds a dozen regions of interest, each in the
scale in which its faces are seen best: one pass of the network for all of them. A face counts only where it lies wholly
within its region; one that a region's edge cuts is none, so that no box ends at an edge that is not the picture's.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

import cv2
import msgspec
import numpy as np

from edgeface.detect.exposure import Exposure
from edgeface.geometry import nms, resize, shrink
from edgeface.types import F32, Detections, Image

STEP_PX = (64, 32)
"""Widths and heights of a canvas that is no larger than needed are multiples of these."""
LINEAR_TO = 2.0
"""Up to this factor four neighbours make a pixel well enough; averages over areas take five times as long."""
SAME_IOU = 0.3
"""Two finds of one frame that overlap more are one face, seen in two regions or in two scales."""
NEAR_EDGE = 0.04
"""A box nearer to an edge of its region than this share of its sides may be a face that goes on beyond it."""

Size = tuple[int, int]


class Region(msgspec.Struct, frozen=True):
    """Part of a picture: left, top, right, bottom in its whole pixels, and in which scale it is to be seen."""

    left: int
    top: int
    right: int
    bottom: int
    scale: float

    @property
    def drawn_wh(self) -> Size:
        """Width and height that it takes on the canvas."""
        return (
            max(1, round((self.right - self.left) * self.scale)),
            max(1, round((self.bottom - self.top) * self.scale)),
        )

    def shares(self, image_wh: Size) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in shares of the picture's width and height."""
        width, height = image_wh
        return self.left / width, self.top / height, self.right / width, self.bottom / height


class Placed(msgspec.Struct, frozen=True):
    """A region and where on the canvas it was put: left, top, width, height in the canvas's pixels."""

    region: Region
    left: int
    top: int
    width: int
    height: int


class Mosaic(msgspec.Struct, frozen=True):
    """One canvas: width and height, and the regions on it."""

    size_wh: Size
    placed: Sequence[Placed]


def region_around(middle: tuple[float, float], half: tuple[float, float], scale: float, image_wh: Size) -> Region:
    """The region that reaches so far to both sides of a point, as far as the picture goes; at least a pixel."""
    left, top = (min(max(0, floor(m - h)), side - 1) for m, h, side in zip(middle, half, image_wh, strict=True))
    right, bottom = (max(1, min(side, ceil(m + h))) for m, h, side in zip(middle, half, image_wh, strict=True))
    return Region(left, top, max(right, left + 1), max(bottom, top + 1), scale)


def merged(regions: Sequence[Region], size_wh: Size) -> list[Region]:
    """The same without those that overlap so much that one around both takes no more of a canvas, and fits there."""
    left = sorted(regions, key=lambda region: (-region.scale, region.left, region.top))
    kept: list[Region] = []
    while left:
        region = left.pop(0)
        for other in left:
            if region.left >= other.right or other.left >= region.right:
                continue
            if region.top >= other.bottom or other.top >= region.bottom:
                continue
            both = Region(
                min(region.left, other.left),
                min(region.top, other.top),
                max(region.right, other.right),
                max(region.bottom, other.bottom),
                max(region.scale, other.scale),
            )
            fits = both.drawn_wh[0] <= size_wh[0] and both.drawn_wh[1] <= size_wh[1]
            if fits and _area(both) <= _area(region) + _area(other):
                left.remove(other)
                left.insert(0, both)
                break
        else:
            kept.append(region)
    return kept


def _area(region: Region) -> int:
    width, height = region.drawn_wh
    return width * height


class Sheet:
    """A canvas that is filled in shelves, from the top; what was put there stays.

    Parameters
    ----------
    size_wh : of the detector's input

    Attributes
    ----------
    placed : regions in the order in which they were put
    """

    def __init__(self, size_wh: Size) -> None:
        self.size_wh = size_wh
        self.placed: list[Placed] = []
        self._shelves: list[tuple[int, int, int]] = []  # top, height, how far it is filled

    @property
    def room_wh(self) -> Size:
        """Width and height of the largest oblong that is free below the shelves."""
        top = sum(height for _, height, _ in self._shelves)
        return self.size_wh[0], self.size_wh[1] - top

    @property
    def used_wh(self) -> Size:
        """The smallest canvas of multiples of `STEP_PX` that holds what was put, at most the whole."""
        used = max((shelf[2] for shelf in self._shelves), default=0), self.size_wh[1] - self.room_wh[1]
        width, height = (
            min(side, ceil(u / step) * step) for u, side, step in zip(used, self.size_wh, STEP_PX, strict=True)
        )
        return width, height

    def put(self, region: Region) -> bool:
        """Put a region where it fits: in a shelf, the lowest that holds it, else in one of its own. Whether it fits."""
        width, height = region.drawn_wh
        fitting = [
            (shelf[1], row)
            for row, shelf in enumerate(self._shelves)
            if shelf[1] >= height and self.size_wh[0] - shelf[2] >= width
        ]
        if fitting:
            _, row = min(fitting)
            top, tall, filled = self._shelves[row]
            self._shelves[row] = (top, tall, filled + width)
        else:
            room_wh = self.room_wh
            if width > room_wh[0] or height > room_wh[1]:
                return False
            top, filled = self.size_wh[1] - room_wh[1], 0
            self._shelves.append((top, height, width))
        self.placed.append(Placed(region, filled, top, width, height))
        return True


def compose(image: Image, mosaic: Mosaic, *, exposure: Exposure | None = None) -> Image:
    """The canvas, uint8 (height, width, 3): each region shrunk into its place, black between them.

    ``exposure`` says where the picture is made brighter, if anywhere.
    """
    image_wh = (image.shape[1], image.shape[0])
    canvas: Image = np.zeros((mosaic.size_wh[1], mosaic.size_wh[0], 3), np.uint8)
    for place in mosaic.placed:
        region = place.region
        part = image[region.top : region.bottom, region.left : region.right]
        into = canvas[place.top : place.top + place.height, place.left : place.left + place.width]
        if region.scale * LINEAR_TO >= 1:
            resize(part, (place.width, place.height), cv2.INTER_LINEAR, out=into)
        else:
            shrink(part, (place.width, place.height), out=into)
        if exposure is not None:
            into[:] = exposure.apply(into, region.shares(image_wh))
    return canvas


def in_picture(found: Detections, placed: Sequence[Placed], image_wh: Size) -> Detections:
    """Faces found on a canvas in pixels of the picture: those that lie wholly within the region of their middle."""
    rows: list[int] = []
    boxes: list[tuple[float, float, float, float]] = []
    points: list[F32] = []
    for row, box in enumerate(found.boxes.tolist()):
        place = next((place for place in placed if _holds(place, box)), None)
        if place is None or _cut(place, box, image_wh):
            continue
        region = place.region
        scale_x = (region.right - region.left) / place.width
        scale_y = (region.bottom - region.top) / place.height
        boxes.append(
            (
                max((box[0] - place.left) * scale_x + region.left, 0.0),
                max((box[1] - place.top) * scale_y + region.top, 0.0),
                min((box[2] - place.left) * scale_x + region.left, image_wh[0]),
                min((box[3] - place.top) * scale_y + region.top, image_wh[1]),
            )
        )
        if found.landmarks is not None:
            corner, scale = np.array((place.left, place.top)), np.array((scale_x, scale_y))
            points.append((found.landmarks[row] - corner) * scale + np.array((region.left, region.top)))
        rows.append(row)
    return Detections(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=found.scores[rows],
        landmarks=None if found.landmarks is None else np.array(points, np.float32).reshape(-1, 5, 2),
    )


def joined(parts: Sequence[Detections]) -> Detections:
    """Faces of one or several passes over one picture, best first, each once; regions of one pass may overlap too."""
    boxes, scores = np.concatenate([part.boxes for part in parts]), np.concatenate([part.scores for part in parts])
    keep = nms(boxes, scores, max_iou=SAME_IOU)
    landmarks = [part.landmarks for part in parts if part.landmarks is not None]
    return Detections(
        boxes=boxes[keep], scores=scores[keep], landmarks=np.concatenate(landmarks)[keep] if landmarks else None
    )


def _holds(place: Placed, box: Sequence[float]) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return place.left <= x < place.left + place.width and place.top <= y < place.top + place.height


def _cut(place: Placed, box: Sequence[float], image_wh: Size) -> bool:
    """Whether a box reaches an edge of its region that is none of the picture's."""
    region = place.region
    margin_x, margin_y = NEAR_EDGE * (box[2] - box[0]), NEAR_EDGE * (box[3] - box[1])
    return (
        (region.left > 0 and box[0] < place.left + margin_x)
        or (region.top > 0 and box[1] < place.top + margin_y)
        or (region.right < image_wh[0] and box[2] > place.left + place.width - margin_x)
        or (region.bottom < image_wh[1] and box[3] > place.top + place.height - margin_y)
    )
