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
    # Both factors are below one, so each must reach the square of the least score: few cells are left to look at, and
    # for those plain floats are faster than numpy's calls.
    least = min_score * min_score
    floor = log(least / (1 - least)) if least < 1 else inf
    boxes: list[list[float]] = []
    scores: list[float] = []
    points: list[list[float]] = []
    for stride in head.strides:
        cls, obj = outputs[f"cls_{stride}"][0, :, 0], outputs[f"obj_{stride}"][0, :, 0]
        bbox, kps = outputs[f"bbox_{stride}"][0], outputs[f"kps_{stride}"][0]
        columns = size_wh[0] // stride
        for cell in ((cls >= floor) & (obj >= floor)).nonzero()[0].tolist():
            score = 1 / sqrt((1 + exp(-float(cls[cell]))) * (1 + exp(-float(obj[cell]))))
            if score < min_score:
                continue
            row, column = divmod(cell, columns)
            x, y, width, height = bbox[cell].tolist()
            x, y = (column + x) * stride, (row + y) * stride
            width, height = exp(min(width, MOST)) * stride / 2, exp(min(height, MOST)) * stride / 2
            boxes.append([x - width, y - height, x + width, y + height])
            scores.append(score)
            points.append([(value + (row if i % 2 else column)) * stride for i, value in enumerate(kps[cell].tolist())])
    return (
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array(scores, dtype=np.float32),
        np.array(points, dtype=np.float32).reshape(-1, 5, 2),
    )
