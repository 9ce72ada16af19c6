"""What a view is worth beside other views of one person: weights that are fitted, and what they gain.

A view's weight is a product of what can be seen of it, each factor to a power. The powers are those at which the
weighted mean of a person's views is likeliest to be right: gradient descent on the log likelihood of the true labels.
A power of nought leaves a factor out; powers of one are the weights of `edgeface.people.quality` as they are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeface.people.quality import factors
from edgeface.types import F32, Quality

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
TERMS = ("detector", "size", "blur", "yaw", "light", "cut off")
STEPS, RATE = 400, 0.05
LEAST = 1e-6
"""Least factor: a view of nothing but worthless ones is worth something beside its like."""
MOST = 4.0
"""Largest power that is tried."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """Views of people, and what one network said of one question.

    Attributes
    ----------
    person : int64 (V,), 0 to P - 1
    factors : float64 (V, `TERMS`), 0 to 1
    rows : float32 (V, K), probabilities
    masses : float64 (P, K), which classes are right: those of a label, or the years of a bin
    """

    person: I64
    factors: F64
    rows: F32
    masses: F64


def factors_of(qualities: Sequence[Quality], scores: Sequence[float]) -> F64:
    """Factors (V, `TERMS`) of the weight of views."""
    pairs = zip(qualities, scores, strict=True)
    return np.array([(score, *factors(quality)) for quality, score in pairs], np.float64).reshape(-1, len(TERMS))


def of_people(seen: Seen, chosen: Bools) -> Seen:
    """The views of some of the people, bool (P,), who are numbered anew; somebody without a view is left out."""
    there = chosen & (np.bincount(seen.person, minlength=len(chosen)) > 0)
    kept = there[seen.person]
    return Seen(
        person=(np.cumsum(there) - 1)[seen.person[kept]],
        factors=seen.factors[kept],
        rows=seen.rows[kept],
        masses=seen.masses[there],
    )


def weighted(seen: Seen, powers: F64) -> F64:
    """The weighted mean (P, K) of every person's views."""
    return _mean(seen, weights(seen.factors, powers))


def weights(factors: F64, powers: F64) -> F64:
    """Weights (V,) of views."""
    found: F64 = np.exp(np.log(np.maximum(factors, LEAST)) @ powers)
    return found


def fit_powers(parts: Sequence[Seen], start: Sequence[float] = (0.0,) * len(TERMS)) -> F64:
    """The powers of the greatest likelihood, each from 0 to `MOST`; every part counts the same."""
    powers, first, second = np.array(start, np.float64), np.zeros(len(TERMS)), np.zeros(len(TERMS))
    for step in range(1, STEPS + 1):
        slope = np.mean([_slope(part, powers) for part in parts], axis=0)
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2  # Adam, Kingma and Ba 2015
        powers = powers - RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
        powers = np.clip(powers, 0, MOST)
    return powers


def loss(seen: Seen, powers: F64) -> F64:
    """Negative log likelihood (P,) of the truth in the weighted mean."""
    right = (weighted(seen, powers) * seen.masses).sum(axis=1)
    found: F64 = -np.log(np.maximum(right, LEAST))
    return found


def _mean(seen: Seen, weight: F64) -> F64:
    people, classes = seen.masses.shape
    total = np.bincount(seen.person, weight, people)
    sums = np.stack(
        [np.bincount(seen.person, weight * seen.rows[:, column], people) for column in range(classes)], axis=1
    )
    found: F64 = sums / total[:, None]
    return found


def _slope(seen: Seen, powers: F64) -> F64:
    """Slope of the mean loss, shape (`TERMS`,)."""
    logs = np.log(np.maximum(seen.factors, LEAST))
    weight = np.exp(logs @ powers)
    total = np.bincount(seen.person, weight, len(seen.masses))
    right = (seen.rows * seen.masses[seen.person]).sum(axis=1)
    fused = np.maximum(np.bincount(seen.person, weight * right, len(seen.masses)) / total, LEAST)
    # Of log(sum w r / sum w): what a view says is right beside what all say, by its share of the weight.
    pull = weight / total[seen.person] * (right / fused[seen.person] - 1)
    found: F64 = -(pull[:, None] * logs).sum(axis=0) / len(seen.masses)
    return found
