"""BlazeFace: anchors without a size on one or two strides. Bazarevsky et al. 2019, "BlazeFace", section 3.2.

It finds two eyes, nose, the middle of the mouth and two ears. They are not given on as landmarks: corners of the mouth
that are put where they usually lie, 0.82 of the eyes' distance apart, miss RetinaFace's by a quarter of that distance
(full range, 348 faces of WIDER FACE that look at the camera; the eyes themselves by a fifth), too far to align by.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import inf, log

import numpy as np

from edgeface.bundle import BlazeFaceHead
from edgeface.detect.limits import MOST
from edgeface.types import F32


def decode(
    outputs: Mapping[str, F32], size_wh: tuple[int, int], head: BlazeFaceHead, min_score: float
) -> tuple[F32, F32, None]:
    """Anchors to faces, in the pixels of the network's input.

    Parameters
    ----------
    outputs : ``boxes`` (1, A, 16), of which the first four are centre and size, in pixels from the anchor's centre;
        ``scores`` (1, A, 1), logits
    size_wh : width and height of the network's input

    Returns
    -------
    boxes (N, 4), scores (N,), None; scores at least ``min_score``.
    """
    logits = outputs["scores"][0, :, 0]
    floor = log(min_score / (1 - min_score)) if 0 < min_score < 1 else -inf if min_score <= 0 else inf
    rows = np.flatnonzero(logits >= floor)
    raw = outputs["boxes"][0, rows]
    middle, half = _anchors(size_wh, head.anchors)[rows] + raw[:, :2], raw[:, 2:4] / 2
    scores = 1 / (1 + np.exp(-np.clip(logits[rows], -MOST, MOST)))
    return np.concatenate([middle - half, middle + half], axis=1), scores.astype(np.float32), None


@lru_cache(maxsize=8)
def _anchors(size_wh: tuple[int, int], grids: tuple[tuple[int, int], ...]) -> F32:
    """Centre x, y in pixels of every anchor, shape (A, 2): strides, rows, columns, anchors of a cell."""
    parts: list[F32] = []
    for stride, count in grids:
        y, x = np.mgrid[: size_wh[1] // stride, : size_wh[0] // stride]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * stride
        parts.append(centres.repeat(count, axis=0).astype(np.float32))
    return np.concatenate(parts)
