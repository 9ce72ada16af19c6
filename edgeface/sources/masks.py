"""Masks and regions: parts of a picture that are painted black before anything else sees it.

What is painted over is worked out once for a size of picture, as few oblong blocks; painting them is writing zeros. A
mask covers every pixel that it touches, a region leaves no pixel that it does not hold wholly.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor

import cv2
import numpy as np
import numpy.typing as npt

from edgeface.config import Shape
from edgeface.types import Image

Bits = npt.NDArray[np.uint8]
Block = tuple[slice, slice]
EDGE = np.ones((3, 3), np.uint8)


class Painter:
    """Paints one camera's pictures, each in place; for one thread.

    Attributes
    ----------
    share : how much of the last picture was painted over, 0 to 1
    """

    def __init__(self, masks: Sequence[Shape], regions: Sequence[Shape]) -> None:
        self._masks, self._regions = masks, regions
        self._size = (0, 0)
        self._blocks: list[Block] = []
        self.share = 0.0

    def paint(self, image: Image) -> None:
        """Paint over what nobody is to see."""
        if not (self._masks or self._regions):
            return
        size = image.shape[:2]
        if size != self._size:
            covered = cover(self._masks, self._regions, height=size[0], width=size[1])
            self._size, self._blocks, self.share = size, blocks(covered), float(covered.mean())
        for block in self._blocks:
            image[block] = 0


def cover(masks: Sequence[Shape], regions: Sequence[Shape], *, height: int, width: int) -> Bits:
    """Shape (height, width): 1 where a picture is to be painted over, else 0."""
    covered: Bits = np.zeros((height, width), np.uint8)
    if regions:
        covered[:] = 1
        for shape in regions:
            covered[_inner(shape, height, width) > 0] = 0
    for shape in masks:
        covered[_outer(shape, height, width) > 0] = 1
    return covered


def blocks(covered: Bits) -> list[Block]:
    """Oblongs that together are what is covered: rows that look alike are one."""
    differs = np.any(covered[1:] != covered[:-1], axis=1)
    rows = [0, *(np.flatnonzero(differs) + 1).tolist(), len(covered)]
    found: list[Block] = []
    for top, bottom in pairwise(rows):
        row = np.concatenate(([0], covered[top], [0])).astype(np.int8)
        edges = np.flatnonzero(np.diff(row)).tolist()
        found += [(slice(top, bottom), slice(left, right)) for left, right in zip(edges[::2], edges[1::2], strict=True)]
    return found


def _outer(shape: Shape, height: int, width: int) -> Bits:
    """Every pixel that a shape touches."""
    if len(shape) == 4:
        left, top, right, bottom = shape
        return _oblong(
            (floor(top * height), floor(left * width), ceil(bottom * height), ceil(right * width)), height, width
        )
    grown: Bits = cv2.dilate(_polygon(shape, height, width), EDGE).astype(np.uint8, copy=False)
    return grown


def _inner(shape: Shape, height: int, width: int) -> Bits:
    """Every pixel that lies in a shape wholly."""
    if len(shape) == 4:
        left, top, right, bottom = shape
        return _oblong(
            (ceil(top * height), ceil(left * width), floor(bottom * height), floor(right * width)), height, width
        )
    # The border of the picture is none of the shape's.
    shrunk: Bits = cv2.erode(_polygon(shape, height, width), EDGE, borderValue=1.0).astype(np.uint8, copy=False)
    return shrunk


def _oblong(edges: tuple[int, int, int, int], height: int, width: int) -> Bits:
    top, left, bottom, right = edges
    bits: Bits = np.zeros((height, width), np.uint8)
    bits[top:bottom, left:right] = 1
    return bits


def _polygon(shape: Shape, height: int, width: int) -> Bits:
    bits: Bits = np.zeros((height, width), np.uint8)
    corners = np.array(shape, np.float64).reshape(-1, 2) * (width, height)
    cv2.fillPoly(bits, [np.floor(corners).astype(np.int32)], (1.0,))
    return bits
