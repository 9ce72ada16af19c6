"""Age as the expectation of a distribution over years. Rothe, Timofte, Van Gool 2018 (DEX), section 3.3."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeface.attributes.columns import select
from edgeface.attributes.distribution import bounds, normalised, tempered
from edgeface.bundle import ExpectationHead
from edgeface.errors import BundleError
from edgeface.types import F32, AgeEstimate, Task


class Expectation:
    """Probabilities over ``support`` years per class."""

    certainty: float | None = None

    def __init__(self, task: Task, head: ExpectationHead) -> None:
        self.task: Task = task
        self._head = head
        self._support: F32 = np.array(head.support, dtype=np.float32)
        self._percentiles = head.percentiles

    def probabilities(self, outputs: Mapping[str, F32]) -> F32:
        """Rows (N, K) that sum to 1; quantized outputs are brought back to a sum of 1.

        Raises
        ------
        BundleError : the network gives another number of values than there are ages
        """
        raw = select(outputs, self._head)
        if raw.shape[1:] != self._support.shape:
            raise BundleError(
                f"a network for {self.task} gives {raw.shape[1:]} values for {len(self._support)} ages",
                fix="install the bundle again",
            )
        return normalised(raw)

    def estimate(self, probabilities: F32) -> AgeEstimate:
        """Mean of the distribution, and the two percentiles between which it lies, in years."""
        low, high = self.bounds(probabilities)
        return AgeEstimate(years=self.years(probabilities), low=low, high=high)

    def years(self, probabilities: F32) -> float:
        """Mean of the distribution."""
        return float(probabilities @ self._support)

    def bounds(self, probabilities: F32) -> tuple[float, float]:
        """The two percentiles between which it lies, in years."""
        return bounds(tempered(probabilities, self._head.temperature), self._support, self._percentiles)
