"""YuNet: anchor-free, one face per cell. Wu, Peng, Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector"."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, inf, log, sqrt

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
    # Both factors are below one, so each must reach the square of the least score: few cells are left. For their boxes
    # plain floats are faster than numpy's calls; ten numbers a cell are enough for numpy to win.
    least = min_score * min_score
    floor = log(least / (1 - least)) if least < 1 else inf
    boxes: list[tuple[float, float, float, float]] = []
    scores: list[float] = []
    points: list[F32] = []
    for stride in head.strides:
        cls, obj = outputs[f"cls_{stride}"][0, :, 0], outputs[f"obj_{stride}"][0, :, 0]
        likely = (np.minimum(cls, obj) >= floor).nonzero()[0]
        if not len(likely):
            continue
        cells, corners = [], []
        bbox = outputs[f"bbox_{stride}"][0, likely].tolist()
        for cell, a, b, (dx, dy, log_w, log_h) in zip(
            likely.tolist(), cls[likely].tolist(), obj[likely].tolist(), bbox, strict=True
        ):
            score = 1 / sqrt((1 + exp(-a)) * (1 + exp(-b)))
            if score < min_score:
                continue
            row, column = divmod(cell, size_wh[0] // stride)
            x, y = (column + dx) * stride, (row + dy) * stride
            half_w, half_h = exp(min(log_w, MOST)) * stride / 2, exp(min(log_h, MOST)) * stride / 2
            boxes.append((x - half_w, y - half_h, x + half_w, y + half_h))
            scores.append(score)
            cells.append(cell)
            corners.append((column, row))
        if not cells:
            continue
        kps = outputs[f"kps_{stride}"][0, cells].reshape(-1, 5, 2)
        points.append((kps + np.array(corners, np.float32).reshape(-1, 1, 2)) * np.float32(stride))
    return (
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array(scores, dtype=np.float32),
        np.concatenate(points) if points else np.zeros((0, 5, 2), dtype=np.float32),
    )
