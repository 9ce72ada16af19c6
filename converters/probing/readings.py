"""What a network's numbers may mean: heads that fit their count, and the one that fits labelled faces best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from converters.datasets.expressions import FER, spelling
from converters.datasets.labels import GENDERS, age_range
from converters.evaluation.groups import paired_loss
from edgeface.attributes import KINDS
from edgeface.bundle import AttributeHead, CategoricalHead, CoralHead, ExpectationHead, RegressionHead
from edgeface.errors import UsageError
from edgeface.types import F32, AgeEstimate, Task

Probed = Literal["age", "gender", "expression"]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Labels = Sequence[Mapping[str, str]]

CONTEMPT = "contempt"
ORDERS: Mapping[str, tuple[str, ...]] = {
    "FER-2013's": FER,
    "alphabetical": ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"),
    "face-api's": ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise"),
    "AffectNet's": ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry"),
    "RAF-DB's": ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"),
    "FER+'s": ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear"),
    "CK+'s": ("angry", CONTEMPT, "disgust", "fear", "happy", "sad", "surprise"),
    "AffectNet's eight": ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", CONTEMPT),
    "FER+'s eight": ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", CONTEMPT),
    "alphabetical, eight": ("angry", CONTEMPT, "disgust", "fear", "happy", "neutral", "sad", "surprise"),
}
"""Orders of expressions that are met, by whose they are; any other is found by counting."""
AS_GIVEN = "as given"
FOUND = "found by counting"
OTHER = "other"
"""A class that no labelled face belongs to."""
LOWEST = (0, 1, 14, 15, 16, 18, 21)
"""Least ages of the sets that CORAL networks are trained on."""
UNITS = (1.0, 100.0, 116.0)
"""Years that one of a regression's output may stand for; 116 is UTKFace's oldest."""
LEAST_AGES = 60
LEAST_RANKS = 10
SPREAD = 10.0
"""Years of error that a regression's answers are read with before it is measured."""
LEAST_SURE = 1e-3
"""Probabilities below this are taken for it: one face must not outweigh all others."""
SAME_SHARE = 0.95
SAME_YEARS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Read:
    """What a network's answers come to, read in the way that fits best.

    Attributes
    ----------
    head : that way
    words : the same for people
    errors : shape (N,), the error of each face: years off, or 1 for a wrong answer and 0 for a right one
    answers : shape (N,), years, or the number of the class
    surprise : mean logarithm of one over the true label's probability; of ages the mean error
    """

    head: AttributeHead
    words: str
    errors: F64
    answers: F64
    surprise: float

    @property
    def error(self) -> float:
        """Mean error."""
        return float(self.errors.mean())

    @property
    def constant(self) -> bool:
        """Whether it says the same of nearly everybody, as networks do that see pixels in a wrong scale."""
        if isinstance(self.head, CategoricalHead):
            return most_frequent(self.answers) >= SAME_SHARE
        return float(self.answers.std()) < SAME_YEARS


def most_frequent(answers: F64) -> float:
    """Share of the answer that is given most often."""
    return float(np.unique(answers, return_counts=True)[1].max()) / len(answers)


def tasks_of(outputs: Mapping[str, F32], name: str = "the file") -> dict[Probed, str]:
    """Questions that a network's outputs can be answers to, and which output answers each; by their numbers alone.

    Raises
    ------
    UsageError : none fits any
    """
    found: dict[Probed, str] = {}
    for output, raw in outputs.items():
        task = _task(raw)
        if task is not None:
            found.setdefault(task, output)
    if not found:
        shown = ", ".join(f"{output} of {'x'.join(map(str, raw.shape[1:])) or 1}" for output, raw in outputs.items())
        raise UsageError(
            f"{name} answers with {shown}, which fits none of {', '.join(get_args(Probed))}",
            fix="two numbers are read as gender, seven or eight as expression, one or many probabilities as age",
        )
    return found


def _task(raw: F32) -> Probed | None:
    count = raw.shape[1] if raw.ndim == 2 else 1 if raw.ndim == 1 else 0
    if count == 1 or is_distribution(raw, LEAST_AGES) or is_ranks(raw):
        return "age"
    if count == 2:
        return "gender"
    return "expression" if count in (7, 8) else None


def is_distribution(raw: F32, least: int) -> bool:
    """Whether rows of at least so many numbers are probabilities that sum to 1."""
    return (
        raw.ndim == 2 and raw.shape[1] >= least and is_share(raw) and bool(np.allclose(raw.sum(axis=1), 1, atol=0.01))
    )


def is_ranks(raw: F32) -> bool:
    """Whether rows are probabilities of being older than rank after rank: they fall from left to right."""
    if raw.ndim != 2 or raw.shape[1] < LEAST_RANKS or not is_share(raw):
        return False
    return bool((np.diff(raw, axis=1) <= 1e-4).mean() > 0.9 and not np.allclose(raw.sum(axis=1), 1, atol=0.01))


def is_share(raw: F32) -> bool:
    """Whether all numbers are within 0 and 1."""
    return bool(raw.min() >= -1e-4 and raw.max() <= 1 + 1e-4)


def activation_of(raw: F32) -> Literal["none", "softmax"]:
    """What is still to be done to make numbers of classes into probabilities."""
    return "none" if is_share(raw) else "softmax"


def heads(task: Probed, output: str, raw: F32, labels: Sequence[str] = ()) -> dict[str, AttributeHead]:
    """Ways to read an output, by their names for people.

    Parameters
    ----------
    output : what the head calls it
    raw : what the network gave for some pictures, float32 (N, K)
    labels : the order that somebody knows; empty for those that are met

    Raises
    ------
    UsageError : as many labels as there are not, or words that are none
    """
    if task == "age":
        return dict(_ages(output, raw))
    count = raw.shape[1]
    known = {"gender": _gender_orders(), "expression": ORDERS}[task]
    orders = {whose: order for whose, order in known.items() if len(order) == count}
    if labels:
        orders = {AS_GIVEN: _given(task, labels, count)}
    return {
        whose: CategoricalHead(labels=order, output=output, activation=activation_of(raw))
        for whose, order in orders.items()
    }


def _ages(output: str, raw: F32) -> Iterator[tuple[str, AttributeHead]]:
    if raw.ndim == 1 or raw.shape[1] == 1:
        for unit in UNITS:
            yield f"1 is {unit:g} years", RegressionHead(output=output, error_years=SPREAD, unit_years=unit)
    elif is_distribution(raw, LEAST_AGES):
        for first in (0, 1):
            support = tuple(float(first + k) for k in range(raw.shape[1]))
            yield f"classes from {first} years", ExpectationHead(support=support, output=output)
    else:
        for lowest in LOWEST:
            yield f"ranks from {lowest} years", CoralHead(output=output, lowest=lowest, ranks=raw.shape[1])


def _gender_orders() -> dict[str, tuple[str, ...]]:
    female, male = GENDERS["F"], GENDERS["M"]
    return {f"{female}, {male}": (female, male), f"{male}, {female}": (male, female)}


def _given(task: Probed, labels: Sequence[str], count: int) -> tuple[str, ...]:
    words = tuple(spelling(label) if task == "expression" else label.lower() for label in labels)
    known = (*FER, CONTEMPT, OTHER) if task == "expression" else tuple(GENDERS.values())
    wrong = [word for word in words if word not in known]
    if wrong or len(words) != count or len(set(words)) != count:
        what = f"there is no {task} '{wrong[0]}'" if wrong else f"--labels names {len(set(words))} of {count} classes"
        raise UsageError(what, fix=f"give {count} of: {', '.join(known)}")
    return words


def read(task: Probed, ways: Mapping[str, AttributeHead], outputs: Mapping[str, F32], labels: Labels) -> Read:
    """Answers read in the way that fits the labels best.

    An order of expressions that is met is taken before one found by counting, unless that one is surely better.
    """
    return readings(task, ways, outputs, labels)[0]


def readings(task: Probed, ways: Mapping[str, AttributeHead], outputs: Mapping[str, F32], labels: Labels) -> list[Read]:
    """Answers read in every way, the one to take first; see `read`."""
    tried = [_read(task, words, head, outputs, labels) for words, head in ways.items()]
    tried.sort(key=lambda one: one.error)
    if task != "expression" or AS_GIVEN in ways:
        return tried
    counted = _count(outputs, labels)
    if not tried:
        return [counted]
    surely = paired_loss(counted.errors, tried[0].errors, {})[0]
    better = surely.low is not None and surely.low > 0
    return [counted, *tried] if better else [tried[0], counted, *tried[1:]]


def _read(task: Probed, words: str, head: AttributeHead, outputs: Mapping[str, F32], labels: Labels) -> Read:
    make, _ = KINDS[type(head)]
    device = make(task, head)
    rows = device.probabilities({name: np.nan_to_num(raw) for name, raw in outputs.items()})
    if isinstance(head, CategoricalHead):
        answers = rows.argmax(axis=1)
        numbers = truth(task, head.labels, labels)
        wrong, predicted = (answers != numbers).astype(float), answers.astype(float)
        return Read(head=head, words=words, errors=wrong, answers=predicted, surprise=surprise(rows, numbers))
    estimates = (device.estimate(row) for row in rows)
    years = np.array([one.years for one in estimates if isinstance(one, AgeEstimate)], np.float64)
    errors = years_off(years, labels)
    if isinstance(head, RegressionHead):
        # What is said of people's errors is measured here, once the network is read in the right unit.
        head = msgspec.structs.replace(head, error_years=max(0.1, round(float(np.sqrt(np.square(errors).mean())), 2)))
    return Read(head=head, words=words, errors=errors, answers=years, surprise=float(errors.mean()))


def surprise(probabilities: F32, numbers: I64) -> float:
    """Mean -log of what rows (N, K) give the true classes (N,), -1 for one that is not among them."""
    true = np.where(numbers < 0, 0, probabilities[np.arange(len(numbers)), numbers])
    return float(-np.log(np.maximum(true, LEAST_SURE)).mean())


def truth(task: Task, order: Sequence[str], labels: Labels) -> I64:
    """Numbers of the true labels in an order, shape (N,); -1 for one that is not in it."""
    words = [spelling(row["emotion"]) if task == "expression" else GENDERS[row["gender"]] for row in labels]
    return np.array([order.index(word) if word in order else -1 for word in words], np.int64)


def years_off(years: F64, labels: Labels) -> F64:
    """Years between an answer and a label, shape (N,); none within a bin, whose last year is a whole one."""
    spans = np.array([age_range(row["age"]) for row in labels], np.float64).reshape(-1, 2)
    ends = np.where(spans[:, 0] == spans[:, 1], spans[:, 1], spans[:, 1] + 1)
    return np.maximum(0, np.maximum(spans[:, 0] - years, years - ends))


def _count(outputs: Mapping[str, F32], labels: Labels) -> Read:
    """Read expressions in the order that counting gives: each half of the faces by the order of the other half."""
    ((output, raw),) = outputs.items()
    raw = np.nan_to_num(raw)
    answers = raw.argmax(axis=1)
    wrong = np.ones(len(answers))
    for half in (0, 1):
        order = assign(answers[1 - half :: 2], labels[1 - half :: 2], raw.shape[1])
        wrong[half::2] = answers[half::2] != truth("expression", order, labels[half::2])
    head = CategoricalHead(labels=assign(answers, labels, raw.shape[1]), output=output, activation=activation_of(raw))
    return replace(_read("expression", FOUND, head, {output: raw}, labels), errors=wrong)


def assign(answers: I64, labels: Labels, count: int) -> tuple[str, ...]:
    """Word for each of ``count`` classes: the one-to-one assignment under which most answers are right.

    A class more than there are words is contempt, which FER-2013 does not label; further ones are ``other``.
    """
    from scipy.optimize import linear_sum_assignment

    predicted = np.zeros((count, len(FER)))
    np.add.at(predicted, (answers, truth("expression", FER, labels)), 1)
    classes, words = linear_sum_assignment(-predicted)
    order = [CONTEMPT if count > len(FER) else OTHER] * count
    for number, word in zip(classes, words, strict=True):
        order[number] = FER[word]
    return tuple(order)


def agreed(read: Read, labels: Labels) -> tuple[int, int]:
    """How many labels of an order each half of the faces alone gives the same place, of how many."""
    assert isinstance(read.head, CategoricalHead)
    order, answers = read.head.labels, read.answers.astype(np.int64)
    halves = [assign(answers[half::2], labels[half::2], len(order)) for half in (0, 1)]
    same = sum(word == one == other for word, one, other in zip(order, *halves, strict=True))
    return same, len(order)
