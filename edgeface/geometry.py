"""Boxes, letterboxes and similarity transforms: pure functions on arrays, right for zero faces.

Boxes are x1, y1, x2, y2 in pixels; x2 and y2 lie outside. A pixel's coordinate is its upper left corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import isfinite

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from edgeface.types import F32, Detections, Image

Points = Sequence[Sequence[float]]
"""x and y of each."""
SAMPLE_FROM, PICK_FROM = 2.5, 4.0
"""From these factors on a picture is sampled before it is averaged: between pixels, and by single pixels."""
NMS_FEW = 24
"""Up to so many boxes plain floats are faster."""


class Letterbox(msgspec.Struct, frozen=True, kw_only=True):
    """How a picture was fitted into a network's input: shrunk, at the upper left, padded right and below.

    ``scale`` is input pixels per picture pixel in x and y (they differ by rounding only, but where a picture is
    stretched); ``size_wh`` the network's input, ``content_wh`` the part of it that shows the picture.
    """

    scale: tuple[float, float]
    size_wh: tuple[int, int]
    content_wh: tuple[int, int]


@lru_cache(maxsize=32)
def letterbox(image_wh: tuple[int, int], size_wh: tuple[int, int]) -> Letterbox:
    """Fit a picture into an input: it is shrunk, never enlarged, and keeps its aspect."""
    width, height = image_wh
    factor = min(1.0, size_wh[0] / width, size_wh[1] / height)
    content = (max(1, round(width * factor)), max(1, round(height * factor)))
    return Letterbox(scale=(content[0] / width, content[1] / height), size_wh=size_wh, content_wh=content)


def enlarge(detections: Detections, small_wh: tuple[int, int], image_wh: tuple[int, int]) -> Detections:
    """Faces that were found in a small picture, in the pixels of a larger one of the same view.

    Each axis has its own scale, and edges stay edges: 0 is 0, and the small picture's width is the large one's.
    """
    scale = np.array([image_wh[0] / small_wh[0], image_wh[1] / small_wh[1]])
    boxes = np.minimum(detections.boxes * np.tile(scale, 2), np.tile(image_wh, 2))
    points = None if detections.landmarks is None else (detections.landmarks * scale).astype(np.float32)
    return Detections(boxes=boxes.astype(np.float32), scores=detections.scores, landmarks=points)


def stretch(image_wh: tuple[int, int], size_wh: tuple[int, int]) -> Letterbox:
    """Fit a picture into an input so that it fills it, whatever becomes of its aspect."""
    return Letterbox(scale=(size_wh[0] / image_wh[0], size_wh[1] / image_wh[1]), size_wh=size_wh, content_wh=size_wh)


def shrink(image: Image, content_wh: tuple[int, int], *, out: Image | None = None) -> Image:
    """Resize for a detector or a crop; cheap where the picture is much larger.

    Averaging over every pixel of a 1080p picture costs more than the networks behind it (3.5 ms to 320x180 against
    0.7 ms this way, one thread with AVX2). So from a factor of 2.5 on, two samples per pixel and axis are taken first
    and averaged then. ``out`` of shape (content height, content width, 3) is written in place.
    """
    if image.shape[1::-1] == content_wh and out is None:
        return image
    image, kind = sample(image, content_wh)
    return resize(image, content_wh, kind, out=out)


def sample(image: Image, content_wh: tuple[int, int]) -> tuple[Image, int]:
    """The samples from which `shrink` averages, and the interpolation with which `resize` does the rest."""
    factor = min(image.shape[1] / content_wh[0], image.shape[0] / content_wh[1])
    if factor >= SAMPLE_FROM:
        kind = cv2.INTER_NEAREST_EXACT if factor >= PICK_FROM else cv2.INTER_LINEAR
        image = cv2.resize(image, (2 * content_wh[0], 2 * content_wh[1]), interpolation=kind)
    return image, cv2.INTER_AREA if factor > 1 else cv2.INTER_LINEAR


def resize(image: Image, size_wh: tuple[int, int], interpolation: int, *, out: Image | None = None) -> Image:
    """Resize a picture or a plane, in place where ``out`` is given."""
    resized: Image = cv2.resize(image, size_wh, dst=out, interpolation=interpolation)
    if out is not None and resized is not out:
        np.copyto(out, resized)
        return out
    return resized


def area(boxes: F32) -> F32:
    """Areas in square pixels, shape (N,); a box turned inside out has none."""
    areas: F32 = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    return areas


def iou(boxes: F32, others: F32) -> F32:
    """Intersection over union of every box with every other box.

    Parameters
    ----------
    boxes, others : float32 arrays, shape (N, 4) and (M, 4)
        In the same pixels; N or M may be 0.

    Returns
    -------
    float32 array, shape (N, M), 0 to 1; 0 where a box has no area.
    """
    # An axis at a time: of 300 boxes eight times as fast as in pairs of coordinates.
    x1, y1, x2, y2 = (array[:, None] for array in boxes.T)
    u1, v1, u2, v2 = others.T
    shared: F32 = np.maximum(np.minimum(x2, u2) - np.maximum(x1, u1), 0)
    shared *= np.maximum(np.minimum(y2, v2) - np.maximum(y1, v1), 0)
    joined: F32 = area(boxes)[:, None] + area(others)[None, :] - shared
    return np.divide(shared, joined, out=np.zeros_like(shared), where=joined > 0)


def nms(boxes: F32, scores: F32, *, max_iou: float) -> npt.NDArray[np.int64]:
    """Greedy non-maximum suppression: rows to keep, best score first; a box that is not finite is never kept.

    A box is kept unless its IoU with a kept one is above ``max_iou``.
    """
    order: npt.NDArray[np.int64] = np.argsort(-scores, kind="stable")
    boxes = boxes[order]
    if len(order) <= NMS_FEW:
        return order[_nms_few(boxes.tolist(), max_iou)]
    if not isfinite(boxes.sum()):
        sound = np.isfinite(boxes).all(axis=1)
        order, boxes = order[sound], boxes[sound]
    sizes = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    # OpenCV reads lists faster than arrays; it wants scores above 0, of which only the order matters.
    places = np.concatenate([boxes[:, :2], sizes], axis=1).tolist()
    kept = cv2.dnn.NMSBoxes(places, range(len(places), 0, -1), score_threshold=0.0, nms_threshold=max_iou)
    return order[np.asarray(kept, dtype=np.int64).reshape(-1)]


def _nms_few(boxes: Sequence[Sequence[float]], max_iou: float) -> list[int]:
    """`nms` of a handful of boxes, best first, in plain floats: numpy's calls would cost more than the arithmetic."""
    kept: list[int] = []
    others: list[tuple[float, float, float, float, float]] = []
    for row, (x1, y1, x2, y2) in enumerate(boxes):
        if not isfinite(x1 + y1 + x2 + y2):
            continue
        own = (x2 - x1) * (y2 - y1) if x2 > x1 and y2 > y1 else 0.0
        for u1, v1, u2, v2, area in others:
            # Comparisons in place: min() and max() are calls.
            width = (x2 if x2 < u2 else u2) - (x1 if x1 > u1 else u1)
            height = (y2 if y2 < v2 else v2) - (y1 if y1 > v1 else v1)
            if width > 0 and height > 0:
                shared = width * height
                if shared > max_iou * (own + area - shared):
                    break
        else:
            kept.append(row)
            others.append((x1, y1, x2, y2, own))
    return kept


def share_of_box(boxes: F32, shares: tuple[float, float, float, float]) -> F32:
    """Move each edge outwards by a share (left, top, right, bottom) of the box's width or height; negative inwards."""
    size = boxes[:, 2:] - boxes[:, :2]
    left_top = boxes[:, :2] - size * np.array(shares[:2], dtype=np.float32)
    right_bottom = boxes[:, 2:] + size * np.array(shares[2:], dtype=np.float32)
    moved: F32 = np.concatenate([left_top, right_bottom], axis=1).astype(np.float32)
    return moved


def similarity(source: Points, target: Points) -> tuple[float, float, float, float]:
    """Least-squares similarity (rotation, one scale, shift; no mirror) from the points ``source`` to ``target``.

    Returns
    -------
    a, b, shift_x, shift_y: x, y goes to ``a x - b y + shift_x, b x + a y + shift_y``.

    Notes
    -----
    Umeyama 1991, restricted to the plane, where the rotation has a closed form.
    """
    # Plain floats: of five points numpy's calls would cost ten times the arithmetic.
    count = len(source)
    x0, y0 = (sum(places) / count for places in zip(*source, strict=True))
    u0, v0 = (sum(places) / count for places in zip(*target, strict=True))
    power = along = across = 0.0
    for (x, y), (u, v) in zip(source, target, strict=True):
        dx, dy, du, dv = x - x0, y - y0, u - u0, v - v0
        power += dx * dx + dy * dy
        along += dx * du + dy * dv
        across += dx * dv - dy * du
    a, b = (along / power, across / power) if power else (0.0, 0.0)
    return a, b, u0 - a * x0 + b * y0, v0 - b * x0 - a * y0
