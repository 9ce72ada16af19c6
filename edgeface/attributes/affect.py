"""Valence (unpleasant to pleasant) and arousal (calm to excited) of what a face shows. Russell 1980."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeface.attributes.columns import select
from edgeface.bundle import AffectHead
from edgeface.errors import BundleError
from edgeface.types import F32, AffectEstimate, Task


class Affect:
    """Two numbers a sample, each -1 to 1; no distribution."""

    certainty: float | None = None

    def __init__(self, task: Task, head: AffectHead) -> None:
        self.task: Task = task
        self._head = head

    def probabilities(self, outputs: Mapping[str, F32]) -> F32:
        """Rows (N, 2): valence and arousal themselves, within -1 to 1.

        Raises
        ------
        BundleError : the network gives another number of values
        """
        raw = select(outputs, self._head)
        if raw.shape[1:] != (2,):
            raise BundleError(
                f"a network for {self.task} gives {raw.shape[1:]} values instead of valence and arousal",
                fix="install the bundle again",
            )
        values: F32 = np.clip(raw, -1, 1)
        return values

    def estimate(self, probabilities: F32) -> AffectEstimate:
        """Read one row, shape (2,)."""
        return AffectEstimate(valence=float(probabilities[0]), arousal=float(probabilities[1]))
