"""``edgeface``: finds the command and runs it.

Only what is light is imported before signals are caught: on a small board the rest takes seconds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeface import __version__
from edgeface.errors import EdgefaceError, run_command
from edgeface.service.signals import Signals

if TYPE_CHECKING:
    import argparse


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all commands."""
    from edgeface.cli import (
        aim,
        analyze,
        audit,
        bench,
        cameras,
        config,
        discovery,
        doctor,
        models,
        privacy,
        provision,
        report,
        run,
        tune,
        watch,
    )
    from edgeface.cli.common import Parser

    parser = Parser(
        prog="edgeface",
        description="Follows the people before a camera, estimates apparent age, gender and expression on the device "
        "itself, and publishes events over MQTT. No pictures leave.",
    )
    parser.add_argument("--version", action="version", version=f"edgeface {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for command in (
        run,
        analyze,
        watch,
        audit,
        cameras,
        models,
        config,
        privacy,
        discovery,
        bench,
        tune,
        doctor,
        report,
        aim,
        provision,
    ):
        command.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; exit code 0 done, 1 a failed run, 2 usage or configuration, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda: _run(words))


def _run(words: Sequence[str]) -> int:
    _open_standard_streams()
    signals = Signals(os.environ)
    if words[:1] == ["run"]:
        signals.catch()
    else:
        signals.interruptible()
    for stream in (sys.stdout, sys.stderr):
        # Names of files and words of other people are printed: what the terminal's encoding lacks is no failure.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    args = build_parser().parse_args(words)
    if sys.stdout is None and args.command != "run":
        raise EdgefaceError("standard output is closed", fix="give it a file or /dev/null")
    args.signals = signals
    return int(args.run(args))


def _open_standard_streams() -> None:
    """Put /dev/null where a standard stream is closed.

    A camera's or the broker's connection would take its number, and get what libraries print.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    sys.exit(main())
