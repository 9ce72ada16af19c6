"""``python -m converters``: the workshop's command line."""

from __future__ import annotations

import errno
import logging
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword

from edgeface.cli.common import Parser
from edgeface.errors import EdgefaceError, run_command

COMMANDS = (
    "convert",
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
    "train",
    "pin",
    "fetch",
    "evaluate",
    "compare",
    "card",
    "pack",
)
"""Commands, each a module of `converters.cli`; none of them imports torch before it runs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 done, 1 failed, 2 a wrong argument."""
    return run_command(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    """Run a command; a disk that is full is a line, whichever library was writing."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return int(arguments.run(arguments) or 0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        place = error.filename or tempfile.gettempdir()
        raise EdgefaceError(f"{place} cannot be written: {error.strerror}", fix="free some room") from None


def _parser() -> Parser:
    parser = Parser(
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
