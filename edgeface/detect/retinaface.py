"""RetinaFace: square priors on three strides.

Deng et al. 2020, "RetinaFace: Single-Shot Multi-Level Face Localisation in the Wild".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import ceil

import numpy as np

from edgeface.bundle import RetinaFaceHead
from edgeface.types import F32


def decode(
    outputs: Mapping[str, F32], size_wh: tuple[int, int], head: RetinaFaceHead, min_score: float
) -> tuple[F32, F32, F32]:
    """Priors to faces, in the pixels of the network's input.

    Parameters
    ----------
    outputs : ``loc`` (1, P, 4), ``conf`` (1, P, 2) as probabilities of background and face, ``landm`` (1, P, 10)
    size_wh : width and height of the network's input

    Returns
    -------
    boxes (N, 4), scores (N,), landmarks (N, 5, 2); scores at least ``min_score``.

    Notes
    -----
    With variances v: centre = prior centre + loc[0:2] v0 size; size = prior size exp(loc[2:4] v1);
    landmark = prior centre + landm v0 size (Liu et al. 2016, SSD, section 2.2, with the port's variances).
    """
    scores = outputs["conf"][0, :, 1]
    rows = np.flatnonzero(scores >= min_score)
    prior = _priors(size_wh, head.strides, head.prior_sizes)[rows]
    centre, side = prior[:, :2], prior[:, 2:]
    loc, landm = outputs["loc"][0, rows], outputs["landm"][0, rows].reshape(-1, 5, 2)
    centre_v, size_v = (np.float32(v) for v in head.variances)
    middle = centre + loc[:, :2] * centre_v * side
    half = side * np.exp(loc[:, 2:] * size_v) / 2
    points: F32 = centre[:, None] + landm * centre_v * side[:, None]
    return np.concatenate([middle - half, middle + half], axis=1), scores[rows].astype(np.float32), points


@lru_cache(maxsize=16)
def _priors(size_wh: tuple[int, int], strides: tuple[int, ...], sizes: tuple[tuple[int, ...], ...]) -> F32:
    """Centre x, y and width, height in pixels of every prior, shape (P, 4): strides, rows, columns, sizes."""
    parts: list[F32] = []
    for stride, sides in zip(strides, sizes, strict=True):
        columns, rows = ceil(size_wh[0] / stride), ceil(size_wh[1] / stride)
        y, x, side = np.meshgrid(
            (np.arange(rows) + 0.5) * stride,
            (np.arange(columns) + 0.5) * stride,
            np.array(sides, dtype=np.float64),
            indexing="ij",
        )
        parts.append(np.stack([x, y, side, side], axis=-1).reshape(-1, 4).astype(np.float32))
    return np.concatenate(parts)
