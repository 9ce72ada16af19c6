"""Age said outright: one number, with the error that was measured of such numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeface.attributes.columns import select
from edgeface.attributes.distribution import bounds
from edgeface.bundle import RegressionHead
from edgeface.errors import BundleError
from edgeface.types import F32, AgeEstimate, Task

OLDEST = 100
CENTRES = 4001
"""Centres of the bell curve whose means are known; between two of them the mean is interpolated."""


class Regression:
    """A sample becomes a normal distribution over the ages 0 to 100, so that samples are fused as all others are.

    Its standard deviation is the head's ``error_years`` and its mean what the network said: near 0 and 100, where the
    curve is cut off, its centre is moved outwards for that, and it gets narrower.
    """

    certainty: float | None = None

    def __init__(self, task: Task, head: RegressionHead) -> None:
        self.task: Task = task
        self._head = head
        self._support: F32 = np.arange(OLDEST + 1, dtype=np.float32)
        margin = 6 * max(head.error_years, head.error_years**2)
        self._centres = np.linspace(-margin, OLDEST + margin, CENTRES)
        self._means = self._curves(self._centres) @ self._support

    def probabilities(self, outputs: Mapping[str, F32]) -> F32:
        """Rows (N, 101) that sum to 1, over the ages 0 to 100; the mean of each is what was said, within 0 to 100.

        Raises
        ------
        BundleError : the network gives more than one value
        """
        raw = select(outputs, self._head)
        if raw.shape[1:] not in ((1,), ()):
            raise BundleError(
                f"a network for {self.task} gives {raw.shape[1:]} values instead of years",
                fix="install the bundle again",
            )
        years = raw.reshape(-1) * self._head.unit_years
        return self._curves(np.interp(years, self._means, self._centres))

    def estimate(self, probabilities: F32) -> AgeEstimate:
        """Mean of the distribution, and the two percentiles between which it lies, in years."""
        low, high = self.bounds(probabilities)
        return AgeEstimate(years=self.years(probabilities), low=low, high=high)

    def years(self, probabilities: F32) -> float:
        """Mean of the distribution."""
        return float(probabilities @ self._support)

    def bounds(self, probabilities: F32) -> tuple[float, float]:
        """The two percentiles between which it lies, in years."""
        return bounds(probabilities, self._support, self._head.percentiles)

    def _curves(self, centres: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> F32:
        """Normal distributions (N, 101) around ``centres`` (N,)."""
        powers = -0.5 * ((self._support - centres[:, None]) / self._head.error_years) ** 2
        weights = np.exp(powers - powers.max(axis=1, keepdims=True))
        rows: F32 = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        return rows
