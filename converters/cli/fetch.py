"""``fetch``: the pinned archives that a build needs, before it is without a network."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from converters.checkpoints.archive import read_source
from converters.recipes.reading import read_recipe
from edgeface.files import write_atomic

logger = logging.getLogger(__name__)


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``fetch``."""
    fetch = commands.add_parser(
        "fetch",
        help="fetch the pinned archives into .cache/packages",
        description="Fetches what `build` would fetch, checks every sha256, and converts nothing. With --out the files"
        " themselves are written there, too, to look at them or to start a recipe of your own from.",
        epilog="example: python -m converters fetch face-api-age --out weights",
    )
    fetch.add_argument("names", nargs="*", default=["default"], metavar="NAME", help="recipes (default: the bundle)")
    fetch.add_argument("--out", type=Path, metavar="DIR", help="also write the files out of the archives there")
    fetch.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fetch and say what came."""
    for name in arguments.names:
        for network, recipe in read_recipe(name).networks.items():
            if recipe.source is not None and not recipe.random:
                data, companions = read_source(recipe.source)
                if arguments.out is not None:
                    for path, content in {recipe.source.path: data, **companions}.items():
                        write_atomic(arguments.out / Path(path).name, content)
                logger.info("%s: %s, %s bytes", network, recipe.source.path, f"{len(data):,}")
    return 0
