"""CenterFace: at most one face per cell. Xu, Yan, Yang, Wang 2020, "CenterFace", section 3."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeface.bundle import CenterFaceHead
from edgeface.detect.limits import MOST
from edgeface.types import F32


def decode(
    outputs: Mapping[str, F32], size_wh: tuple[int, int], head: CenterFaceHead, min_score: float
) -> tuple[F32, F32, F32]:
    """Cells to faces, in the pixels of the network's input.

    Parameters
    ----------
    outputs : ``heatmap`` (1, P, 1), 0 to 1; ``size`` (1, P, 2), height and width; ``offset`` (1, P, 2), y and x;
        ``landmarks`` (1, P, 10), pairs y, x; cells row by row
    size_wh : width and height of the network's input

    Returns
    -------
    boxes (N, 4), scores (N,), landmarks (N, 5, 2); scores at least ``min_score``.

    Notes
    -----
    centre = (cell + 0.5 + offset) stride; size = exp(size) stride; point = upper left corner + landmarks size.
    """
    scores = outputs["heatmap"][0, :, 0]
    cells = np.flatnonzero(scores >= min_score)
    row, column = np.divmod(cells, size_wh[0] // head.stride)
    size, offset = (outputs[name][0, cells, ::-1] for name in ("size", "offset"))
    middle = (np.stack([column, row], axis=1) + np.float32(0.5) + offset) * np.float32(head.stride)
    sides = np.exp(np.minimum(size, np.float32(MOST))) * np.float32(head.stride)
    corner = middle - sides / 2
    points = corner[:, None] + outputs["landmarks"][0, cells].reshape(-1, 5, 2)[:, :, ::-1] * sides[:, None]
    boxes = np.concatenate([corner, corner + sides], axis=1)
    return boxes.astype(np.float32), scores[cells].astype(np.float32), points.astype(np.float32)
