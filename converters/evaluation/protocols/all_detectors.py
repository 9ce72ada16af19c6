"""All detectors of the field on WIDER FACE's dev share: precision, multiply-accumulates, CPU time; the page of them."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from converters.evaluation.report import count


def add(protocols: argparse._SubParsersAction[Any]) -> None:
    """Add ``field``."""
    parser = protocols.add_parser(
        "field",
        help="all detectors of the field side by side: average precision, multiply-accumulates, CPU time",
        description="Makes every detector's fp32 file, measures average precision on WIDER FACE's dev"
        " share and CPU milliseconds per picture with one thread, and writes converters/measurements/detectors.json and"
        " docs/detectors.md. Takes about a quarter of an hour; with --network the others keep their figures.",
        epilog="Example: python -m converters evaluate field --network yunet --network centerface --limit 20",
    )
    parser.add_argument("--network", action="append", metavar="NAME", help="only this detector (repeatable)")
    parser.add_argument("--limit", type=count, metavar="N", help="first N pictures only; nothing is written")
    parser.add_argument("--data", metavar="DIR", help="folder of the labelled data")
    parser.add_argument(
        "--cost", action="store_true", help="only measure time and multiply-accumulates again, a minute or two"
    )
    parser.add_argument("--page", action="store_true", help="only write the page again, from the figures as they are")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write unless only a part was asked for."""
    # torch and both runtimes are behind these
    from converters.datasets.labelled import data_folder, photographs
    from converters.evaluation.all_detectors import make_field, measure
    from converters.evaluation.all_detectors_page import PAGE, page, table
    from converters.measurements.detectors import DETECTORS, load, save
    from edgeface.errors import UsageError
    from edgeface.files import write_atomic

    if args.page:
        write_atomic(PAGE, page(load()).encode())
        return 0
    pictures = photographs(data_folder(args.data), limit=args.limit)
    names = tuple(args.network or DETECTORS)
    if unknown := set(names) - set(DETECTORS):
        raise UsageError(f"{min(unknown)} is no detector of the field", fix=f"choose from: {', '.join(DETECTORS)}")
    with tempfile.TemporaryDirectory() as folder:
        field = measure(*make_field(names, Path(folder)), names, pictures, load() if args.cost else None)
    print(table(field))
    if args.limit is None:
        write_atomic(PAGE, page(save(field)).encode())
    return 0
