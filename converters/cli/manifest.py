"""``manifest``: write a bundle's manifest again, from recipe, files and results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.bundles.build import refresh_manifest
from converters.bundles.recorded import recorded_path
from converters.paths import bundle_folder
from converters.recipes.reading import read_recipe
from edgeface.bundle import MANIFEST
from edgeface.files import write_atomic


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``manifest``."""
    manifest = commands.add_parser(
        "manifest",
        help="write a bundle's manifest again from recipe, files and results",
        description="Converts nothing: takes the files as they lie, and the figures of converters/measurements.",
    )
    manifest.add_argument("name", nargs="?", default="default", metavar="BUNDLE", help="its recipe (%(default)s)")
    manifest.add_argument("--out", type=Path, metavar="DIR", help="where the bundle lies")
    manifest.add_argument(
        "--record",
        action="store_true",
        help="also keep it beside the bundle's recipe, as the hashes and figures to expect (for bundles whose files are"
        " not committed)",
    )
    manifest.set_defaults(run=_manifest)


def _manifest(arguments: argparse.Namespace) -> int:
    recipe = read_recipe(arguments.name)
    folder = arguments.out or bundle_folder(recipe.bundle)
    refresh_manifest(recipe, folder)
    if arguments.record:
        write_atomic(recorded_path(recipe.bundle.name), (folder / MANIFEST).read_bytes())
    return 0
