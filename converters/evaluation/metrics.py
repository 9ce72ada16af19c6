"""Measures that no library has, as the field's papers define them; pure functions on arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from converters.evaluation.statistics import RESAMPLES, Figure

GRID = 71
"""Cells along either axis of the valence and arousal plane."""
TRIALS = 200
PER_CLASS = 500

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


def cumulative_score(errors: F64, years: Sequence[float]) -> F64:
    """CS(T): share of faces whose absolute error is at most T years, for each T. Geng et al. 2007.

    Parameters
    ----------
    errors : shape (N,), years off, either sign
    years : the T

    Returns
    -------
    shape (len(years),), 0 to 1; 0 for no face.
    """
    off = np.abs(errors)[:, None] <= np.asarray(years, dtype=np.float64)[None]
    return off.mean(axis=0) if len(errors) else np.zeros(len(years))


def rmse(truth: F64, predicted: F64) -> float:
    """Root mean square error, shapes (N,), N from 1."""
    return float(np.sqrt(np.mean(np.square(predicted - truth))))


def sign_agreement(truth: F64, predicted: F64) -> float:
    """SAGR: share of pairs of equal sign, 0 being a sign of its own. Nicolaou, Gunes, Pantic 2011."""
    return float(np.mean(np.sign(truth) == np.sign(predicted)))


def concordance(truth: F64, predicted: F64) -> float:
    """CCC, -1 to 1: 2 s_xy / (s_x^2 + s_y^2 + (m_x - m_y)^2). Lin 1989.

    Moments are the population's; two constant and equal series agree fully, any other constant one not at all.
    """
    shift = float(truth.mean() - predicted.mean())
    spread = float(truth.var() + predicted.var()) + shift * shift
    if spread == 0:
        return 1.0
    return 2 * float(np.mean((truth - truth.mean()) * (predicted - predicted.mean()))) / spread


def normalised_rmse(truth: F64, predicted: F64) -> tuple[float, float]:
    """RMSE of valence and of arousal that does not follow the crowd.

    The plane from -1 to 1 is cut into 71 x 71 cells; the error is taken in every cell in which the truth of at least
    one face lies, and averaged over these cells (Vadlejch 2021, after Mollahosseini et al. 2017 on skew).

    Parameters
    ----------
    truth, predicted : shape (N, 2), valence and arousal, N from 1
    """
    rows = np.clip(np.floor((truth + 1) / 2 * GRID).astype(np.int64), 0, GRID - 1)
    _, cell = np.unique(rows[:, 0] * GRID + rows[:, 1], return_inverse=True)
    squares = np.square(predicted - truth)
    count = np.bincount(cell)
    valence, arousal = (float(np.sqrt(np.bincount(cell, squares[:, axis]) / count).mean()) for axis in (0, 1))
    return valence, arousal


def confusion(truth: I64, predicted: I64, classes: int) -> I64:
    """Counts, shape (classes, classes): row is the truth, column the answer."""
    flat: I64 = np.bincount(truth * classes + predicted, minlength=classes * classes).astype(np.int64)
    return flat.reshape(classes, classes)


def accuracy_of(counts: F64 | I64) -> float:
    """Share on the diagonal; 0 for no face."""
    return float(np.trace(counts) / max(counts.sum(), 1e-12))


def macro_f1(truth: I64, predicted: I64) -> float:
    """Plain mean of the F1 of every class that is true or said of some face, 0 to 1; 0 for no face.

    Faces whose true label the network does not know (-1) are left out: no class of its own is theirs.
    """
    from sklearn.metrics import f1_score  # two seconds, not for --help

    known = truth >= 0
    return float(f1_score(truth[known], predicted[known], average="macro")) if known.any() else 0.0


def macro_f1_of(counts: F64 | I64) -> float:
    """The same of a confusion matrix, or of one whose classes are weighed."""
    both = counts.sum(axis=0) + counts.sum(axis=1)
    present = both > 0
    return float(np.mean(2 * np.diag(counts)[present] / both[present])) if present.any() else 0.0


def balanced(truth: I64, predicted: I64, classes: int, *, seed: int = 1) -> tuple[Figure, Figure, int]:
    """Skew-normalised accuracy and macro-F1: the mean over 200 draws of equally many faces of every class.

    500 faces of each class are drawn without repetition; where a class has fewer, as many as the smallest one has.
    Classes of which there is no face take no part. Mollahosseini et al. 2017 (AffectNet), section 5; Jeni et al. 2013.

    Returns
    -------
    accuracy, macro-F1 (``count`` is the number of faces in a draw), and how many of each class were drawn. Intervals
    are of the same measures with classes weighed equally, over resampled faces.
    """
    rows = [np.flatnonzero(truth == k) for k in range(classes)]
    rows = [row for row in rows if len(row)]
    if not rows:
        return Figure(0.0, 0, None, None), Figure(0.0, 0, None, None), 0
    each = min(PER_CLASS, *(len(row) for row in rows))
    rng = np.random.default_rng(seed)
    draws = [np.concatenate([rng.choice(row, each, replace=False) for row in rows]) for _ in range(TRIALS)]
    counts = [confusion(truth[draw], predicted[draw], classes) for draw in draws]
    present = len(rows) * each

    def figure(measure: Callable[[F64 | I64], float]) -> Figure:
        low, high = interval(truth, predicted, classes, lambda matrix: measure(_even(matrix)), seed=seed)
        return Figure(float(np.mean([measure(matrix) for matrix in counts])), present, low, high)

    return figure(accuracy_of), figure(macro_f1_of), each


def interval(
    truth: I64, predicted: I64, classes: int, measure: Callable[[I64], float], *, seed: int = 1
) -> tuple[float | None, float | None]:
    """95 % bootstrap interval over faces of a measure of the confusion matrix; None for fewer than two faces."""
    count = len(truth)
    if count < 2:
        return None, None
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, count, count)
        values.append(measure(confusion(truth[drawn], predicted[drawn], classes)))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _even(counts: F64 | I64) -> F64:
    """Each row as shares of its class; a class without faces keeps nothing."""
    total = counts.sum(axis=1, keepdims=True)
    shares: F64 = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    return shares
