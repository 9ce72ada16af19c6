"""Every attribute network of a bundle from its files, end to end: the table by which whole bundles are compared."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec

from converters.datasets.labelled import Chip
from converters.datasets.layouts import FaceSet
from converters.evaluation.report import DIGITS, progress
from converters.evaluation.shipped import (
    Measure,
    Row,
    against,
    cost_rows,
    expression_measures,
    found_measure,
    person_measures,
    time_rows,
    used,
)
from converters.evaluation.stills import answer_stills, equalised, find_stills
from converters.evaluation.timing import ROUNDS, time_together
from converters.evaluation.whole_bundle import (
    EXPRESSIONS,
    BundleRun,
    add_bundle_arguments,
    answering,
    command_of_run,
    is_exact,
    open_run,
    sets_of,
    write_report,
)
from converters.formats.markdown import table
from edgeface.config import RuntimeName

EQUALISED = "{}, equalised"
UNITS = {
    "years": (1.0, "{:.2f} years"),
    "share": (100.0, "{:.1f} %"),
    "macs": (1e-6, "{:.1f} M"),
    "bytes": (1, "{:,}"),
    "ms": (1.0, "{:.3f} ms"),
    "ratio": (1.0, "{:.2f}"),
}
"""By unit of a row its factor and how it is printed."""


class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle reached; ``against`` names the bundle of which ``change`` in the rows tells."""

    command: str
    bundle: str
    runtime: RuntimeName
    precision: str | None
    detector: str
    against: str | None
    rows: tuple[Row, ...]


def add(protocols: argparse._SubParsersAction[Any]) -> None:
    """Add ``shipped``."""
    parser = protocols.add_parser(
        "shipped",
        help="a whole bundle end to end: age, gender, expression, multiply-accumulates, bytes, CPU time",
        description="Measures every attribute network of a bundle from its files as `edgeface analyze` would: chips of"
        " UTKFace val, FairFace val and FER-2013 PublicTest (also with levels spread evenly) are padded by 30 % of"
        " their edge and enlarged, the bundle's detector finds the face, published years and labels count, faces that"
        " are not found are left out and told. What the bundle costs is that of the networks which a device runs; CPU"
        " time is timed at the end, of every file of every runtime in turns with those of the other bundle.",
        epilog="Example: python -m converters evaluate shipped --bundle build/bundles/research --against default",
    )
    add_bundle_arguments(parser, choose=False)
    parser.add_argument("--against", metavar="DIR", help="another bundle: differences with paired intervals")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, and write it as JSON."""
    sets, this = sets_of(args), open_run(args.bundle, args)
    measured = [one for faces in sets for one in measure(this, faces, args.limit)]
    rows = [one.row for one in measured]
    timed = [this.bundle]
    if args.against:
        other = open_run(args.against, args)
        others = {
            m.row.row: m
            for faces in sets
            for m in measure(other, faces, args.limit)
            if m.row.network in used(other.bundle)
        }
        rows = [against(one, others.get(one.row.row)) for one in measured]
        timed.append(other.bundle)
    own = used(this.bundle)
    costs = list(cost_rows([this.bundle.network(name) for name in own], args.runtime))
    times = time_together([(one, list(used(one))) for one in timed], rounds=ROUNDS)
    costs += time_rows(times[0], times[-1] if args.against else (), args.against)
    command = command_of_run("shipped", this.bundle, args) + (f" --against {args.against}" if args.against else "")
    report = Shipped(
        command=command,
        bundle=f"{this.bundle.manifest.name} {this.bundle.manifest.version}",
        runtime=args.runtime,
        precision=args.precision,
        detector=this.finder.network.name,
        against=args.against,
        rows=tuple(map(_rounded, [*ordered(rows, {*own, this.finder.network.name}), *costs])),
    )
    print(text(report))
    write_report("shipped", this.bundle, args, report)
    return 0


def measure(run: BundleRun, faces: FaceSet, limit: int | None) -> Iterator[Measure]:
    """Every row of one set; none where the bundle answers nothing of what it asks."""
    able = answering(run, faces)
    if not able:
        return
    chips = list(faces.read(limit))
    shown = {faces.title: chips}
    if faces.name == EXPRESSIONS:
        shown[EQUALISED.format(faces.title)] = [Chip(equalised(chip.image), chip.labels) for chip in chips]
    for title, pictures in shown.items():
        stills = find_stills(run.finder, progress(pictures, title))
        yield found_measure(title, stills)
        answers = answer_stills(stills, [subject for subject, _ in able])
        for subject, tasks in able if answers else ():
            if "expression" in tasks:
                yield from expression_measures(title, answers[subject.network.name], subject)
            else:
                yield from person_measures(title, is_exact(faces), answers[subject.network.name], subject, tasks)


def ordered(rows: Sequence[Row], first: Collection[str]) -> list[Row]:
    """What a device runs first, each row in its place; then what else the bundle has."""
    return sorted(rows, key=lambda row: row.network not in first)


def text(report: Shipped) -> str:
    """The table in Markdown."""
    heads = ["", "network", "value", "95 %", "faces", "group"]
    heads += [f"more than {report.against}", "95 %"] if report.against else []
    lines = []
    for row in report.rows:
        cells = [row.row, row.network, _said(row.value, row.unit), _interval(row.low, row.high, row.unit)]
        cells += [str(row.count or ""), row.group or ""]
        if report.against:
            cells += ["" if row.change is None else _said(row.change, row.unit, sign=True)]
            cells += [_interval(row.change_low, row.change_high, row.unit)]
        lines.append(cells)
    title = f"{report.bundle}, {report.runtime} {report.precision or ''}".rstrip()
    return f"{title}, faces found by {report.detector}\n\n{table(heads, lines)}"


def _said(value: float, unit: str, *, sign: bool = False) -> str:
    factor, form = UNITS[unit]
    form = form.replace("{:", "{:+") if sign else form
    return form.format(round(value) if unit == "bytes" else value * factor)


def _interval(low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        return ""
    factor, form = UNITS[unit]
    return f"{form.split(' ')[0].format(low * factor)} to {form.format(high * factor)}"


def _rounded(row: Row) -> Row:
    numbers = {name: getattr(row, name) for name in ("value", "low", "high", "change", "change_low", "change_high")}
    return msgspec.structs.replace(row, **{k: None if v is None else round(v, DIGITS) for k, v in numbers.items()})
