"""``time``: measure the CPU time of the shipped files on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.evaluation.timing import measure_bundle
from converters.measurements.speeds import record
from converters.paths import BUNDLE


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``time``."""
    speed = commands.add_parser(
        "time",
        help="measure the shipped files' CPU time on this machine",
        description="Runs every shipped file on its stored input, one thread, and writes the median CPU milliseconds"
        " to converters/measurements/speed.json; figures of other networks stay. The recipe's order of files and"
        " preferred runtime follow from it.",
    )
    speed.add_argument("networks", nargs="*", metavar="NETWORK", help="one of the bundle's (all of them)")
    speed.add_argument("--out", type=Path, default=BUNDLE, metavar="DIR", help="the bundle's folder (%(default)s)")
    speed.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure and write."""
    record(measure_bundle(arguments.out, arguments.networks))
    return 0
