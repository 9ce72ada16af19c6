"""Which rows an epoch sees: weights by label and by set, and a drawing that holds to them to the row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from converters.datasets.expressions import NO_EXPRESSION, spelling, voted
from converters.datasets.labels import FAIRFACE_BINS, age_range
from edgeface.errors import UsageError

F64 = npt.NDArray[np.float64]
By = Literal["bin", "decade", "class", "gender", "race"]
"""What rows are counted by: FairFace's nine age bins, decades of exact ages, expressions, genders, races."""
Taggers = Literal["any", "clear", "same"]
"""Which faces are kept by what most of FER+'s taggers saw in them."""
COLUMNS: Mapping[By, str] = {"bin": "age", "decade": "age", "class": "emotion", "gender": "gender", "race": "race"}
OLDEST_DECADE = 8
"""From 80 years on there is one group: above it are too few faces to be shown again and again."""


def row_weights(rows: Sequence[Mapping[str, str]], by: Sequence[By], *, power: float = 1.0) -> F64:
    """How often each row is to be seen, in the mean once.

    Parameters
    ----------
    rows : cells of the label tables
    by : what rows are counted by; several make one group of each combination, none leaves all rows equal
    power : 0 leaves groups as they are, 1 shows all groups equally often, between them the square root and so on

    Returns
    -------
    float64 array (N,), mean 1.

    Raises
    ------
    UsageError : a row lacks the label, or it is no age
    """
    groups = [tuple(group_of(row, kind) for kind in by) for row in rows]
    counts = Counter(groups)
    weights: F64 = np.array([counts[group] ** -power for group in groups], np.float64)
    even: F64 = weights / weights.mean() if len(weights) else weights
    return even


def group_of(row: Mapping[str, str], by: By) -> str:
    """Return the group that a row is counted in; UsageError where the label is missing or no age."""
    if by not in get_args(By):
        raise UsageError(f"rows cannot be balanced by '{by}'", fix=f"choose among {', '.join(get_args(By))}")
    label = row.get(COLUMNS[by], "")
    if not label:
        raise UsageError(f"a row without {COLUMNS[by]} cannot be balanced by {by}", fix="balance by another label")
    if by == "class":
        return spelling(label)
    if by not in ("bin", "decade"):
        return label
    if label not in FAIRFACE_BINS and not label.isdecimal():
        raise UsageError(f"age '{label}' is neither years nor a bin", fix="correct the row or take it out")
    low, _ = age_range(label)
    if by == "bin":
        return next((name for name, (first, last) in FAIRFACE_BINS.items() if first <= low <= last), "70+")
    # A bin that is no decade (0-2, 3-9) is counted where it begins.
    return str(min(low // 10, OLDEST_DECADE))


def is_kept(row: Mapping[str, str], taggers: Taggers) -> bool:
    """Whether a face stays, by its FER+ votes: ``clear`` wants an expression, ``same`` that of its label."""
    seen = voted(row)
    if seen is None or taggers == "any":
        return True
    return seen not in NO_EXPRESSION if taggers == "clear" else seen == spelling(row.get("emotion", ""))


def joined(weights: Sequence[F64], shares: Sequence[float]) -> F64:
    """Weights of several sets one after another: the rows of each add up to its share, the mean of all is 1.

    Parameters
    ----------
    weights : of the rows of each set
    shares : how much of an epoch each set is, relative to one another; 0 leaves a set out
    """
    if not weights or not sum(shares) or min(shares) < 0:
        raise UsageError("the sets have no share of an epoch", fix="give at least one a weight above 0")
    scaled = [one / one.sum() * share for one, share in zip(weights, shares, strict=True)]
    together = np.concatenate(scaled)
    even: F64 = together / together.mean()
    return even


def epoch_order(weights: F64, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw the rows of one epoch in the order in which they are seen.

    A row of weight w is drawn w * count / sum times, rounded up or down by chance: by systematic sampling (Madow 1949)
    of the rows in a random order. With equal weights and as many draws as rows each is seen once.

    Returns
    -------
    int64 array (count,) of places in ``weights``.
    """
    total = float(weights.sum())
    if not total > 0 or weights.min() < 0:
        raise UsageError("no row has a weight above 0", fix="give at least one set a weight")
    shuffled = rng.permutation(len(weights))
    ends = np.cumsum(weights[shuffled])
    # Not at the ends of the steps, where rounding would decide between two rows.
    marks = (np.arange(count) + rng.uniform(0.001, 0.999)) * (ends[-1] / max(1, count))
    drawn = shuffled[np.searchsorted(ends, marks, side="right")]
    return rng.permutation(drawn).astype(np.int64)
