"""``list``: which recipes there are."""

from __future__ import annotations

import argparse
import json
from typing import Any

from converters.checkpoints.archive import origin
from converters.paths import products_folder
from converters.recipes.reading import list_recipes, list_variants, read_network, read_recipe
from converters.recipes.schema import NetworkRecipe
from edgeface.cli.common import columns


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``list``."""
    listing = commands.add_parser(
        "list",
        help="show every network and bundle that there is a recipe for",
        description="Prints each network's recipe with its task, family, weights and files, its variants (build one as"
        " NAME@VARIANT), whether it is built, and the bundles.",
        epilog="example: python -m converters list --task detect",
    )
    listing.add_argument("--task", metavar="TASK", help="only networks that answer this: detect, age, gender ...")
    listing.add_argument("--json", action="store_true", help="JSON on standard output")
    listing.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    rows = []
    for name in list_recipes("networks"):
        _, network = read_network(name)
        if arguments.task in (None, network.task, *network.also):
            rows.append(_row(name, network))
    bundles = {name: list(read_recipe(name).networks) for name in list_recipes("bundles")}
    if arguments.json:
        print(json.dumps({"networks": rows, "bundles": bundles}, indent=2))
        return 0
    heads = ("network", "task", "family", "weights", "files", "built")
    table = [heads, *(tuple(str(row[head]) for head in heads) for row in rows)]
    for row, line in zip([None, *rows], columns(table), strict=True):
        print(line)
        if row and row["variants"]:
            print(f"  variants: {', '.join(row['variants'])}")
    for name, networks in bundles.items():
        print(f"bundle {name}: {', '.join(networks)}")
    return 0


def _row(name: str, network: NetworkRecipe) -> dict[str, Any]:
    source = network.source
    weights = "random" if network.random else origin(source) if source is not None else "own file"
    return {
        "network": name,
        "task": "+".join([network.task, *network.also]),
        "family": network.family or "passes through",
        "weights": weights,
        "files": " ".join(f"{runtime}:{','.join(kinds)}" for runtime, kinds in network.files.items()),
        "built": "yes" if (products_folder() / name / "network.json").is_file() else "",
        "variants": list_variants(name),
    }
