"""All detectors of the field on WIDER FACE's dev share: precision, multiply-accumulates, CPU time; the page of them."""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path
from typing import Any

from converters.evaluation.report import count

NAME, OLD_NAME = "all-detectors", "field"
logger = logging.getLogger(__name__)


def add(protocols: argparse._SubParsersAction[Any]) -> None:
    """Add ``all-detectors``, and ``field``, which it was called before; `--help` lists only the new name."""
    parser = protocols.add_parser(
        NAME, help="all detectors side by side: average precision, multiply-accumulates, CPU time", **_texts(NAME)
    )
    parser.set_defaults(run=run)
    old = protocols.add_parser(OLD_NAME, **_texts(OLD_NAME))
    old.set_defaults(run=run_by_old_name)
    for one in (parser, old):
        one.add_argument("--network", action="append", metavar="NAME", help="only this detector (repeatable)")
        one.add_argument("--limit", type=count, metavar="N", help="first N pictures only; nothing is written")
        one.add_argument("--data", metavar="DIR", help="folder of the labelled data")
        one.add_argument(
            "--cost", action="store_true", help="only measure time and multiply-accumulates again, a minute or two"
        )
        one.add_argument("--page", action="store_true", help="only write the page again, from the figures as they are")


def _texts(name: str) -> dict[str, Any]:
    before = "" if name == NAME else f"The old name of `{NAME}`. "
    return {
        "description": f"{before}Makes every detector's fp32 file, measures average precision on WIDER FACE's dev"
        " share and CPU milliseconds per picture with one thread, and writes converters/measurements/detectors.json and"
        " docs/detectors.md. Takes about a quarter of an hour; with --network the others keep their figures.",
        "epilog": f"Example: python -m converters evaluate {NAME} --network yunet --network centerface --limit 20",
    }


def run_by_old_name(args: argparse.Namespace) -> int:
    """Say the new name in one line, then do the same."""
    logger.warning("`evaluate %s` is called `evaluate %s` now; the old name still works", OLD_NAME, NAME)
    return run(args)


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write unless only a part was asked for."""
    # torch and both runtimes are behind these
    from converters.datasets.labelled import data_folder, photographs
    from converters.evaluation.all_detectors import make_detectors, measure
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
        field = measure(*make_detectors(names, Path(folder)), names, pictures, load() if args.cost else None)
    print(table(field))
    if args.limit is None:
        write_atomic(PAGE, page(save(field)).encode())
    return 0
