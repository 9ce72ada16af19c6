"""``edgeface``: finds the command and runs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from edgeface import __version__
from edgeface.cli import analyze, bench, cameras, config, models, run, watch
from edgeface.cli.common import Parser
from edgeface.errors import run_command

COMMANDS = (run, analyze, watch, cameras, models, config, bench)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all commands."""
    parser = Parser(
        prog="edgeface",
        description="Follows the people before a camera, estimates apparent age, gender and expression on the device "
        "itself, and publishes events over MQTT. No pictures leave.",
    )
    parser.add_argument("--version", action="version", version=f"edgeface {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; exit code 0 done, 1 a failed run, 2 usage or configuration, 130 interrupted."""
    args = build_parser().parse_args(argv)
    return run_command(lambda: args.run(args))


if __name__ == "__main__":
    sys.exit(main())
