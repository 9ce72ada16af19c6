"""``verify``: hold every file against the network it was made from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.building.parity import format_parity, off_by, verify_bundle
from converters.paths import bundle_folder, open_any, products_folder
from converters.recipes.reading import is_bundle, read_recipe


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``verify``."""
    verify = commands.add_parser(
        "verify",
        help="compare every file of a bundle with the network it was made from",
        description="Runs the source (the torch module with its pinned checkpoint, or the file that passed through)"
        " beside every file, at every prepared size and batch, on real and random pixels, and says how far each file is"
        " off. Fails when one is off by more than its tolerance.",
        epilog="example: python -m converters verify default",
    )
    verify.add_argument("name", nargs="?", default="default", metavar="BUNDLE", help="its recipe (%(default)s)")
    verify.add_argument("--folder", type=Path, metavar="DIR", help="where the bundle lies")
    verify.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print one line per file; EdgefaceError when one is off."""
    recipe = read_recipe(arguments.name)
    folder = products_folder() / recipe.bundle.name
    if is_bundle(arguments.name):
        folder = bundle_folder(recipe.bundle)
    bundle = open_any(str(arguments.folder or folder), allow_random=True)
    bad = []
    for parity in verify_bundle(recipe, bundle):
        print(format_parity(parity), flush=True)
        bad += [] if parity.holds else [parity]
    if bad:
        raise off_by(recipe, bundle, bad[0])
    return 0
