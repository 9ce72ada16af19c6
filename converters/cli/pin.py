"""``pin``: keep weights that were trained here, and name them in their network's recipe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``pin``."""
    command = commands.add_parser(
        "pin",
        help="keep weights that were trained here, and name them in their network's recipe",
        description="Copies FILE and the record beside it to converters/weights, under the name that the recipe's"
        " [source] gives, and writes its sha256 there. A file that does not fit the network is refused."
        " scripts/renew does this and all that follows from it.",
        epilog="example: python -m converters pin expression-compact build/train/mine/mine.safetensors",
    )
    command.add_argument("name", metavar="NAME", help="the network's recipe, or NAME@VARIANT")
    command.add_argument("file", type=Path, metavar="FILE", help="the weights, .safetensors")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Keep and pin."""
    from converters.building.pinning import pin

    for path in pin(arguments.name, arguments.file):
        print(path)
    return 0
