"""The bars for memory: the quality-weighted mean over the same frames, and the device's own fusion; who beats them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt

import msgspec
import numpy as np
import numpy.typing as npt

from converters.datasets.labels import age_range
from edgeface.questions.fusion import Mean, Pool, add_sample, pool_sample
from edgeface.types import F32, AgeEstimate, Answer, Head

F64 = npt.NDArray[np.float64]
ERRORS = 3
"""Standard errors by which a gain must differ from nothing."""


class Gain(msgspec.Struct, frozen=True, kw_only=True):
    """Years by which answers are nearer than the bar's, on average, and how sure that is.

    ``error`` is the standard error: over people, whose windows are not independent, and over repeated trainings.
    """

    years: float
    error: float
    windows: int
    people: int
    repeats: int

    @property
    def beats(self) -> bool:
        """Whether the bar is beaten beyond chance."""
        return self.years > ERRORS * self.error

    @property
    def text(self) -> str:
        """Gain and verdict in words."""
        verdict = f"beaten beyond {ERRORS} standard errors" if self.beats else "not beaten"
        return f"{self.years:+.3f} years nearer, standard error {self.error:.3f}: {verdict}"


def fuse(probabilities: F32, quality: F32) -> F32:
    """Quality-weighted mean (N, K) of the answers (N, T, K) of each window's frames."""
    fused = []
    for said in _answers(probabilities, quality):
        mean = Mean()
        for answer in said:
            mean = add_sample(mean, answer)
        fused.append(mean.probabilities)
    found: F32 = np.stack(fused)
    return found


def pool(probabilities: F32, quality: F32) -> list[Pool]:
    """What a device makes of the answers (N, T, K) of each window's frames."""
    pools = []
    for said in _answers(probabilities, quality):
        one = Pool()
        for answer in said:
            one = pool_sample(one, answer, value=0.0)
        pools.append(one)
    return pools


def _answers(probabilities: F32, quality: F32) -> Iterator[list[Answer]]:
    for rows, weights in zip(probabilities, quality.tolist(), strict=True):
        yield [
            Answer(task="age", probabilities=row, quality=weight, time_s=0.0)
            for row, weight in zip(rows, weights, strict=True)
        ]


def years_of(reader: Head, probabilities: F32) -> F64:
    """Years (N,) that a device would publish for probabilities (N, K)."""
    estimates = [reader.estimate(row) for row in probabilities]
    return np.array([one.years for one in estimates if isinstance(one, AgeEstimate)], np.float64)


def years_off(years: F64, labels: Sequence[str]) -> F64:
    """Years (N,) between answers and labels; to a bin's nearer end, 0 inside it."""
    low, high = np.array([age_range(label) for label in labels], np.float64).reshape(-1, 2).T
    off: F64 = np.maximum(0, np.maximum(low - years, years - high))
    return off


def gain(bar: F64, tried: F64, people: Sequence[str]) -> Gain:
    """How much nearer answers are than the bar.

    Parameters
    ----------
    bar : years off of the bar (N,); tried : of each repeat (R, N)
    people : whom each window shows; those of one person err together
    """
    nearer = bar - tried
    each = nearer.mean(axis=0)
    _, person = np.unique(np.array(people), return_inverse=True)
    count = int(person.max()) + 1
    sums = np.bincount(person, each - each.mean())
    of_people = float(np.square(sums).sum()) / len(each) ** 2 * count / max(1, count - 1)
    repeats = len(tried)
    of_repeats = float(nearer.mean(axis=1).var(ddof=1)) / repeats if repeats > 1 else 0.0
    return Gain(
        years=round(float(each.mean()), 6),
        error=round(sqrt(of_people + of_repeats), 6),
        windows=len(each),
        people=count,
        repeats=repeats,
    )
