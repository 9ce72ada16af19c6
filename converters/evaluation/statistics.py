"""Figures with their count and 95 % confidence interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

Z = 1.959964
RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Figure:
    """A value over ``count`` faces; ``low`` and ``high`` bound it with 95 % confidence, None where not computed."""

    value: float
    count: int
    low: float | None
    high: float | None

    def root(self) -> Figure:
        """Square root of everything: from a mean square to its root."""
        return Figure(
            sqrt(self.value),
            self.count,
            None if self.low is None else sqrt(max(0.0, self.low)),
            None if self.high is None else sqrt(self.high),
        )


def share_figure(hits: Sequence[bool]) -> Figure:
    """A share, 0 to 1, with Wilson's interval (Wilson 1927)."""
    count = len(hits)
    if count == 0:
        return Figure(0.0, 0, None, None)
    share = sum(hits) / count
    middle = (share + Z * Z / (2 * count)) / (1 + Z * Z / count)
    reach = Z / (1 + Z * Z / count) * sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    return Figure(share, count, max(0.0, middle - reach), min(1.0, middle + reach))


def mean_figure(values: Sequence[float], *, seed: int = 1) -> Figure:
    """A mean with its bootstrap interval (Efron 1979, percentile method)."""
    array = np.array(values, dtype=np.float64)
    if len(array) < 2:
        return Figure(float(array.mean()) if len(array) else 0.0, len(array), None, None)
    rng = np.random.default_rng(seed)
    means = [float(array[rng.integers(0, len(array), len(array))].mean()) for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Figure(float(array.mean()), len(array), float(low), float(high))
