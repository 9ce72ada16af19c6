"""What every protocol takes and gives: its arguments, and a picture and a JSON file side by side."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from tqdm import tqdm

from converters.datasets.labelled import data_folder
from converters.evaluation.drawing import png
from converters.evaluation.statistics import Figure
from converters.evaluation.subject import Mode, Subject, open_subject
from converters.formats.json_files import write_json
from converters.paths import build_folder, bundle_argument
from edgeface.bundle import FileRuntime, Measured, Precision
from edgeface.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

COMMAND = "python -m converters evaluate"
DIGITS = 4
KINDS = ("", "from", "age", "gender", "race")
"""Kinds of groups in the order in which they are read."""
UNTRAINED = "the network was never trained: the figures say nothing but that the chain works"
T = TypeVar("T")
Line = tuple[str, str, Figure]
"""Metric, group, figure."""


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run of a protocol: which file on which data, every figure, and what the picture shows as numbers.

    ``notes`` say what a reader must know to compare (what was left out, and how many); ``tables`` hold curves and
    matrices by name.
    """

    protocol: str
    command: str
    bundle: str
    network: str
    runtime: FileRuntime
    precision: Precision | None
    """None where every network was taken in the manifest's first precision."""
    mode: Mode | None = None
    detector: str | None = None
    sets: tuple[str, ...]
    layouts: tuple[str, ...]
    notes: tuple[str, ...] = ()
    figures: tuple[Measured, ...]
    tables: dict[str, Any] = msgspec.field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser, *, modes: bool = True, default: Mode = "end-to-end") -> None:
    """Add the arguments that all protocols share."""
    parser.add_argument("--data", metavar="DIR", help="the data, in its makers' layout or the project's")
    parser.add_argument("--layout", metavar="NAME", help="the layout, where it is not to be found out")
    parser.add_argument("--bundle", metavar="DIR", default="default", help="bundle, or one built network (%(default)s)")
    parser.add_argument("--network", metavar="NAME", help="which network; the bundle's default for the task")
    parser.add_argument(
        "--runtime", choices=("onnx", "litert", "opencv"), help="which file of it: onnx where there is one"
    )
    parser.add_argument("--precision", metavar="P", help="which file of it: the manifest's first")
    if modes:
        parser.add_argument(
            "--mode",
            choices=("chip", "end-to-end"),
            default=default,
            help="chip: the picture is the crop; end-to-end: padded by 30 %%, found by the detector, cut by the"
            " manifest's rule, misses counted (%(default)s)",
        )
        parser.add_argument("--detector", metavar="NAME", help="who finds the faces end to end (the bundle's default)")
    parser.add_argument("--limit", type=count, metavar="N", help="first N pictures only")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (build/evaluate/NETWORK)")
    parser.add_argument("--allow-random", action="store_true", help="measure a network that was never trained, too")


def progress(faces: Iterable[T], what: str, *, unit: str = "face") -> Iterable[T]:
    """Show a bar while faces (or others) go by, where somebody looks."""
    bar: Iterable[T] = tqdm(faces, desc=what, unit=unit, disable=None)
    return bar


def count(text: str) -> int:
    """Read a number from 1 up, for argparse."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("expected a number from 1 up")
    return int(text)


def folder_of(args: argparse.Namespace) -> Path:
    """Folder of the data; UsageError where there is none."""
    return data_folder(args.data)


def subject_of(args: argparse.Namespace, task: str) -> Subject:
    """Load the file that the arguments name."""
    return open_subject(
        args.bundle,
        task,
        network=args.network,
        runtime=args.runtime,
        precision=args.precision,
        mode=args.mode,
        detector=args.detector,
        allow_random=args.allow_random,
    )


def command_of(protocol: str, subject: Subject) -> str:
    """Return the command that makes these figures again; the data's folder is the reader's own."""
    file = subject.runner.file
    words = [COMMAND, protocol, f"--network {subject.network.name}", f"--runtime {file.runtime}"]
    words += [f"--precision {file.precision}", f"--mode {subject.mode}", f"--bundle {bundle_argument(subject.bundle)}"]
    return " ".join(words + ([f"--detector {subject.detector}"] if subject.detector else []))


def measured(
    title: str,
    line: Line,
    *,
    runtime: FileRuntime,
    precision: Precision,
    command: str,
    detector: str | None = None,
    size: str | None = None,
) -> Measured:
    """One figure in the manifest's form, to four digits; ``title`` names the set."""
    metric, group, figure = line
    return Measured(
        metric=metric,
        value=round(figure.value, DIGITS),
        set=title,
        group=group,
        count=figure.count,
        low=None if figure.low is None else round(figure.low, DIGITS),
        high=None if figure.high is None else round(figure.high, DIGITS),
        runtime=runtime,
        precision=precision,
        size=size,
        detector=detector,
        command=command,
    )


def report_of(
    protocol: str,
    subject: Subject,
    *,
    sets: Sequence[str],
    layouts: Sequence[str],
    lines: Iterable[tuple[str, Line]],
    notes: Sequence[str] = (),
    tables: dict[str, Any] | None = None,
) -> Report:
    """Put together what one file reached; ``lines`` are figures with the title of their set."""
    command, file = command_of(protocol, subject), subject.runner.file
    notes = [*notes, UNTRAINED] if subject.network.random_weights else notes
    return Report(
        protocol=protocol,
        command=command,
        bundle=f"{subject.bundle.manifest.name} {subject.bundle.manifest.version}",
        network=subject.network.name,
        runtime=file.runtime,
        precision=file.precision,
        mode=subject.mode,
        detector=subject.detector,
        sets=tuple(sets),
        layouts=tuple(layouts),
        notes=tuple(notes),
        figures=tuple(
            measured(
                title,
                line,
                runtime=file.runtime,
                precision=file.precision,
                command=command,
                detector=subject.detector,
            )
            for title, line in lines
        ),
        tables=tables or {},
    )


def figures_of(report: Report, title: str, metric: str) -> dict[str, Figure]:
    """Figures of one metric on one set by group: all, then ranges and ages as they rise, gender, race."""
    rows = {r.group: r for r in report.figures if (r.set, r.metric) == (title, metric)}

    def place(group: str) -> tuple[int, int, str]:
        kind = "" if group[0].isdigit() else group.split(" ", maxsplit=1)[0]
        first = re.search(r"\d+", group)
        return KINDS.index(kind) if kind in KINDS else len(KINDS), int(first[0]) if first else 0, group

    ordered = sorted(rows, key=lambda group: (group != "all", place(group)))
    return {g: Figure(rows[g].value, rows[g].count, rows[g].low, rows[g].high) for g in ordered}


def write(report: Report, drawing: Drawing, out: Path | None, *, groups: Sequence[str] = ()) -> Path:
    """Write ``PROTOCOL-MODE-RUNTIME-PRECISION.json`` and its picture, each in one step; give the JSON's path.

    The terminal gets the figures over all and those of ``groups``.
    """
    parts = (report.protocol, report.mode, report.runtime, report.precision)
    path = (out or build_folder() / "evaluate" / report.network) / ("-".join(part for part in parts if part) + ".json")
    write_atomic(path.with_suffix(".png"), png(drawing))
    write_json(path, report)
    for line in format_report(report, groups):
        print(line)
    print(f"written: {path} and {path.with_suffix('.png').name}", flush=True)
    return path


def format_report(report: Report, groups: Sequence[str] = ()) -> Iterator[str]:
    """Lines for the terminal: what was measured, the figures over all and of some groups, and the notes."""
    groups_shown = {"all", *groups}
    where = f", {report.mode}" if report.mode else ""
    yield f"{report.network} {report.runtime} {report.precision or ''}{where}: {', '.join(report.sets)}"
    for row in report.figures:
        if row.group in groups_shown:
            interval = "" if row.low is None or row.high is None else f" ({row.low:.4f} to {row.high:.4f})"
            what = ", ".join(part for part in (row.set, row.size, "" if row.group == "all" else row.group) if part)
            yield f"  {what}: {row.metric} {row.value:.4f}{interval}, n {row.count}"
    yield from (f"  note: {note}" for note in report.notes)
