"""Boosted cascade of Haar features.

Viola, Jones 2001, "Rapid Object Detection using a Boosted Cascade of Simple Features". Frontal faces only, boxes wider
than other detectors' (hair and chin are out, cheeks' surroundings in), no landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeface.bundle import CascadeHead
from edgeface.types import F32

MIDDLE, STEEPNESS = 2.63, 0.683
"""Logistic fit of "this is a face" (IoU above 0.35) to the votes of 676 finds of haarcascade_frontalface_default, with
three neighbours, in the 274-image dev share of WIDER FACE at long side 640."""


def decode(
    outputs: Mapping[str, F32],
    size_wh: tuple[int, int],  # noqa: ARG001 - boxes are in pixels already
    head: CascadeHead,  # noqa: ARG001 - it went into the search
    min_score: float,
) -> tuple[F32, F32, None]:
    """Votes of the last stage to scores.

    Parameters
    ----------
    outputs : ``boxes`` (1, N, 4) in pixels of the input, ``weights`` (1, N)

    Returns
    -------
    boxes (N, 4), scores (N,), no landmarks; scores at least ``min_score``.
    """
    scores: F32 = 1 / (1 + np.exp(-STEEPNESS * (outputs["weights"][0] - MIDDLE)))
    rows = np.flatnonzero(scores >= min_score)
    return outputs["boxes"][0, rows], scores[rows].astype(np.float32), None
