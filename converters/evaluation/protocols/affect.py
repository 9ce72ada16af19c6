"""Valence and arousal: RMSE, sign agreement, concordance, and the RMSE that does not follow the crowd."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from converters.datasets.layouts import find_faces
from converters.evaluation import drawing
from converters.evaluation.metrics import concordance, normalised_rmse, rmse, sign_agreement
from converters.evaluation.report import Line, Report, add_arguments, folder_of, progress, report_of, subject_of, write
from converters.evaluation.statistics import RESAMPLES, Figure, share_figure
from edgeface.attributes import make_heads

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

AXES = ("valence", "arousal")
CELLS = 40
"""Cells of the drawn histogram along either axis."""
F64 = npt.NDArray[np.float64]
MEASURES: dict[str, Callable[[F64, F64], tuple[float, float]]] = {
    "RMSE": lambda t, p: (rmse(t[:, 0], p[:, 0]), rmse(t[:, 1], p[:, 1])),
    "SAGR": lambda t, p: (sign_agreement(t[:, 0], p[:, 0]), sign_agreement(t[:, 1], p[:, 1])),
    "CCC": lambda t, p: (concordance(t[:, 0], p[:, 0]), concordance(t[:, 1], p[:, 1])),
    "normalised RMSE": normalised_rmse,
}


def add(protocols: argparse._SubParsersAction[Any]) -> None:
    """Add ``affect``."""
    parser = protocols.add_parser(
        "affect",
        help="valence and arousal: RMSE, SAGR, CCC, normalised RMSE",
        description="RMSE, SAGR (equal signs), CCC (concordance) and normalised RMSE (mean over the cells of a 71x71"
        " grid of the truth) of valence and arousal.",
        epilog="Layout: affect-csv, a table with the columns path, valence, arousal (each -1 to 1) beside the pictures."
        " Example: python -m converters evaluate affect --data faces/ --bundle build/networks/affect-w050",
    )
    add_arguments(parser, default="chip")
    parser.add_argument("--part", metavar="P", help="name of the table without .csv (the first that fits)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure one file."""
    faces = find_faces(folder_of(args), ("affect",), layout=args.layout, part=args.part)[0]
    subject = subject_of(args, "affect")
    answers = subject.answer(progress(faces.read(args.limit), f"{subject.network.name} {faces.title}"))
    predicted = make_heads(subject.network)["affect"].probabilities(answers.outputs).astype(np.float64)
    truth = np.array([[float(row[name]) for name in AXES] for row in answers.seen], np.float64)
    lines = list(figures(truth, predicted))
    if subject.finder:
        lines = [("found", "all", share_figure(answers.found.tolist())), *lines]
    report = report_of(
        "affect",
        subject,
        sets=[faces.title],
        layouts=[faces.layout],
        lines=[(faces.title, line) for line in lines],
    )
    write(report, draw(report, truth, predicted), args.out)
    return 0


def figures(truth: F64, predicted: F64, *, seed: int = 1) -> Iterator[Line]:
    """Each measure of valence and arousal with its bootstrap interval over faces; arrays of shape (N, 2)."""
    rng = np.random.default_rng(seed)
    draws = [rng.integers(0, len(truth), len(truth)) for _ in range(RESAMPLES)] if len(truth) > 1 else []
    for name, measure in MEASURES.items():
        values = measure(truth, predicted)
        resampled = np.array([measure(truth[rows], predicted[rows]) for rows in draws]).reshape(-1, 2)
        for place, axis in enumerate(AXES):
            low, high = np.percentile(resampled[:, place], [2.5, 97.5]) if draws else (None, None)
            yield f"{name} {axis}", "all", Figure(values[place], len(truth), _float(low), _float(high))


def draw(report: Report, truth: F64, predicted: F64) -> Drawing:
    """Said against true, one panel for each axis, and where on the plane the error is large."""
    title = f"{report.sets[0]}: {report.network} {report.runtime} {report.precision}, {report.mode}, n {len(truth)}"
    made = drawing.canvas(14, 4.6, title)
    values = {row.metric: row.value for row in report.figures}
    *panels, plane = made.subplots(1, 3)
    for place, (name, axes) in enumerate(zip(AXES, panels, strict=True)):
        axes.hist2d(truth[:, place], predicted[:, place], bins=CELLS, range=[[-1, 1], [-1, 1]], cmap="Blues", cmin=1)
        axes.plot([-1, 1], [-1, 1], color="#c55a11", linewidth=1)
        told = ", ".join(f"{metric} {values[f'{metric} {name}']:.3f}" for metric in ("RMSE", "SAGR", "CCC"))
        axes.set_title(f"{name}: {told}", fontsize=9)
        axes.set_xlabel("true", fontsize=8)
        axes.set_ylabel("said", fontsize=8)
    error = np.linalg.norm(predicted - truth, axis=1)
    drawn = plane.hexbin(
        truth[:, 0], truth[:, 1], C=error, gridsize=CELLS // 2, extent=(-1, 1, -1, 1), cmap="YlOrRd", vmin=0
    )
    made.colorbar(drawn, ax=plane, shrink=0.8).ax.tick_params(labelsize=7)
    plane.set_title("mean distance of the answer, by true place", fontsize=9)
    plane.set_xlabel("valence", fontsize=8)
    plane.set_ylabel("arousal", fontsize=8)
    for axes in (*panels, plane):
        axes.set_xlim(-1, 1)
        axes.set_ylim(-1, 1)
        axes.set_aspect("equal")
        axes.tick_params(labelsize=8)
    return made


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
