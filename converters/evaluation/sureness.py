"""What one question of a network comes to on labelled faces, at a temperature; and which temperature would be best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.evaluation.confidence import (
    F64,
    Bools,
    at_temperature,
    best_temperature,
    calibration_error,
    choose_threshold,
    covered_shares,
    covering_temperature,
    label_loss,
    temperature_of,
    unknown_curve,
)
from converters.evaluation.groups import people
from converters.evaluation.report import DIGITS
from converters.evaluation.statistics import mean_figure
from converters.evaluation.stills import column_of, errors_of, names_of, true_name
from converters.evaluation.subject import Answers
from converters.measurements.confidence import ANSWERED, LEAST_FACES, WRONG, Coverage, Sureness, Threshold
from edgeface.attributes import make_heads
from edgeface.bundle import AttributeHead, CoralHead, ExpectationHead, Network
from edgeface.types import F32, AgeEstimate, Task

Said = tuple[F64, Bools, Sequence[Mapping[str, str]]]
"""Probability of each answer (N,), whether it is right (N,), and the labels of the faces."""
THRESHOLDS = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """One question of a network, and what it said of the faces of one set."""

    network: Network
    task: Task
    title: str
    set: str
    answers: Answers

    def read(self, network: Network) -> tuple[F32, list[Mapping[str, str]]]:
        """Probabilities (N, K) of the faces that were found and have a label, and their rows."""
        rows = make_heads(network)[self.task].probabilities(self.answers.outputs)
        seen = self.answers.seen
        kept = [number for number, labels in enumerate(seen) if labels.get(column_of(self.task))]
        return rows[kept], [seen[number] for number in kept]


def mean_error(asked: Asked) -> float:
    """Years off on average, or the share of wrong answers; no temperature changes it."""
    return round(float(np.nanmean(errors_of(asked.answers, asked.network, asked.task))), DIGITS)


def sureness(asked: Asked, temperature: float, certainty: float | None = None) -> Sureness:
    """What a question comes to at a temperature (that of its head where it has none).

    ``certainty``, the threshold that was chosen, stands in the curve, too.
    """
    if asked.task == "age":
        network = warmed(asked, temperature)
        return Sureness(temperature=round(temperature, DIGITS), coverage=_coverage(network, *asked.read(network)))
    sure, right, labels = said(asked, temperature)
    least = 1 / len(names_of(asked.network.answers[asked.task]))  # the likeliest label is always as likely
    thresholds = sorted({each for each in (*THRESHOLDS, certainty or 0) if each >= least})
    return Sureness(
        temperature=round(temperature, DIGITS),
        ece=round(calibration_error(sure, right), DIGITS),
        curve=tuple(_thresholds(asked.task, (sure, right, labels), thresholds)),
        certainty=certainty,
    )


def said(asked: Asked, temperature: float) -> Said:
    """The likeliest label of every face at a temperature: how likely, and whether right."""
    network = warmed(asked, temperature)
    rows, labels = asked.read(network)
    names = names_of(network.answers[asked.task])
    true = [true_name(row[column_of(asked.task)]) for row in labels]
    right = np.array([names[int(row.argmax())] == name for row, name in zip(rows, true, strict=True)], bool)
    return rows.max(axis=1).astype(np.float64), right, labels


def choose_certainty(sets: Sequence[Asked], temperature: float) -> float | None:
    """The threshold of *unknown* over sets at a temperature; None for an age: its interval says how sure it is."""
    if not sets or sets[0].task not in WRONG:
        return None
    answers = [said(asked, temperature)[:2] for asked in sets]
    return choose_threshold(answers, WRONG[sets[0].task], ANSWERED)


def _thresholds(task: Task, of: Said, thresholds: Sequence[float]) -> Iterator[Threshold]:
    """The curve of *unknown* over all, and in the group that is worst off: of people, or of one expression."""
    sure, right, labels = of
    true = [true_name(row[column_of(task)]) for row in labels]
    groups = people(labels)
    if task == "expression":
        groups |= {name: np.array([word == name for word in true], bool) for name in sorted(set(true))}
    for least, answered, wrong in unknown_curve(sure, right, thresholds):
        given = sure >= least
        large = {name: given & mask for name, mask in groups.items() if (given & mask).sum() >= LEAST_FACES}
        shares = {name: float((~right[mask]).mean()) for name, mask in large.items()}
        worst = max(shares, key=shares.__getitem__, default=None)
        yield Threshold(
            probability=least,
            answered=round(answered, DIGITS),
            wrong=round(wrong, DIGITS),
            group=worst,
            group_wrong=None if worst is None else round(shares[worst], DIGITS),
        )


def fit(sets: Sequence[Asked]) -> float | None:
    """The best temperature of a question over sets; None where its head has none, or there is no face."""
    if not sets or temperature_of(sets[0].network, sets[0].task) is None:
        return None
    if sets[0].task == "age":
        wanted = wanted_coverage(sets[0].network.answers["age"])
        return covering_temperature(lambda temperature: _covered(sets, temperature), wanted)
    return best_temperature(lambda temperature: _loss(sets, temperature))


def wanted_coverage(head: AttributeHead) -> float:
    """Share of ages that the published interval of a head claims to hold."""
    assert isinstance(head, ExpectationHead | CoralHead)
    return (head.percentiles[1] - head.percentiles[0]) / 100


def warmed(asked: Asked, temperature: float) -> Network:
    """The network at a temperature."""
    if temperature_of(asked.network, asked.task) is None:
        return asked.network
    return at_temperature(asked.network, asked.task, temperature)


def _covered(sets: Sequence[Asked], temperature: float) -> float:
    """Share of ages that are covered, the mean over sets: a large set is no truer than a small one."""
    shares = []
    for asked in sets:
        network = warmed(asked, temperature)
        rows, labels = asked.read(network)
        shares.append(float(covered_shares(_ages(network, rows), labels).mean()))
    return float(np.mean(shares))


def _loss(sets: Sequence[Asked], temperature: float) -> float:
    losses = []
    for asked in sets:
        network = warmed(asked, temperature)
        rows, labels = asked.read(network)
        names = names_of(network.answers[asked.task])
        true = [true_name(row[column_of(asked.task)]) for row in labels]
        known = [number for number, name in enumerate(true) if name in names]  # what it cannot say it cannot be sure of
        losses.append(label_loss(rows[known], np.array([names.index(true[n]) for n in known], np.int64)))
    return float(np.mean(losses))


def _coverage(network: Network, rows: F32, labels: Sequence[Mapping[str, str]]) -> tuple[Coverage, ...]:
    ages = _ages(network, rows)
    shares = covered_shares(ages, labels)
    widths = np.array([age.high - age.low for age in ages])
    bands = {name: mask for name, mask in people(labels).items() if name.startswith("age ")}
    found = []
    for group, mask in {"all": np.ones(len(ages), bool), **bands}.items():
        figure = mean_figure(shares[mask].tolist())
        found.append(
            Coverage(
                group=group,
                value=round(figure.value, DIGITS),
                count=figure.count,
                low=None if figure.low is None else round(figure.low, DIGITS),
                high=None if figure.high is None else round(figure.high, DIGITS),
                years=round(float(widths[mask].mean()), 2),
            )
        )
    return tuple(found)


def _ages(network: Network, rows: F32) -> list[AgeEstimate]:
    head = make_heads(network)["age"]
    return [age for age in map(head.estimate, rows) if isinstance(age, AgeEstimate)]
