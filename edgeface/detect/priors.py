"""Square priors on several strides, and how offsets from them become boxes. Liu et al. 2016 (SSD), section 2.2."""

from __future__ import annotations

from functools import lru_cache
from math import ceil

import numpy as np

from edgeface.detect.limits import MOST
from edgeface.types import F32


@lru_cache(maxsize=16)
def priors(size_wh: tuple[int, int], strides: tuple[int, ...], sizes: tuple[tuple[int, ...], ...]) -> F32:
    """Centre x, y and width, height in pixels of every prior, shape (P, 4): strides, rows, columns, sizes.

    A stride has ceil(side / stride) cells a side, evenly spaced: where it does not divide the side, they are narrower
    than the stride.
    """
    parts: list[F32] = []
    for stride, sides in zip(strides, sizes, strict=True):
        columns, rows = ceil(size_wh[0] / stride), ceil(size_wh[1] / stride)
        y, x, side = np.meshgrid(
            (np.arange(rows) + 0.5) * size_wh[1] / rows,
            (np.arange(columns) + 0.5) * size_wh[0] / columns,
            np.array(sides, dtype=np.float64),
            indexing="ij",
        )
        parts.append(np.stack([x, y, side, side], axis=-1).reshape(-1, 4).astype(np.float32))
    return np.concatenate(parts)


def boxes_from(prior: F32, offsets: F32, variances: tuple[float, float]) -> F32:
    """Boxes (N, 4) in pixels from priors and offsets, both (N, 4).

    With variances v: centre = prior's centre + offset[0:2] v0 size; size = prior's size exp(offset[2:4] v1).
    """
    centre_v, size_v = (np.float32(value) for value in variances)
    middle = prior[:, :2] + offsets[:, :2] * centre_v * prior[:, 2:]
    half = prior[:, 2:] * np.exp(np.minimum(offsets[:, 2:] * size_v, np.float32(MOST))) / 2
    return np.concatenate([middle - half, middle + half], axis=1)
