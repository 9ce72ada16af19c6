"""Age by ranks: how likely it is above each. Cao, Mirjalili, Raschka 2020 (CORAL), section 3.3."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeface.attributes.columns import select
from edgeface.attributes.distribution import bounds, tempered
from edgeface.bundle import CoralHead
from edgeface.errors import BundleError
from edgeface.types import F32, AgeEstimate, Task

STEPS = np.float32(2**24)
"""Float32 counts in steps of 2**-24 between one half and one: in them, differences and sums are exact."""


class Coral:
    """Probabilities that an age is above ``lowest``, ``lowest`` + 1, ...; read as a distribution over the ages.

    Trained ranks hardly ever cross, quantized ones may: each sample's probabilities are put in falling order
    (rearrangement, Chernozhukov et al. 2010), which changes nothing about how many of them are above one half.
    """

    certainty: float | None = None

    def __init__(self, task: Task, head: CoralHead) -> None:
        self.task: Task = task
        self._head = head
        self._support: F32 = np.arange(head.lowest, head.lowest + head.ranks + 1, dtype=np.float32)

    def probabilities(self, outputs: Mapping[str, F32]) -> F32:
        """Rows (N, ranks + 1) that sum to 1, over the ages from ``lowest`` on.

        Raises
        ------
        BundleError : the network gives another number of values than there are ranks
        """
        raw = select(outputs, self._head)
        if raw.shape[1:] != (self._head.ranks,):
            raise BundleError(
                f"a network for {self.task} gives {raw.shape[1:]} values for {self._head.ranks} ranks",
                fix="install the bundle again",
            )
        above = np.floor(np.clip(-np.sort(-raw, axis=1), 0, 1) * STEPS) / STEPS
        ends = np.ones((len(raw), 1), np.float32), np.zeros((len(raw), 1), np.float32)
        rows: F32 = -np.diff(np.concatenate([ends[0], above, ends[1]], axis=1), axis=1)
        return rows

    def estimate(self, probabilities: F32) -> AgeEstimate:
        """The published age, ``lowest`` plus how many of the probabilities are above one half, and two percentiles."""
        low, high = self.bounds(probabilities)
        return AgeEstimate(years=self.years(probabilities), low=low, high=high)

    def years(self, probabilities: F32) -> float:
        """The published age."""
        above = 1 - np.cumsum(probabilities, dtype=np.float64)[:-1]
        return float(self._head.lowest + np.count_nonzero(above > 0.5))

    def bounds(self, probabilities: F32) -> tuple[float, float]:
        """The two percentiles between which it lies, in years."""
        spread = tempered(probabilities, self._head.temperature)
        return bounds(spread, self._support, self._head.percentiles)
