"""Expression on FER-2013, against its own labels and against FER+'s, with and without pictures known from training."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from converters.datasets.expressions import spelling, voted
from converters.datasets.layouts import find_faces
from converters.evaluation import drawing
from converters.evaluation.metrics import TRIALS, balanced, interval, macro_f1, macro_f1_of
from converters.evaluation.report import Line, Report, add_arguments, folder_of, progress, report_of, subject_of, write
from converters.evaluation.statistics import Figure, share_figure
from converters.evaluation.subject import Answers, Subject
from edgeface.attributes import make_heads
from edgeface.bundle import CategoricalHead

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

CLEAN = "no copy in training"
"""Group of the faces whose picture does not also stand in the training part."""
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """True and said label numbers of the faces that count; ``clean`` marks those not known from training.

    ``missed`` faces have a true label that the network knows and were not found; ``left_out`` counts words of truth
    that it does not know.
    """

    title: str
    labels: Sequence[str]
    truth: I64
    predicted: I64
    clean: npt.NDArray[np.bool_]
    missed: int
    left_out: Mapping[str, int]


def add(protocols: argparse._SubParsersAction[Any]) -> None:
    """Add ``expression``."""
    parser = protocols.add_parser(
        "expression",
        help="FER-2013 and FER+: accuracy, macro-F1, confusion matrix",
        description="Accuracy, macro-F1, confusion matrix with sensitivity, precision, miss rate and false discovery"
        " rate on FER-2013, against its labels and against the majority of FER+'s ten votes; with and without pictures"
        " that also stand in the training part; skew-normalised accuracy and F1 by 200-fold balanced down-sampling.",
        epilog="Layouts: fer2013-csv (fer2013.csv, and fer2013new.csv for FER+) and sheets. Example: python -m"
        " converters evaluate expression --data fer2013/ --network expression-compact --mode chip",
    )
    add_arguments(parser, default="chip")
    parser.add_argument("--part", metavar="P", help="train, publictest or privatetest (publictest)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure one file."""
    faces = find_faces(folder_of(args), ("fer2013",), layout=args.layout, part=args.part)[0]
    subject = subject_of(args, "expression")
    answers = subject.answer(progress(faces.read(args.limit), f"{subject.network.name} {faces.title}"))
    answered = [predict(answers, subject, faces.title, plus=plus) for plus in (False, True)]
    answered = [one for one in answered if len(one.truth)]
    lines = [(one.title, line) for one in answered for line in figures(one)]
    if subject.finder:
        lines = [(faces.title, ("found", "all", share_figure(answers.found.tolist()))), *lines]
    report = report_of(
        "expression",
        subject,
        sets=[one.title for one in answered],
        layouts=[faces.layout],
        lines=lines,
        notes=[note for one in answered for note in notes(one)],
        tables={f"confusion, {one.title}": _table(one) for one in answered},
    )
    write(report, draw(answered, report), args.out, groups=(CLEAN,))
    return 0


def predict(answers: Answers, subject: Subject, title: str, *, plus: bool) -> Predictions:
    """Read the answers against FER's labels, or (``plus``) against the majority of FER+'s votes."""
    kind = subject.network.answers["expression"]
    assert isinstance(kind, CategoricalHead)
    labels = [spelling(label) for label in kind.labels]
    predicted = make_heads(subject.network)["expression"].probabilities(answers.outputs).argmax(axis=1)
    words = [voted(row) or "no votes" if plus else spelling(row["emotion"]) for row in answers.labels]
    known = np.array([word in labels for word in words], bool)
    seen = known & answers.found
    clean = np.array([row.get("in_training") != "1" for row in answers.labels], bool)
    return Predictions(
        title=title.replace("FER-2013", "FER+") if plus else title,
        labels=labels,
        truth=np.array([labels.index(word) for word, counts in zip(words, seen, strict=True) if counts], np.int64),
        predicted=predicted[known[answers.found]].astype(np.int64),
        clean=clean[seen],
        missed=int((known & ~answers.found).sum()),
        left_out=Counter(word for word in words if word not in labels),
    )


def figures(answered: Predictions) -> Iterator[Line]:
    """Every figure: over all and without copies from training, then of each label."""
    from sklearn.metrics import accuracy_score  # two seconds, not for --help

    classes = len(answered.labels)
    for group, rows in (("all", np.ones(len(answered.truth), bool)), (CLEAN, answered.clean)):
        truth, predicted = answered.truth[rows], answered.predicted[rows]
        if not len(truth):
            continue
        right = share_figure((truth == predicted).tolist())
        yield "accuracy", group, Figure(float(accuracy_score(truth, predicted)), right.count, right.low, right.high)
        low, high = interval(truth, predicted, classes, macro_f1_of)
        yield "macro-F1", group, Figure(macro_f1(truth, predicted), len(truth), low, high)
        accuracy, f1, _ = balanced(truth, predicted, classes)
        yield "normalised accuracy", group, accuracy
        yield "normalised macro-F1", group, f1
    if answered.missed:
        hits = (answered.truth == answered.predicted).tolist() + [False] * answered.missed
        yield "accuracy, misses as errors", "all", share_figure(hits)
    yield from label_figures(answered)


def label_figures(answered: Predictions) -> Iterator[Line]:
    """Sensitivity and miss rate of each true label, precision and false discovery rate of each said one."""
    for number, label in enumerate(answered.labels):
        of_label, so_predicted = answered.truth == number, answered.predicted == number
        if of_label.any():
            figure = share_figure((answered.predicted[of_label] == number).tolist())
            yield "sensitivity", label, figure
            yield "miss rate", label, _rest(figure)
        if so_predicted.any():
            figure = share_figure((answered.truth[so_predicted] == number).tolist())
            yield "precision", label, figure
            yield "false discovery rate", label, _rest(figure)


def notes(answered: Predictions) -> Iterator[str]:
    """Say what was left out, and how many faces of each label the normalised figures drew."""
    if answered.left_out:
        words = ", ".join(f"{word} {times}" for word, times in sorted(answered.left_out.items()))
        count = sum(answered.left_out.values())
        yield f"{answered.title}: {count} faces left out, which the network cannot name: {words}"
    each = balanced(answered.truth, answered.predicted, len(answered.labels))[2]
    yield f"{answered.title}: normalised figures are means over {TRIALS} draws of {each} faces of each label"
    copies = int((~answered.clean).sum())
    yield f"{answered.title}: {copies} of {len(answered.truth)} faces are copies of a picture of the training part"


def draw(answered: Sequence[Predictions], report: Report) -> Drawing:
    """Confusion matrices side by side, above them what was measured."""
    title = f"{report.network} {report.runtime} {report.precision}, {report.mode}"
    made = drawing.canvas(6.6 * len(answered), 6.9, title)
    for axes, one in zip(made.subplots(1, len(answered), squeeze=False)[0], answered, strict=True):
        rows = {r.metric: r.value for r in report.figures if r.set == one.title and r.group == "all"}
        values = f"accuracy {100 * rows['accuracy']:.1f} %, macro-F1 {100 * rows['macro-F1']:.1f} %, n {len(one.truth)}"
        drawing.matrix(axes, _matrix(one), one.labels, title=f"{one.title}: {values}")
    return made


def _table(answered: Predictions) -> dict[str, Any]:
    return {"labels": list(answered.labels), "rows are the truth": _matrix(answered).tolist()}


def _matrix(answered: Predictions) -> npt.NDArray[Any]:
    from sklearn.metrics import confusion_matrix

    counts: npt.NDArray[Any] = confusion_matrix(answered.truth, answered.predicted, labels=range(len(answered.labels)))
    return counts


def _rest(figure: Figure) -> Figure:
    """One minus a share."""
    low, high = (None if end is None else 1 - end for end in (figure.high, figure.low))
    return Figure(1 - figure.value, figure.count, low, high)
