"""YuNet: anchor-free, one face per cell. Wu, Peng, Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector"."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, log

import numpy as np

from edgeface.bundle import YunetHead
from edgeface.detect.limits import MOST
from edgeface.types import F32


def decode(
    outputs: Mapping[str, F32], size_wh: tuple[int, int], head: YunetHead, min_score: float
) -> tuple[F32, F32, F32]:
    """Cells to faces, in the pixels of the network's input.

    Parameters
    ----------
    outputs : per stride S ``cls_S`` and ``obj_S`` (1, cells, 1) as logits, ``bbox_S`` (1, cells, 4), ``kps_S``
        (1, cells, 10); cells row by row
    size_wh : width and height of the network's input

    Returns
    -------
    boxes (N, 4), scores (N,), landmarks (N, 5, 2); scores at least ``min_score``.

    Notes
    -----
    score = sqrt(sigmoid(cls) sigmoid(obj)); centre = (cell + bbox[0:2]) stride; size = exp(bbox[2:4]) stride;
    points = (cell + kps) stride.
    """
    # Both factors are below one, so each must reach the square of the least score: few cells are left.
    least = min_score * min_score
    floor = log(least / (1 - least)) if least < 1 else inf
    where: list[tuple[int, int, int]] = []
    logits: list[tuple[F32, F32]] = []
    offsets: list[tuple[F32, F32]] = []
    for stride in head.strides:
        cls, obj = outputs[f"cls_{stride}"][0, :, 0], outputs[f"obj_{stride}"][0, :, 0]
        likely = (np.minimum(cls, obj) >= floor).nonzero()[0]
        if len(likely):
            columns = size_wh[0] // stride
            where += [(cell % columns, cell // columns, stride) for cell in likely.tolist()]
            logits.append((cls[likely], obj[likely]))
            offsets.append((outputs[f"bbox_{stride}"][0, likely], outputs[f"kps_{stride}"][0, likely]))
    if not where:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
    cls, obj = (np.concatenate(parts) for parts in zip(*logits, strict=True))
    bbox, kps = (np.concatenate(parts) for parts in zip(*offsets, strict=True))
    cells = np.array(where, dtype=np.float32)
    corner, strides = cells[:, :2], cells[:, 2:]
    scores = 1 / np.sqrt((1 + np.exp(-cls)) * (1 + np.exp(-obj)))
    middle = (corner + bbox[:, :2]) * strides
    half = np.exp(np.minimum(bbox[:, 2:], np.float32(MOST))) * (strides / 2)
    boxes = np.concatenate([middle - half, middle + half], axis=1)
    points = (corner[:, None] + kps.reshape(-1, 5, 2)) * strides[:, None]
    enough = scores >= min_score
    return boxes[enough], scores[enough], points[enough]
