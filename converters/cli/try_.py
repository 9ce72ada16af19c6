"""``try``: measure what quantized variants of a network lose against fp32."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.measurements.trials import record
from converters.paths import BUNDLE
from converters.quantization.judge import judge_network
from converters.recipes.reading import read_recipe

if TYPE_CHECKING:
    pass


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``try``."""
    command = commands.add_parser(
        "try",
        help="measure what smaller forms of a network lose against fp32",
        description="Makes the forms that a recipe names under files and try, runs them and fp32 through the device's"
        " runtimes on all validation pictures of the task, and prints what each loses with its 95 % interval, over all"
        " and by group. A form ships only if its trial keeps the limit of recipes/workshop.toml.",
        epilog="example: python -m converters try gender-v1 --data faces",
    )
    command.add_argument("names", nargs="+", metavar="NAME", help="network recipes")
    command.add_argument("--data", type=Path, metavar="DIR", help="folder of the labelled data")
    command.add_argument("--limit", type=_several, metavar="N", help="the first N pictures; nothing goes on record")
    command.add_argument("--runtime", choices=("onnx", "litert"), help="one runtime only")
    command.set_defaults(run=_run)


def _several(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError("expected a number from 2 up")  # both halves want one
    return int(text)


def _run(arguments: argparse.Namespace) -> int:
    from converters.quantization.compare_variants import Crops  # `build` and --help need no pictures

    crops = Crops(BUNDLE, data=arguments.data, limit=arguments.limit)
    for recipe_name in arguments.names:
        recipe = read_recipe(recipe_name)
        for name in recipe.networks:
            done = list(judge_network(name, recipe, crops, runtime=arguments.runtime))
            if arguments.limit is None:
                record(done)
    return 0
