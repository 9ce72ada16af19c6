"""Gender, as the data label it, on UTKFace and FairFace: accuracy by race, age and gender."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from converters.datasets.labels import GENDERS
from converters.evaluation import drawing
from converters.evaluation.attributes import gender_figures
from converters.evaluation.labelled_people import EXACT, add_protocol, sample_sets
from converters.evaluation.report import Line, Report, figures_of, report_of, write
from converters.evaluation.statistics import share_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


def add(protocols: argparse._SubParsersAction[Any]) -> None:
    """Add ``gender``."""
    add_protocol(
        protocols,
        "gender",
        run,
        text="UTKFace and FairFace: accuracy by race, age and gender",
        description="Accuracy of gender as the data label it, on UTKFace and FairFace: all, from 10 years, by age band,"
        " gender and race. What a face is labelled is not what a person says of themselves.",
        example="--data FairFace/ --network age-gender-compact",
    )


def run(args: argparse.Namespace) -> int:
    """Measure one file on every set that the folder holds."""
    subject, found = sample_sets(args, "gender")
    lines: list[tuple[str, Line]] = []
    for faces, seen in found:
        lines += [(faces.title, line) for line in gender_figures(seen, exact=faces.name == EXACT)]
        hits = [sample.gender == GENDERS[sample.labels["gender"]] for sample in seen]
        lines.append((faces.title, ("accuracy, misses as errors", "all", share_figure(hits))))
    titles = [faces.title for faces, _ in found]
    layouts = [faces.layout for faces, _ in found]
    report = report_of("gender", subject, sets=titles, layouts=layouts, lines=lines)
    write(report, draw(report), args.out)
    return 0


def draw(report: Report) -> Drawing:
    """Accuracy of every group, a column for each set."""
    by_set = {title: figures_of(report, title, "accuracy") for title in report.sets}
    title = f"Gender as labelled: {report.network} {report.runtime} {report.precision}, {report.mode}"
    made = drawing.canvas(5.6 * len(by_set), drawing.bars_height(max(map(len, by_set.values()))), title)
    for axes, (name, found) in zip(made.subplots(1, len(by_set), squeeze=False)[0], by_set.items(), strict=True):
        drawing.bars(axes, found, title=f"{name}: accuracy", unit="percent", scale=100)
    return made
