"""RetinaFace: square priors on three strides.

Deng et al. 2020, "RetinaFace: Single-Shot Multi-Level Face Localisation in the Wild".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeface.bundle import RetinaFaceHead
from edgeface.detect.priors import boxes_from, priors
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
    Boxes as in `priors.boxes_from`; with variances v: landmark = prior's centre + landm v0 size.
    """
    scores = outputs["conf"][0, :, 1]
    rows = np.flatnonzero(scores >= min_score)
    prior = priors(size_wh, head.strides, head.prior_sizes)[rows]
    landm = outputs["landm"][0, rows].reshape(-1, 5, 2)
    points: F32 = prior[:, None, :2] + landm * np.float32(head.variances[0]) * prior[:, None, 2:]
    return boxes_from(prior, outputs["loc"][0, rows], head.variances), scores[rows].astype(np.float32), points
