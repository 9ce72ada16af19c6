"""Age, gender and expression on labelled faces: what was said of each, and figures by group.

How a face is put before a network is `converters.evaluation.subject`'s matter; a face that was not found is a miss and
counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.datasets.expressions import spelling
from converters.datasets.labels import FAIRFACE_BINS, GENDERS, age_range, in_range, years_off
from converters.evaluation.metrics import interval, macro_f1, macro_f1_of
from converters.evaluation.statistics import Figure, mean_figure, share_figure
from converters.evaluation.subject import Answers, Subject
from edgeface.attributes import make_heads
from edgeface.bundle import CategoricalHead
from edgeface.types import AgeEstimate, LabelEstimate

I64 = npt.NDArray[np.int64]

UTK_BANDS = {"0-9": (0, 9), "10-20": (10, 20), "21-40": (21, 40), "41-60": (41, 60), "61-120": (61, 120)}
DECADES = {
    "0-9": (0, 9),
    "10-20": (10, 20),
    "21-30": (21, 30),
    "31-40": (31, 40),
    "41-50": (41, 50),
    "51-60": (51, 60),
    "61-70": (61, 70),
    "71+": (71, 120),
}
OLD = {"71-80": (71, 80), "81+": (81, 120)}
"""The last decade once more, by its parts: errors grow fastest there."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was said of one chip: its labels, age in years and gender as the network names it; None for a miss."""

    labels: Mapping[str, str]
    years: float | None
    gender: str | None


def samples(answers: Answers, subject: Subject) -> list[Sample]:
    """Read what a network for age or gender said of every chip."""
    heads = make_heads(subject.network)
    rows = {task: iter(head.probabilities(answers.outputs)) for task, head in heads.items()}
    found: list[Sample] = []
    for labels, hit in zip(answers.labels, answers.found, strict=True):
        predicted = {task: head.estimate(next(rows[task])) for task, head in heads.items()} if hit else {}
        age, gender = predicted.get("age"), predicted.get("gender")
        found.append(
            Sample(
                labels,
                age.years if isinstance(age, AgeEstimate) else None,
                gender.label if isinstance(gender, LabelEstimate) else None,
            )
        )
    return found


def age_figures(samples: Sequence[Sample], *, exact: bool) -> Iterator[tuple[str, str, Figure]]:
    """Figures of age: (metric, group, figure).

    ``exact`` for a set with ages in years (UTKFace): mean absolute error, root mean square error and bias over all,
    21 to 60, by decade, gender and race. Otherwise (FairFace's bins): share of right bins and mean years outside the
    bin, over all, by bin, gender and race. How many faces were found is told by race too: who is missed is not counted
    as an error.
    """
    found = [sample for sample in samples if sample.years is not None]
    yield "found", "all", share_figure([sample.years is not None for sample in samples])
    if not found:
        return
    for group, rows in _by(samples, _races(samples)):
        yield "found", group, share_figure([sample.years is not None for sample in rows])
    everybody: dict[str, Callable[[Sample], bool]] = {"all": lambda _: True}
    people = _genders() | _races(found)
    if not exact:
        bins = {f"age {name}": _between(*span) for name, span in FAIRFACE_BINS.items()}
        for group, rows in _by(found, everybody | bins | people):
            yield "bin accuracy", group, share_figure([_inside(sample) for sample in rows])
            yield "years outside bin", group, mean_figure([_outside(sample) for sample in rows])
        return
    decades = {f"age {name}": _between(*span) for name, span in (DECADES | OLD).items()}
    for group, rows in _by(found, everybody | {"21-60": _between(21, 60)} | decades | people):
        errors = np.array([_error(sample) for sample in rows])
        yield "MAE years", group, mean_figure(np.abs(errors).tolist())
        yield "bias years", group, mean_figure(errors.tolist())
        if group in ("all", "21-60"):
            yield "RMSE years", group, mean_figure(np.square(errors).tolist()).root()


def gender_figures(samples: Sequence[Sample], *, exact: bool) -> Iterator[tuple[str, str, Figure]]:
    """Accuracy of gender as the data labels it: all, from 10 years, by gender, age band and race."""
    found = [sample for sample in samples if sample.gender is not None]
    yield "found", "all", share_figure([sample.gender is not None for sample in samples])
    groups: dict[str, Callable[[Sample], bool]] = {"all": lambda _: True, "from 10 years": _between(10, 120)}
    bands = UTK_BANDS if exact else FAIRFACE_BINS
    groups |= {f"age {name}": _between(*span) for name, span in bands.items()} | _genders() | _races(found)
    for group, rows in _by(found, groups):
        yield (
            "accuracy",
            group,
            share_figure([sample.gender == GENDERS[sample.labels["gender"]] for sample in rows]),
        )


def expressions(answers: Answers, subject: Subject) -> tuple[I64, I64, tuple[str, ...]]:
    """True and said label numbers of the faces that were found, and the labels in the network's order.

    A true label that the network does not know is -1: no answer is right.
    """
    kind = subject.network.answers["expression"]
    assert isinstance(kind, CategoricalHead)
    labels = tuple(spelling(label) for label in kind.labels)
    predicted = make_heads(subject.network)["expression"].probabilities(answers.outputs).argmax(axis=1)
    true = [spelling(row["emotion"]) for row in answers.seen]
    truth = np.array([labels.index(label) if label in labels else -1 for label in true], np.int64)
    return truth, predicted.astype(np.int64), labels


def expression_figures(truth: I64, predicted: I64, labels: Sequence[str]) -> Iterator[tuple[str, str, Figure]]:
    """Accuracy, macro-F1, and the sensitivity of each label."""
    yield "accuracy", "all", share_figure((truth == predicted).tolist())
    known = truth >= 0
    low, high = interval(truth[known], predicted[known], len(labels), macro_f1_of)
    yield "macro-F1", "all", Figure(macro_f1(truth, predicted), int(known.sum()), low, high)
    for number, label in enumerate(labels):
        of_label = truth == number
        if of_label.any():
            yield "sensitivity", label, share_figure((predicted[of_label] == number).tolist())


def _by(
    samples: Sequence[Sample], groups: Mapping[str, Callable[[Sample], bool]]
) -> Iterator[tuple[str, Sequence[Sample]]]:
    for group, belongs in groups.items():
        rows = [sample for sample in samples if belongs(sample)]
        if rows:
            yield group, rows


def _between(low: int, high: int) -> Callable[[Sample], bool]:
    def belongs(sample: Sample) -> bool:
        age = sample.labels.get("age")
        return bool(age) and low <= age_range(str(age))[0] and age_range(str(age))[1] <= high

    return belongs


def _labelled(column: str, value: str) -> Callable[[Sample], bool]:
    return lambda sample: sample.labels.get(column, "") == value


def _genders() -> dict[str, Callable[[Sample], bool]]:
    return {f"gender {word}": _labelled("gender", letter) for letter, word in GENDERS.items()}


def _races(samples: Sequence[Sample]) -> dict[str, Callable[[Sample], bool]]:
    races = sorted({sample.labels.get("race", "") for sample in samples} - {""})
    return {f"race {race}": _labelled("race", race) for race in races}


def _error(sample: Sample) -> float:
    assert sample.years is not None
    return sample.years - float(sample.labels["age"])


def _inside(sample: Sample) -> bool:
    """Whether an estimate lies in its bin."""
    assert sample.years is not None
    return in_range(sample.years, sample.labels["age"])


def _outside(sample: Sample) -> float:
    """Years by which an estimate lies outside its bin."""
    assert sample.years is not None
    return years_off(sample.years, sample.labels["age"])
