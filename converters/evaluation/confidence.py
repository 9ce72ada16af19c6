"""How sure answers may be taken to be: temperatures, calibration error, what the published interval of an age covers.

Pure functions on what heads gave. A temperature divides the logits (Guo, Pleiss, Sun, Weinberger 2017, section 4.2).
That of labels makes the truth likeliest; that of an age makes the published interval cover what it claims to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import exp, log, sqrt

import msgspec
import numpy as np
import numpy.typing as npt

from converters.datasets.labels import age_range
from converters.measurements.chosen import with_head
from edgeface.bundle import AttributeHead, CategoricalHead, CoralHead, ExpectationHead, Network
from edgeface.types import AgeEstimate, Task

BINS = 15
"""Of the calibration error, as its paper has them."""
TEMPERATURES = (0.2, 5.0)
"""Between these a temperature is looked for."""
STEPS = 30
"""Of the search: it ends within a millionth of the temperature."""
LEAST = 1e-7
OLDEST = 89
"""Last year for which FairFace's bin of 70 and more stands: older people are rare."""
HUNDREDTHS = tuple(number / 100 for number in range(1, 100))
Bools = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]


def calibration_error(sure: F64, right: Bools, bins: int = BINS) -> float:
    """ECE: how far the share of right answers lies from what was claimed, the mean over equally wide bins.

    Parameters
    ----------
    sure : shape (N,), probability of the answer that was given, 0 to 1
    right : shape (N,), whether it was right

    Returns
    -------
    0 to 1; 0 for no answer. Bins weigh as much as they hold. Naeini, Cooper, Hauskrecht 2015.
    """
    place = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, right.astype(np.float64) - sure, minlength=bins)
    return float(np.abs(gaps).sum() / max(len(sure), 1))


def label_loss(rows: npt.NDArray[np.floating], truth: npt.NDArray[np.int64]) -> float:
    """Mean negative log likelihood of the true labels (N,), of probabilities (N, K); 0 for no face."""
    likely = rows[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.maximum(likely, LEAST)).mean()) if len(truth) else 0.0


def best_temperature(loss: Callable[[float], float]) -> float:
    """The temperature of the least loss, by golden section on its logarithm; within `TEMPERATURES`."""
    ratio = (sqrt(5) - 1) / 2
    low, high = map(log, TEMPERATURES)
    inner = [high - ratio * (high - low), low + ratio * (high - low)]
    values = [loss(exp(place)) for place in inner]
    for _ in range(STEPS):
        if values[0] <= values[1]:
            high, inner[1], values[1] = inner[1], inner[0], values[0]
            inner[0] = high - ratio * (high - low)
            values[0] = loss(exp(inner[0]))
        else:
            low, inner[0], values[0] = inner[0], inner[1], values[1]
            inner[1] = low + ratio * (high - low)
            values[1] = loss(exp(inner[1]))
    return exp((low + high) / 2)


def covering_temperature(covered: Callable[[float], float], wanted: float) -> float:
    """The temperature at which intervals cover the share ``wanted``, by bisection: the higher, the wider they are."""
    low, high = map(log, TEMPERATURES)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if covered(exp(middle)) >= wanted else (middle, high)
    return exp((low + high) / 2)


def covered_share(low: float, high: float, label: str) -> float:
    """Share of the whole years for which a label stands that lie in an interval: 0 or 1 of an age in years.

    Where somebody stands in a bin is not known: every year of it is held to be as likely. 70+ ends with 89.
    """
    first, last = age_range(label)
    years = np.arange(first, (last if first == last else min(last, OLDEST)) + 1)
    return float(((low <= years) & (years <= high)).mean())


def unknown_curve(sure: F64, right: Bools, thresholds: Sequence[float]) -> list[tuple[float, float, float]]:
    """The trade of *unknown*: for each threshold the share that is answered, and the share of wrong ones among them.

    An answer is given where its probability is the threshold or more; of none, no error is 0.
    """
    found = []
    for threshold in thresholds:
        given = sure >= threshold
        answered = float(given.mean()) if len(given) else 0.0
        found.append((threshold, answered, float((~right[given]).mean()) if given.any() else 0.0))
    return found


def choose_threshold(sets: Sequence[tuple[F64, Bools]], most_wrong: float, least_answered: float) -> float:
    """The threshold of *unknown*: the lowest at which no more than allowed is wrong, but one that still answers enough.

    Parameters
    ----------
    sets : of each set ``sure`` and ``right``, as in `unknown_curve`; shares are means over sets
    most_wrong : share of wrong answers among those that are given
    least_answered : share of the faces that are answered; where both cannot be had, this one is kept

    Returns
    -------
    A whole hundredth; 0 where everything may be said.
    """
    chosen = 0.0
    curves = [unknown_curve(sure, right, [0, *HUNDREDTHS]) for sure, right in sets]
    for points in zip(*curves, strict=True):
        _, answered, wrong = np.mean(points, axis=0)
        if answered < least_answered:
            break
        chosen = points[0][0]
        if wrong <= most_wrong:
            break
    return chosen


def temperature_of(network: Network, task: Task) -> float | None:
    """What a head's logits are divided by; None for one of a kind that has no temperature."""
    head = network.answers[task]
    return head.temperature if isinstance(head, CategoricalHead | CoralHead | ExpectationHead) else None


def at_temperature(network: Network, task: Task, temperature: float) -> Network:
    """The same network with another temperature of one of its heads."""
    warmer: AttributeHead = msgspec.structs.replace(network.answers[task], temperature=temperature)
    return with_head(network, task, warmer)


def covered_shares(estimates: Sequence[AgeEstimate], labels: Sequence[Mapping[str, str]]) -> F64:
    """`covered_share` of every face, as the interval is published: in tenths of a year."""
    return np.array(
        [
            covered_share(round(estimate.low, 1), round(estimate.high, 1), row["age"])
            for estimate, row in zip(estimates, labels, strict=True)
        ],
        np.float64,
    )
