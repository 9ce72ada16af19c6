"""Do two pictures show one person? ROC, and accuracy at a threshold, by cosine and by Euclidean distance."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from converters.datasets.labelled import Chip, read
from converters.datasets.layouts.pairs import PairSet, find_pairs
from converters.evaluation import drawing
from converters.evaluation.report import Line, Report, add_arguments, folder_of, progress, report_of, subject_of, write
from converters.evaluation.statistics import Figure, Z, share_figure
from converters.evaluation.subject import Subject
from edgeface.attributes.embedding import make_embedding
from edgeface.bundle import EmbeddingHead
from edgeface.errors import UsageError
from edgeface.types import F32

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
DISTANCES = ("cosine", "euclidean")
FALSE_ACCEPTS = (0.1, 0.01, 0.001)
"""Rates of false acceptance at which the rate of true acceptance is told, where there are so many pairs."""
CURVE_POINTS = 200


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distances:
    """Pairs of which both faces were found: both distances, whether it is one person, and the fold; each shape (N,)."""

    cosine: F64
    euclidean: F64
    same: Bools
    fold: npt.NDArray[np.int64]

    def of(self, name: str) -> F64:
        """Distances of one kind, by name."""
        return self.cosine if name == "cosine" else self.euclidean


def add(protocols: argparse._SubParsersAction[Any]) -> None:
    """Add ``verification``."""
    parser = protocols.add_parser(
        "verification",
        help="pairs of faces: ROC, AUC, accuracy at the threshold",
        description="One-to-one verification with an embedding network: ROC, area below it, accuracy at the manifest's"
        " threshold and, where the makers gave folds, the ten-fold accuracy with a threshold chosen on the other folds;"
        " by cosine and by Euclidean distance.",
        epilog="Layouts: lfw-pairs (pairs.txt and a folder per person), people (a folder per person: all pairs)."
        " Example: python -m converters evaluate verification --data lfw/ --bundle build/networks/mobilefacenet",
    )
    add_arguments(parser)
    parser.add_argument(
        "--record", action="store_true", help="also keep the figures for the card, in converters/measurements"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure one file."""
    pairs = find_pairs(folder_of(args), layout=args.layout)
    subject = subject_of(args, "embedding")
    found = embed(subject, pairs, args.limit)
    head = subject.network.head
    assert isinstance(head, EmbeddingHead)
    lines = [*found[1], *figures(found[0], pairs.folds, head)]
    report = report_of(
        "verification",
        subject,
        sets=[pairs.title],
        layouts=[pairs.layout],
        lines=[(pairs.title, line) for line in lines],
        notes=notes(pairs, found[0]),
        tables=tables(found[0]),
    )
    write(report, draw(report, found[0], head), args.out, groups=DISTANCES)
    if args.record:
        from converters.measurements.measured import save  # the commands know of every protocol

        save(subject.network.name, report.figures, dry=args.limit is not None)
    return 0


def embed(subject: Subject, pairs: PairSet, limit: int | None) -> tuple[Distances, list[Line]]:
    """Distances of all pairs whose faces were found, and how many pictures and pairs that is."""
    listed = pairs.pairs[:limit]
    pictures = list(dict.fromkeys(path for pair in listed for path in (pair.first, pair.second)))
    chips = (Chip(read(path), {"path": str(path)}) for path in progress(pictures, subject.network.name))
    # A picture of such a set has surroundings of its own.
    answers = subject.answer(chips, pad=False)
    vectors = make_embedding(subject.network).vectors(answers.outputs)
    row = dict(zip((Path(labels["path"]) for labels in answers.seen), range(len(vectors)), strict=True))
    kept = [pair for pair in listed if pair.first in row and pair.second in row]
    if len({pair.same for pair in kept}) < 2:
        raise UsageError("pairs of one person and of two are both needed", fix="give more pictures or a larger --limit")
    found = distances(vectors, [(row[pair.first], row[pair.second]) for pair in kept])
    lines: list[Line] = []
    if subject.finder:
        lines.append(("found", "all", share_figure(answers.found.tolist())))
        lines.append(("pairs found", "all", share_figure([True] * len(kept) + [False] * (len(listed) - len(kept)))))
    same, fold = np.array([pair.same for pair in kept]), np.array([pair.fold for pair in kept])
    return Distances(cosine=found[0], euclidean=found[1], same=same, fold=fold), lines


def distances(vectors: F32, pairs: Sequence[tuple[int, int]]) -> tuple[F64, F64]:
    """Cosine and Euclidean distance of pairs of rows of unit vectors (N, L)."""
    first, second = (vectors[[pair[side] for pair in pairs]].astype(np.float64) for side in (0, 1))
    return np.clip(1 - (first * second).sum(axis=1), 0, 2), np.linalg.norm(first - second, axis=1)


def figures(found: Distances, folds: int, head: EmbeddingHead) -> Iterator[Line]:
    """Area below the ROC, accuracies, and true acceptance at given false acceptance; groups are the distances."""
    from sklearn.metrics import roc_auc_score  # two seconds, not for --help

    count, others = len(found.same), int((~found.same).sum())
    right = (found.of(head.distance) <= head.threshold) == found.same
    yield f"accuracy at {head.distance} {head.threshold:g}", "all", share_figure(right.tolist())
    for side, rows in (("one person", found.same), ("two people", ~found.same)):
        yield f"accuracy at {head.distance} {head.threshold:g}", side, share_figure(right[rows].tolist())
    for name in DISTANCES:
        values = found.of(name)
        area = float(roc_auc_score(found.same, -values))
        yield "AUC", name, Figure(area, count, *_area_interval(area, count - others, others))
        if folds > 1:
            yield "accuracy over folds", name, by_folds(values, found.same, found.fold)
        best = best_threshold(values, found.same)
        yield "best threshold", name, Figure(best, count, None, None)
        hits = (values <= best) == found.same
        yield "accuracy at the best threshold", name, share_figure(hits.tolist())
        for rate in FALSE_ACCEPTS:
            if rate * others >= 1:
                limit = np.quantile(values[~found.same], rate, method="lower")
                yield f"true accepts at {rate:g} false", name, share_figure((values[found.same] < limit).tolist())


def by_folds(values: F64, same: Bools, fold: npt.NDArray[np.int64]) -> Figure:
    """Mean accuracy over folds, each with the threshold that is best on the others, and its 95 % interval.

    Huang et al. 2007: mean and standard error over the folds.
    """
    scores = []
    for number in np.unique(fold):
        own = fold == number
        threshold = best_threshold(values[~own], same[~own])
        scores.append(float(((values[own] <= threshold) == same[own]).mean()))
    mean, reach = float(np.mean(scores)), Z * float(np.std(scores, ddof=1)) / sqrt(len(scores))
    return Figure(mean, len(values), max(0.0, mean - reach), min(1.0, mean + reach))


def best_threshold(values: F64, same: Bools) -> float:
    """Distance up to which pairs are taken for one person with the fewest errors, half-way to the next pair."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    # Errors when the first k pairs are accepted: different ones among them, same ones after them.
    wrong = np.concatenate([[0], np.cumsum(~same[order])]) + np.concatenate([np.cumsum(same[order][::-1])[::-1], [0]])
    # A threshold lies between two distances: equal ones are on one side of it.
    cuts = np.flatnonzero(np.concatenate([[True], ordered[1:] > ordered[:-1], [True]]))
    best = int(cuts[wrong[cuts].argmin()])
    if best in (0, len(ordered)):
        return float(ordered[0] - 1e-6 if best == 0 else ordered[-1])
    return float((ordered[best - 1] + ordered[best]) / 2)


def notes(pairs: PairSet, found: Distances) -> list[str]:
    """Say what the pairs are, and which figures are flattering."""
    kinds = f"{int(found.same.sum())} pairs of one person, {int((~found.same).sum())} of two"
    texts = [f"{pairs.title}: {kinds}", "the best threshold was chosen on the pairs it is told for"]
    if pairs.layout == "people":
        texts.append("all pairs of few people: a smoke test, not a figure to publish")
    return texts


def tables(found: Distances) -> dict[str, Any]:
    """ROC of either distance: false and true acceptance at up to 200 thresholds."""
    made: dict[str, Any] = {}
    for name in DISTANCES:
        rejects, accepts, limits = roc(found.of(name), found.same)
        made[f"ROC, {name}"] = {
            "false accepts": rejects.round(5).tolist(),
            "true accepts": accepts.round(5).tolist(),
            "threshold": limits.round(5).tolist(),
        }
    return made


def roc(values: F64, same: Bools) -> tuple[F64, F64, F64]:
    """False acceptance, true acceptance and threshold, thinned out to 200 points, ends kept."""
    from sklearn.metrics import roc_curve

    false, true, scores = roc_curve(same, -values)
    # scikit-learn begins with a threshold that nothing reaches, infinity: no distance is below that of the first pair.
    limits = np.where(np.isfinite(scores), -scores, float(values.min()) - 1e-6)
    kept = np.unique(np.linspace(0, len(false) - 1, min(CURVE_POINTS, len(false))).astype(int))
    return false[kept], true[kept], limits[kept]


def draw(report: Report, found: Distances, head: EmbeddingHead) -> Drawing:
    """ROC, and the distances of either kind of pair with the manifest's threshold."""
    title = f"{report.sets[0]}: {report.network} {report.runtime} {report.precision}, {report.mode}"
    made = drawing.canvas(10.5, 4.6, title)
    left, right = made.subplots(1, 2)
    areas = {row.group: row.value for row in report.figures if row.metric == "AUC"}
    lines: Mapping[str, tuple[Any, Any]] = {
        f"{name}, area {areas[name]:.4f}": roc(found.of(name), found.same)[:2] for name in DISTANCES
    }
    drawing.curves(left, lines, title="ROC", x="false acceptance", y="true acceptance", limits=((0, 1), (0, 1.005)))
    values = found.of(head.distance)
    bins = np.linspace(0, max(1e-6, float(values.max())), 60)
    for name, rows, colour in (("two people", ~found.same, "#c55a11"), ("one person", found.same, "#1f4e79")):
        right.hist(values[rows], bins=bins, density=True, alpha=0.6, color=colour, label=f"{name}, n {rows.sum()}")
    right.axvline(head.threshold, color="#222222", linewidth=1, label=f"threshold {head.threshold:g}")
    right.set_title(f"{head.distance} distance", fontsize=9)
    right.set_xlabel("distance", fontsize=8)
    right.set_ylabel("density", fontsize=8)
    right.legend(fontsize=7)
    right.tick_params(labelsize=8)
    return made


def _area_interval(area: float, same: int, others: int) -> tuple[float, float]:
    """95 % interval of an area below an ROC. Hanley, McNeil 1982."""
    first, second = area / (2 - area), 2 * area * area / (1 + area)
    spread = area * (1 - area) + (same - 1) * (first - area * area) + (others - 1) * (second - area * area)
    reach = Z * sqrt(max(0.0, spread) / (same * others))
    return max(0.0, area - reach), min(1.0, area + reach)
