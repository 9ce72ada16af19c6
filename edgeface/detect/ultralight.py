"""Ultra-Light: square priors on four strides, boxes without points.

Code of its makers: github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB; no paper.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeface.bundle import UltraLightHead
from edgeface.detect.priors import boxes_from, priors
from edgeface.types import F32


def decode(
    outputs: Mapping[str, F32], size_wh: tuple[int, int], head: UltraLightHead, min_score: float
) -> tuple[F32, F32, None]:
    """Priors to faces, in the pixels of the network's input.

    Parameters
    ----------
    outputs : ``conf`` (1, P, 2) as probabilities of background and face, ``loc`` (1, P, 4)
    size_wh : width and height of the network's input

    Returns
    -------
    boxes (N, 4), scores (N,), None; scores at least ``min_score``. Boxes as in `priors.boxes_from`.
    """
    scores = outputs["conf"][0, :, 1]
    rows = np.flatnonzero(scores >= min_score)
    prior = priors(size_wh, head.strides, head.prior_sizes)[rows]
    return boxes_from(prior, outputs["loc"][0, rows], head.variances), scores[rows].astype(np.float32), None
