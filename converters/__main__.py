"""``python -m converters``: the workshop's command line."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword

from edgeface.errors import run_command

COMMANDS = (
    "list",
    "inspect",
    "probe",
    "calibrate",
    "build",
    "manifest",
    "verify",
    "try",
    "search",
    "time",
    "fetch",
    "evaluate",
    "compare",
    "card",
    "pack",
)
"""Commands, each a module of `converters.cli`; none of them imports torch before it runs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 done, 1 failed, 2 a wrong argument."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    return run_command(lambda: int(arguments.run(arguments) or 0))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m converters",
        description="The workshop: turns trained networks into bundles that edgeface runs, converted to ONNX and"
        " TFLite, quantized, measured and documented. `list` shows what it knows; `build NAME` makes it.",
        epilog="From a checkpoint of your own to a running device: docs/converting.md.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = f"{name}_" if iskeyword(name) else name
        import_module(f"converters.cli.{module}").register(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
