"""Every attribute network of a bundle from its files, end to end: the table by which whole bundles are compared."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from converters.datasets.labelled import Chip, data_folder
from converters.datasets.layouts import find_faces
from converters.evaluation.labelled_people import EXACT, SETS
from converters.evaluation.report import COMMAND, DIGITS, count, progress
from converters.evaluation.shipped import (
    Measure,
    Row,
    against,
    cost_rows,
    expression_measures,
    found_measure,
    person_measures,
    used,
)
from converters.evaluation.stills import equalised, find_stills
from converters.evaluation.subject import Finder, Subject, detecting, shipped_subjects
from converters.formats.json_files import write_json
from converters.paths import build_folder, bundle_argument, open_any
from edgeface.bundle import Bundle
from edgeface.config import RuntimeName

EXPRESSIONS = "fer2013"
EQUALISED = "{}, equalised"
UNITS = {"years": (1.0, "{:.2f} years"), "share": (100.0, "{:.1f} %"), "macs": (1e-6, "{:.1f} M"), "bytes": (1, "{:,}")}
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
        help="a whole bundle end to end: age, gender, expression, multiply-accumulates, bytes",
        description="Measures every attribute network of a bundle from its files as `edgeface analyze` would: chips of"
        " UTKFace val, FairFace val and FER-2013 PublicTest (also with levels spread evenly) are padded by 30 %% of"
        " their edge and enlarged, the bundle's detector finds the face, published years and labels count, faces that"
        " are not found are left out and told. What the bundle costs is that of the networks which a device runs.",
        epilog="Example: python -m converters evaluate shipped --bundle build/bundles/research --against default",
    )
    parser.add_argument("--data", metavar="DIR", help="folder of the labelled sets")
    parser.add_argument("--bundle", metavar="DIR", default="default", help="bundle (%(default)s)")
    parser.add_argument("--against", metavar="DIR", help="another bundle: differences with paired intervals")
    parser.add_argument("--runtime", choices=("onnx", "litert"), default="onnx", help="runtime (%(default)s)")
    parser.add_argument("--precision", metavar="P", help="files of this precision where a network has one")
    parser.add_argument("--limit", type=count, metavar="N", help="first N faces of each set only")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (build/evaluate/BUNDLE)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, and write it as JSON."""
    folder = data_folder(args.data)
    bundle = open_any(args.bundle)
    measured = list(measure(bundle, folder, args))
    rows = [one.row for one in measured]
    if args.against:
        other = open_any(args.against)
        others = {m.row.row: m for m in measure(other, folder, args) if m.row.network in used(other)}
        rows = [against(one, others.get(one.row.row)) for one in measured]
    own = used(bundle)
    rows = [*ordered(rows, own), *cost_rows([bundle.network(name) for name in own], args.runtime)]
    report = Shipped(
        command=_command(bundle, args),
        bundle=f"{bundle.manifest.name} {bundle.manifest.version}",
        runtime=args.runtime,
        precision=args.precision,
        detector=detecting(bundle, None).manifest.defaults["detect"],
        against=args.against,
        rows=tuple(map(_rounded, rows)),
    )
    print(table(report))
    words = ["shipped", args.runtime, *([args.precision] if args.precision else [])]
    path = (args.out or build_folder() / "evaluate" / bundle.manifest.name) / ("-".join(words) + ".json")
    write_json(path, report)
    print(f"written: {path}", flush=True)
    return 0


def measure(bundle: Bundle, folder: Path, args: argparse.Namespace) -> Iterator[Measure]:
    """Every row of faces, set by set; of a set that is not there none."""
    finder = Finder(detecting(bundle, None), runtime=args.runtime)
    subjects = shipped_subjects(bundle, finder, runtime=args.runtime, precision=args.precision)
    for faces in find_faces(folder, (*SETS, EXPRESSIONS)):
        chips = list(faces.read(args.limit))
        if faces.name in SETS:
            yield from _people(faces.title, faces.name == EXACT, finder, subjects, chips)
        else:
            even = [Chip(equalised(chip.image), chip.labels) for chip in chips]
            for title, shown in ((faces.title, chips), (EQUALISED.format(faces.title), even)):
                yield from _expressions(title, finder, subjects, shown)


def ordered(rows: Sequence[Row], own: Mapping[str, Sequence[str]]) -> list[Row]:
    """Networks that a device runs first, each row in its place; then what else the bundle has."""
    detectors = {row.network for row in rows if row.row.startswith("found")}
    return sorted(rows, key=lambda row: row.network not in own and row.network not in detectors)


def table(report: Shipped) -> str:
    """The table in Markdown."""
    heads = ["", "network", "value", "95 %", "faces", "group"]
    heads += [f"more than {report.against}", "95 %"] if report.against else []
    lines = [heads, ["---"] * len(heads)]
    for row in report.rows:
        cells = [row.row, row.network, _said(row.value, row.unit), _interval(row.low, row.high, row.unit)]
        cells += [str(row.count or ""), row.group or ""]
        if report.against:
            cells += ["" if row.change is None else _said(row.change, row.unit, sign=True)]
            cells += [_interval(row.change_low, row.change_high, row.unit)]
        lines.append(cells)
    title = f"{report.bundle}, {report.runtime} {report.precision or ''}".rstrip()
    return "\n".join([f"{title}, faces found by {report.detector}", "", *(f"| {' | '.join(c)} |" for c in lines)])


def _people(
    title: str, exact: bool, finder: Finder, subjects: Sequence[Subject], chips: Sequence[Chip]
) -> Iterator[Measure]:
    able = [(s, [task for task in ("age", "gender") if task in s.network.answers]) for s in subjects]
    if not any(tasks for _, tasks in able):
        return
    stills = find_stills(finder, progress(chips, title))
    yield found_measure(title, stills)
    for subject, tasks in able:
        if tasks:
            yield from person_measures(title, exact, stills, subject, tasks)


def _expressions(title: str, finder: Finder, subjects: Sequence[Subject], chips: Sequence[Chip]) -> Iterator[Measure]:
    able = [subject for subject in subjects if "expression" in subject.network.answers]
    if not able:
        return
    stills = find_stills(finder, progress(chips, title))
    yield found_measure(title, stills)
    for subject in able:
        yield from expression_measures(title, stills, subject)


def _said(value: float, unit: str, *, sign: bool = False) -> str:
    factor, form = UNITS[unit]
    if sign:
        form = form.replace("{:", "{:+")
    if unit == "bytes":
        return form.format(round(value))
    return form.format(value * factor)


def _interval(low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        return ""
    factor, form = UNITS[unit]
    return f"{form.split(' ')[0].format(low * factor)} to {form.format(high * factor)}"


def _rounded(row: Row) -> Row:
    numbers = {name: getattr(row, name) for name in ("value", "low", "high", "change", "change_low", "change_high")}
    return msgspec.structs.replace(row, **{k: None if v is None else round(v, DIGITS) for k, v in numbers.items()})


def _command(bundle: Bundle, args: argparse.Namespace) -> str:
    words = [COMMAND, "shipped", f"--bundle {bundle_argument(bundle)}", f"--runtime {args.runtime}"]
    words += [f"--precision {args.precision}"] if args.precision else []
    words += [f"--limit {args.limit}"] if args.limit else []
    return " ".join(words + ([f"--against {args.against}"] if args.against else []))
