"""Gender, as the data label it, on UTKFace and FairFace: accuracy by race, age and gender."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from converters.datasets.labels import GENDERS
from converters.datasets.layouts import find_faces
from converters.evaluation import drawing
from converters.evaluation.attributes import gender_figures, samples
from converters.evaluation.report import (
    Line,
    Report,
    add_arguments,
    figures_of,
    folder_of,
    progress,
    report_of,
    subject_of,
    write,
)
from converters.evaluation.statistics import share_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


def add(protocols: argparse._SubParsersAction[Any]) -> None:
    """Add ``gender``."""
    parser = protocols.add_parser(
        "gender",
        help="UTKFace and FairFace: accuracy by race, age and gender",
        description="Accuracy of gender as the data label it, on UTKFace and FairFace: all, from 10 years, by age band,"
        " gender and race. What a face is labelled is not what a person says of themselves.",
        epilog="Layouts: utkface-names ([age]_[gender]_[race]_[date].jpg), fairface-csv (fairface_label_val.csv and"
        " folders), sheets. Example: python -m converters evaluate gender --data FairFace/ --network gender-v1",
    )
    add_arguments(parser)
    parser.add_argument("--part", metavar="P", help="part of the sets (val)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure one file on every set that the folder holds."""
    sets = find_faces(folder_of(args), ("utkface", "fairface"), layout=args.layout, part=args.part)
    subject = subject_of(args, "gender")
    lines: list[tuple[str, Line]] = []
    for faces in sets:
        shown = progress(faces.read(args.limit), f"{subject.network.name} {faces.title}")
        seen = samples(subject.answer(shown), subject)
        lines += [(faces.title, line) for line in gender_figures(seen, exact=faces.name == "utkface")]
        hits = [sample.gender == GENDERS[sample.labels["gender"]] for sample in seen]
        lines.append((faces.title, ("accuracy, misses as errors", "all", share_figure(hits))))
    titles = [faces.title for faces in sets]
    layouts = [faces.layout for faces in sets]
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
