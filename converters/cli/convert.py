"""``convert``: from one file to a bundle that a device installs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from converters.bundles.convert import Converted, Request, convert
from converters.bundles.variants import Variant
from converters.cli.probe import split_labels
from converters.probing.probe import TASKS
from edgeface.errors import UsageError


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``convert``."""
    parser = commands.add_parser(
        "convert",
        help="one file in, a bundle out: inspect, probe, build, measure, pack",
        description="FILE is an .onnx or .tflite, or a checkpoint of a network known here, or of your own module"
        " (--family mine.py:Net). With labelled faces (--data) its pixels, crop and labels are found out, it is built"
        " in every precision, each is held against fp32, and what loses more than its task's limit is left out. Without"
        " them float files are made, of what the file tells and what is usual. The folder then has the recipe, a bundle"
        " with the default bundle's detector, its archive for `edgeface models install`, and a card.",
        epilog="example: python -m converters convert my-expression.onnx --task expression --data faces",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a network or a checkpoint")
    parser.add_argument("--task", choices=TASKS, help="what it is asked (default: what its number of answers says)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the labelled faces")
    parser.add_argument(
        "--labels", type=split_labels, default=(), metavar="A,B,C", help="the label order, if you know it"
    )
    parser.add_argument(
        "--family", metavar="NAME|FILE.py:CLASS", help="the network of a checkpoint (default: found out)"
    )
    parser.add_argument("--name", metavar="NAME", help="what it is called from now on (default: by FILE's name)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where everything goes (default: ./NAME)")
    parser.add_argument("--limit", type=_count, metavar="N", help="look at the first N faces only")
    parser.add_argument("--force", action="store_true", help="replace what an earlier `convert` wrote there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Convert, and print the table and the next command."""
    file: Path = arguments.file
    if not file.is_file():
        raise UsageError(f"there is no file {file}", fix="give an .onnx, a .tflite or a checkpoint")
    if arguments.data is not None and not arguments.data.is_dir():
        raise UsageError(f"there is no folder {arguments.data}", fix="give a folder of labelled faces, or leave --data")
    name = arguments.name or re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-")[:64] or "network"
    asked = Request(
        file=file,
        task=arguments.task,
        name=name,
        labels=arguments.labels,
        family=arguments.family,
        data=arguments.data,
        limit=arguments.limit,
        out=arguments.out or Path(name),
        force=arguments.force,
    )
    print("\n".join(report(convert(asked), name)))
    return 0


def report(made: Converted, name: str) -> Iterator[str]:
    """What was made, what is missing, and what to type next."""
    words = [made.network.title, made.network.licence, made.network.training_data]
    yield f"{name}: answers {' and '.join([made.network.task, *made.network.also])}; recipe {made.folder / name}.toml"
    table = [("variant", "bytes", "loss", "ms here", "in the bundle"), *map(_cells, made.variants)]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield from (f"missing: {line}" for line in made.missing)
    if any("correct this" in word for word in words):
        folder = made.folder / "bundle"
        yield (
            f"title, licence and training data are yours to say, in {made.folder / name}.toml; then again: python -m"
            f" converters build {folder}.toml --out {folder} && python -m converters pack {folder} --out {made.archive}"
        )
    yield f"next, on the device: edgeface models install {made.archive}"


def _cells(one: Variant) -> tuple[str, ...]:
    size = "-" if one.bytes is None else f"{one.bytes:,}"
    ms = "-" if one.ms is None else f"{one.ms:.2f}"
    return f"{one.runtime} {one.precision}", size, one.loss, ms, "yes" if one.ships else f"no: {one.why}"


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError("expected a number from 2 up")
    return int(text)
