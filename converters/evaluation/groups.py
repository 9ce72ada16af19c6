"""Groups of people, and what a change of a network costs each of them, face by face."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.datasets.labels import FAIRFACE_BINS, GENDERS, age_range

BANDS = {"0-9": (0, 9), **{name: span for name, span in FAIRFACE_BINS.items() if span[0] >= 10}}
"""Age bands that hold both for ages in years and for FairFace's bins."""
LARGE = 100
"""A group of at least so many faces is judged by itself."""
RESAMPLES = 2000
CELLS = 1_000_000
"""Numbers drawn at once: 8 MB."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How much larger the mean error of a group became; negative: smaller.

    ``value`` has the unit of the errors (years; for right or wrong answers a share of 0 to 1), ``low`` and ``high``
    bound it with 95 % confidence (paired bootstrap), None for fewer than two faces.
    """

    group: str
    value: float
    count: int
    low: float | None
    high: float | None

    def exceeds(self, limit: float) -> bool:
        """Whether the loss is past a limit: over all by its value, in a large group when its interval is wholly so."""
        if self.group == "all":
            return self.value > limit
        return self.count >= LARGE and self.low is not None and self.low > limit


def paired_loss(
    before: Sequence[float] | npt.NDArray[np.float64],
    after: Sequence[float] | npt.NDArray[np.float64],
    groups: Mapping[str, Bools | Sequence[bool]],
    *,
    seed: int = 1,
) -> list[Loss]:
    """Mean of ``after - before`` over all faces and over each group, with paired bootstrap 95 % intervals.

    Both variants of a network saw the same faces, so differences are resampled face by face (Efron 1979, percentiles):
    what makes a face hard for either variant drops out.

    Parameters
    ----------
    before, after : shape (N,), the error of each face (the less the better): years off, or 1 for a wrong answer and 0
        for a right one
    groups : by name, which faces belong to it, shape (N,); groups may overlap, empty ones are left out

    Returns
    -------
    ``all`` first, then the groups in their order.
    """
    first, second = (np.asarray(values, dtype=np.float64) for values in (before, after))
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"errors have shapes {first.shape} and {second.shape}, expected the same faces twice")
    change = second - first
    masks = {"all": np.ones(len(change), bool)}
    masks |= {name: np.asarray(mask, dtype=bool) for name, mask in groups.items() if name != "all"}
    return [_loss(name, change[mask], seed) for name, mask in masks.items() if mask.any() or name == "all"]


def people(labels: Sequence[Mapping[str, str]]) -> dict[str, Bools]:
    """Groups by age band, gender and race, as far as the rows are labelled; columns as in the face sets.

    ``age`` is in years or one of FairFace's bins, ``gender`` M or F, ``race`` a word. A group holds at least one face.
    """
    found: dict[str, Bools] = {}
    ages = [age_range(row["age"]) if row.get("age") else None for row in labels]
    for name, (low, high) in BANDS.items():
        found[f"age {name}"] = np.array([age is not None and low <= age[0] and age[1] <= high for age in ages], bool)
    for letter, word in GENDERS.items():
        found[f"gender {word}"] = np.array([row.get("gender") == letter for row in labels], bool)
    for race in sorted({row["race"] for row in labels if row.get("race")}):
        found[f"race {race}"] = np.array([row.get("race") == race for row in labels], bool)
    return {name: mask for name, mask in found.items() if mask.any()}


def first_half(person: str) -> bool:
    """Whether a person is of the half on which a choice is made; the other half only tells how good it was."""
    return hashlib.sha256(person.encode()).digest()[0] % 2 == 0


def _loss(name: str, change: npt.NDArray[np.float64], seed: int) -> Loss:
    count = len(change)
    if count < 2:
        return Loss(group=name, value=float(change.sum()), count=count, low=None, high=None)
    rng = np.random.default_rng(seed)
    at_once = max(1, CELLS // count)
    parts = [min(at_once, RESAMPLES - start) for start in range(0, RESAMPLES, at_once)]
    means = np.concatenate([change[rng.integers(0, count, (part, count))].mean(axis=1) for part in parts])
    low, high = np.percentile(means, [2.5, 97.5])
    return Loss(group=name, value=float(change.mean()), count=count, low=float(low), high=float(high))
