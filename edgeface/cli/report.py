"""``edgeface report``: one file to attach to a bug report."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgeface.cli.common import add_bundle_option, add_config_options
from edgeface.cli.doctor import make_node
from edgeface.errors import UsageError
from edgeface.files import look


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "report",
        help="write one text file to attach to a bug report, without secrets and pictures",
        description="Writes what `edgeface doctor` finds, versions, the configuration in force, the latest health and "
        "the end of the log into one text file. Passwords are masked, and there is no picture in it.",
    )
    parser.add_argument("--out", metavar="FILE", help="where to write it (default: edgeface-report-NODE-TIME.txt here)")
    add_config_options(parser)
    add_bundle_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the file and say where it is.

    Raises
    ------
    UsageError : ``--out`` is a folder, or lies in one that is not there; before anything is asked
    """
    if args.out is not None:
        _expect_place(Path(args.out))
    from edgeface.diagnosis.checks import examine
    from edgeface.diagnosis.report import ADVICE, compose
    from edgeface.files import write_atomic

    node = make_node(args)
    now = datetime.now(timezone.utc)
    path = Path(args.out or f"edgeface-report-{node.id}-{now:%Y%m%d-%H%M%S}.txt")
    write_atomic(path, compose(node, list(examine(node))).encode())
    print(f"{path} is written. {ADVICE}")
    return 0


def _expect_place(path: Path) -> None:
    if look(path) == "folder":
        raise UsageError(f"--out {path} is a folder", fix="give the name of a file in it")
    if look(path.parent) != "folder":
        raise UsageError(f"--out {path}: there is no folder {path.parent}", fix="make it first, or name another")
