"""Age on UTKFace (mean errors and CS(T)) and on FairFace (the right bin), by age, gender and race."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from converters.evaluation import drawing
from converters.evaluation.attributes import DECADES, Sample, age_figures
from converters.evaluation.labelled_people import EXACT, add_protocol, sample_sets
from converters.evaluation.metrics import cumulative_score
from converters.evaluation.report import Line, Report, figures_of, report_of, write
from converters.evaluation.statistics import mean_figure, share_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

RANGES = {"all": (0, 120), "21-40": (21, 40), "21-60": (21, 60)}
"""Ages over which the published tables go."""
CURVE_YEARS = tuple(range(31))
TOLD_YEARS = (1, 3, 5, 10)
F64 = npt.NDArray[np.float64]


def add(protocols: argparse._SubParsersAction[Any]) -> None:
    """Add ``age``."""
    add_protocol(
        protocols,
        "age",
        run,
        text="UTKFace: MAE, RMSE, CS(T); FairFace: the right bin",
        description="Mean absolute error, RMSE, bias and the cumulative score CS(T) with its curve on UTKFace, over the"
        " whole range, 21-40, 21-60 and by decade; share of right bins on FairFace; both by gender and race.",
        example="--data UTKFace/ --network age-gender-compact",
    )


def run(args: argparse.Namespace) -> int:
    """Measure one file on every set that the folder holds."""
    subject, found = sample_sets(args, "age")
    lines: list[tuple[str, Line]] = []
    tables: dict[str, Any] = {}
    for faces, seen in found:
        exact = faces.name == EXACT
        lines += [(faces.title, line) for line in figures(seen, exact=exact)]
        if exact:
            tables[f"CS(T), {faces.title}"] = {"years": list(CURVE_YEARS), **curves(seen)}
    titles = [faces.title for faces, _ in found]
    layouts = [faces.layout for faces, _ in found]
    report = report_of("age", subject, sets=titles, layouts=layouts, lines=lines, tables=tables)
    write(report, draw(report), args.out, groups=tuple(RANGES))
    return 0


def figures(seen: Sequence[Sample], *, exact: bool) -> Iterator[Line]:
    """Every figure of `age_figures`; on ages in years those of 21-40, RMSE by decade, and CS(T), too."""
    told = list(age_figures(seen, exact=exact))
    yield from told
    if not exact:
        return
    known = {(metric, group) for metric, group, _ in told}
    for group, (low, high) in {**RANGES, **{f"age {name}": span for name, span in DECADES.items()}}.items():
        errors = errors_of(seen, low, high)
        if not len(errors):
            continue
        own = [
            ("MAE years", mean_figure(np.abs(errors).tolist())),
            ("bias years", mean_figure(errors.tolist())),
            ("RMSE years", mean_figure(np.square(errors).tolist()).root()),
        ]
        own += [(f"CS({years})", share_figure((np.abs(errors) <= years).tolist())) for years in TOLD_YEARS]
        yield from ((metric, group, figure) for metric, figure in own if (metric, group) not in known)


def errors_of(seen: Sequence[Sample], low: int, high: int) -> F64:
    """Years off, said minus true, of the faces that were found and are so old."""
    rows = [(sample.years, int(sample.labels["age"])) for sample in seen if sample.years is not None]
    return np.array([years - age for years, age in rows if low <= age <= high], np.float64)


def curves(seen: Sequence[Sample]) -> dict[str, list[float]]:
    """CS(T) for T from 0 to 30 years, by range of age."""
    return {
        name: [round(float(share), 4) for share in cumulative_score(errors_of(seen, low, high), CURVE_YEARS)]
        for name, (low, high) in RANGES.items()
    }


def draw(report: Report) -> Drawing:
    """UTKFace: the curve and mean errors by group; FairFace: right bins by group."""
    curve = {key.removeprefix("CS(T), "): table for key, table in report.tables.items()}
    panels = sum(2 if title in curve else 1 for title in report.sets)
    title = f"Age: {report.network} {report.runtime} {report.precision}, {report.mode}"
    made = drawing.canvas(5.2 * panels, drawing.bars_height(18), title)
    axes = iter(made.subplots(1, panels, squeeze=False)[0])
    for name in report.sets:
        if name in curve:
            _curve(next(axes), name, curve[name])
            drawing.bars(
                next(axes), figures_of(report, name, "MAE years"), title=f"{name}: mean absolute error", unit="years"
            )
        else:
            shares = figures_of(report, name, "bin accuracy")
            drawing.bars(next(axes), shares, title=f"{name}: right bin", unit="percent", scale=100)
    return made


def _curve(axes: Axes, title: str, table: Mapping[str, list[float]]) -> None:
    years = table["years"]
    drawing.curves(
        axes,
        {f"{name} years" if name != "all" else name: (years, table[name]) for name in RANGES},
        title=f"{title}: cumulative score CS(T)",
        x="T, years",
        y="share with an error of at most T",
        limits=((0, CURVE_YEARS[-1]), (0, 1)),
    )
