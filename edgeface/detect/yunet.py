"""YuNet: anchor-free, one face per cell. Wu, Peng, Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector"."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import log

import numpy as np

from edgeface.bundle import YunetHead
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
    cls, obj, bbox, kps = (
        np.concatenate([outputs[f"{name}_{stride}"][0] for stride in head.strides])
        for name in ("cls", "obj", "bbox", "kps")
    )
    # Both factors are below one, so each must reach the square of the least score: few cells need the exponentials.
    least = min_score * min_score
    floor = log(least / (1 - least)) if least < 1 else np.inf
    rows = np.flatnonzero((cls[:, 0] >= floor) & (obj[:, 0] >= floor))
    if rows.size == 0:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
    scores = 1 / np.sqrt((1 + np.exp(-cls[rows, 0])) * (1 + np.exp(-obj[rows, 0])))
    rows, scores = rows[scores >= min_score], scores[scores >= min_score]
    cells, strides = _cells(size_wh, head.strides)
    cell, stride = cells[rows], strides[rows]
    centre = (cell + bbox[rows, :2]) * stride
    half = np.exp(bbox[rows, 2:]) * stride / 2
    points: F32 = (cell[:, None] + kps[rows].reshape(-1, 5, 2)) * stride[:, None]
    return np.concatenate([centre - half, centre + half], axis=1), scores.astype(np.float32), points


@lru_cache(maxsize=16)
def _cells(size_wh: tuple[int, int], strides: tuple[int, ...]) -> tuple[F32, F32]:
    """Column and row of every cell (N, 2), and its stride (N, 1)."""
    cells: list[F32] = []
    steps: list[F32] = []
    for stride in strides:
        width, height = size_wh[0] // stride, size_wh[1] // stride
        column, row = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        cells.append(np.stack([column.ravel(), row.ravel()], axis=1))
        steps.append(np.full((width * height, 1), stride, dtype=np.float32))
    return np.concatenate(cells), np.concatenate(steps)
