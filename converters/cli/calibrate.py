"""``calibrate``: measure the ranges that int8 files need."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.building.maker import Maker
from converters.export.ranges import write_ranges
from converters.quantization.calibrate import measure, quantized_runtimes
from converters.recipes.reading import read_recipe
from converters.recipes.schema import Quantize
from edgeface.errors import UsageError


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``calibrate``."""
    command = commands.add_parser(
        "calibrate",
        help="measure the ranges that int8 files need",
        description="Runs the fp32 files of a network on training pictures and writes each tensor's range, rounded to"
        " four significant digits, to recipes/ranges/NAME.ranges.json, or beside a recipe of your own, with the"
        " pictures' hash, the seed and the method. `build` reads only that file. Calibrate again when the network, its"
        " options or its input change; every signature of a TFLite file is calibrated by itself.",
        epilog="example: python -m converters calibrate yunet --data faces",
    )
    command.add_argument("names", nargs="+", metavar="NAME", help="network recipes")
    command.add_argument("--data", type=Path, metavar="DIR", help="folder of the labelled data")
    command.add_argument(
        "--pictures", type=Path, metavar="DIR", help="folder of your own pictures instead, at least 32"
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="where to write instead (one NAME)")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.out is not None and len(arguments.names) > 1:
        raise UsageError("--out takes one network, not several", fix="name one, or leave --out away")
    if arguments.pictures is not None and not arguments.pictures.is_dir():
        raise UsageError(f"there is no folder {arguments.pictures}", fix="give a folder of pictures")
    for recipe_name in arguments.names:
        recipe = read_recipe(recipe_name)
        for name, network in recipe.networks.items():
            maker = Maker(name, recipe)
            ways = {runtime: network.quantize.get(runtime, Quantize()) for runtime in quantized_runtimes(maker)}
            found = measure(maker, ways, data=arguments.data, pictures=arguments.pictures)
            path = arguments.out or maker.ranges
            write_ranges(path, found)
            print(path)
    return 0
