"""What a view is worth beside other views of one person: how errors grow with what can be seen, and weights by that."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from converters.datasets.labels import age_range
from converters.evaluation.groups import Loss, first_half, paired_loss
from converters.evaluation.report import DIGITS, progress
from converters.evaluation.stills import age_error, column_of, names_of, true_name
from converters.evaluation.subject import Subject
from converters.evaluation.views import Views, view_people
from converters.evaluation.weights import F64, TERMS, Bools, Seen, factors_of, fit_powers, of_people, weighted
from converters.evaluation.whole_bundle import (
    add_bundle_arguments,
    answering,
    command_of_run,
    open_run,
    sets_of,
    write_report,
)
from converters.formats.markdown import table
from converters.measurements.chosen import CHOSEN_ON
from converters.measurements.crops import Unit, difference_text, in_unit
from edgeface.attributes import make_heads
from edgeface.bundle import AttributeHead, CategoricalHead, CoralHead, ExpectationHead, Network
from edgeface.types import F32, AgeEstimate, Task

VIEWS = 6
SEED = 1
ALIKE, DEVICE, FITTED = "all alike", "as the device weighs", "fitted"
BANDS = 4
"""Parts of equally many views, by which it is told how an error grows."""


class Weighing(msgspec.Struct, frozen=True, kw_only=True):
    """The mean error of one question on one set with one kind of weights, beside that of the device's own weights.

    ``change`` is how much larger the error is than with these, with its paired 95 % interval.
    """

    network: str
    task: Task
    set: str
    weights: str
    unit: Unit
    error: float
    people: int
    change: float
    low: float | None
    high: float | None


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """The mean error of single views by one factor of their weight, over parts of equally many views.

    ``ends`` are the least and the largest factor of each part.
    """

    network: str
    task: Task
    set: str
    factor: str
    unit: Unit
    ends: tuple[tuple[float, float], ...]
    errors: tuple[float, ...]


class ViewsReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was fitted on one half of the people, and what it gives the other half and a set without part in it."""

    command: str
    bundle: str
    views: int
    powers: dict[str, float]
    weighings: tuple[Weighing, ...]
    growths: tuple[Growth, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One question of a network on one set: its views, which people choose, and their labels."""

    network: Network
    task: Task
    title: str
    seen: Seen
    labels: Sequence[str]
    choosing: Bools
    """(P,); of a set on which nothing is chosen, nobody."""

    @property
    def unit(self) -> Unit:
        """In what it errs."""
        exact = self.task == "age" and all(label.isdigit() for label in self.labels)
        return "years" if exact else "share"


def add(protocols: argparse._SubParsersAction[Any]) -> None:
    """Add ``quality``."""
    parser = protocols.add_parser(
        "quality",
        help="how errors grow with size, blur, light and score of a view, and what weights by them gain",
        description=f"Makes {VIEWS} views of every face (near and far, blurred, dark, noisy, compressed), in which the"
        " detector looks again; tells how the error of a single view grows with each factor of its quality; fits how"
        " much each factor should count in the weighted mean of a person's views on one half of the people, and tells"
        " what that gains beside equal weights and beside the device's on the other half and on UTKFace.",
        epilog="Example: python -m converters evaluate quality --bundle default --limit 1000",
    )
    add_bundle_arguments(parser, record=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write."""
    this = open_run(args.bundle, args, networks=args.network)
    parts: list[Part] = []
    for faces in sets_of(args, args.set):
        if able := answering(this, faces):
            subjects = [subject for subject, _ in able]
            chips = progress(faces.read(args.limit), faces.title)
            views = view_people(chips, this.finder, subjects, VIEWS, seed=SEED)
            parts += parts_of(views, able, faces.title)
    fitted = fit_powers([of_people(part.seen, part.choosing) for part in parts if part.choosing.any()])
    powers = {ALIKE: np.zeros(len(TERMS)), DEVICE: np.ones(len(TERMS)), FITTED: fitted}
    report = ViewsReport(
        command=command_of_run("quality", this.bundle, args),
        bundle=f"{this.bundle.manifest.name} {this.bundle.manifest.version}",
        views=VIEWS,
        powers={name: round(float(power), 2) for name, power in zip(TERMS, fitted, strict=True)},
        weighings=tuple(one for part in parts for one in weighings(part, powers)),
        growths=tuple(one for part in parts for one in growths(part)),
    )
    print("\n\n".join(text(report)))
    write_report("quality", this.bundle, args, report)
    return 0


def parts_of(views: Views, able: Sequence[tuple[Subject, Sequence[Task]]], title: str) -> Iterator[Part]:
    """Every question of every network on one set; people without a label for it are left out."""
    factors = factors_of(views.qualities, views.scores)
    for subject, tasks in able:
        network = subject.network
        heads = make_heads(network)
        for task in tasks:
            labels = [row.get(column_of(task), "") for row in views.labels]
            masses = np.array([right_classes(network.answers[task], label) for label in labels])
            rows = heads[task].probabilities(views.outputs[network.name])
            there = masses.any(axis=1) & (np.bincount(views.person, minlength=len(labels)) > 0)
            seen = of_people(Seen(person=views.person, factors=factors, rows=rows, masses=masses), there)
            people: list[int] = np.flatnonzero(there).tolist()
            names = [views.labels[number].get("group") or str(number) for number in people]
            choosing = [title in CHOSEN_ON and first_half(f"{title} {name}") for name in names]
            kept = [labels[number] for number in people]
            yield Part(
                network=network, task=task, title=title, seen=seen, labels=kept, choosing=np.array(choosing, bool)
            )


def right_classes(head: AttributeHead, label: str) -> F64:
    """Which classes (K,) of a head a label stands for: its own, or the years of a bin; none where it has none."""
    if isinstance(head, CategoricalHead):
        return np.array([label != "" and name == true_name(label) for name in names_of(head)], np.float64)
    assert isinstance(head, ExpectationHead | CoralHead)
    support = head.support if isinstance(head, ExpectationHead) else range(head.lowest, head.lowest + head.ranks + 1)
    first, last = age_range(label) if label else (-1, -1)
    return np.array([first <= round(years) <= last for years in support], np.float64)


def errors_of_rows(part: Part, rows: F32 | F64, labels: Sequence[str]) -> F64:
    """The error of each row as it is published: years off, or 1 for a wrong answer."""
    head = make_heads(part.network)[part.task]
    names = names_of(part.network.answers[part.task])
    found = []
    for row, label in zip(np.asarray(rows, np.float32), labels, strict=True):
        if part.task == "age":
            estimate = head.estimate(row)
            assert isinstance(estimate, AgeEstimate)
            found.append(age_error(round(estimate.years, 1), label))
        else:
            found.append(float(names[int(row.argmax())] != true_name(label)))
    return np.array(found, np.float64)


def weighings(part: Part, powers: Mapping[str, F64]) -> Iterator[Weighing]:
    """What kinds of weights come to for the people who chose nothing."""
    told = of_people(part.seen, ~part.choosing)
    labels = [label for label, chose in zip(part.labels, part.choosing, strict=True) if not chose]
    errors = {name: errors_of_rows(part, weighted(told, power), labels) for name, power in powers.items()}
    for name, own in errors.items():
        loss: Loss = paired_loss(errors[DEVICE], own, {})[0]
        yield Weighing(
            network=part.network.name,
            task=part.task,
            set=part.title,
            weights=name,
            unit=part.unit,
            error=round(float(own.mean()), DIGITS),
            people=loss.count,
            change=round(loss.value, DIGITS),
            low=None if loss.low is None else round(loss.low, DIGITS),
            high=None if loss.high is None else round(loss.high, DIGITS),
        )


def growths(part: Part) -> Iterator[Growth]:
    """How the error of single views grows with each factor."""
    errors = errors_of_rows(part, part.seen.rows, [part.labels[person] for person in part.seen.person])
    for column, name in enumerate(TERMS):
        values = part.seen.factors[:, column]
        bands = np.array_split(np.argsort(values, kind="stable"), BANDS)
        yield Growth(
            network=part.network.name,
            task=part.task,
            set=part.title,
            factor=name,
            unit=part.unit,
            ends=tuple((round(float(values[b[0]]), 3), round(float(values[b[-1]]), 3)) for b in bands if len(b)),
            errors=tuple(round(float(errors[b].mean()), DIGITS) for b in bands if len(b)),
        )


def text(report: ViewsReport) -> Iterator[str]:
    """The powers, what they gain, and how errors grow."""
    yield "Powers of the factors: " + ", ".join(f"{name} {power:g}" for name, power in report.powers.items())
    yield table(
        ("network", "task", "set", "weights", "error", "people", f"more than {DEVICE}"),
        [
            (
                w.network,
                w.task,
                w.set,
                w.weights,
                in_unit(w.error, w.unit),
                str(w.people),
                difference_text(w.change, w.low, w.high, w.unit),
            )
            for w in report.weighings
        ],
    )
    yield table(
        ("network", "task", "set", "factor", "worst quarter of the views", *[""] * (BANDS - 2), "best"),
        [
            (
                g.network,
                g.task,
                g.set,
                g.factor,
                *(
                    f"{low:g}-{high:g}: {in_unit(error, g.unit)}"
                    for (low, high), error in zip(g.ends, g.errors, strict=True)
                ),
            )
            for g in report.growths
        ],
    )
