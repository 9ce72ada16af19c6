"""``search``: find the layers that must stay float in int8, and write the lock beside the recipe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from converters.formats.json_files import write_json
from converters.paths import BUNDLE, build_folder
from converters.quantization.search import search, table
from converters.quantization.search_state import State, read_lock
from converters.recipes.reading import lock_path, read_recipe, recipe_path
from converters.recipes.schema import Quantize
from edgeface.errors import UsageError


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``search``."""
    command = commands.add_parser(
        "search",
        help="find the layers that must stay float in int8",
        description="Tries moving average against least-and-largest ranges, with and without cross-layer equalisation,"
        " ranks the layers by how far the outputs move when each alone is quantized, lets the worst stay float until"
        " the tolerance holds, and lets those back into int8 that it holds without. Looks at one half of the dev"
        " pictures and reports on the other. Writes NAME.lock.json beside the recipe and the ranges that belong to it."
        " Takes minutes to hours; stopped with Ctrl-C it goes on where it was.",
        epilog="example: python -m converters search retinaface --tolerance 0.8 --data faces",
    )
    command.add_argument("name", metavar="RECIPE", help="a network's recipe")
    command.add_argument(
        "--tolerance", type=float, required=True, metavar="T", help="allowed loss: points, or years for age"
    )
    command.add_argument("--runtime", choices=("onnx", "litert"), help="one runtime only")
    command.add_argument("--data", type=Path, metavar="DIR", help="folder of the labelled data")
    command.add_argument("--again", action="store_true", help="forget what an earlier search found")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from converters.building.maker import Maker
    from converters.export.ranges import write_ranges
    from converters.quantization.calibrate import measure as calibrated
    from converters.quantization.calibrate import quantized_runtimes
    from converters.quantization.compare_variants import Crops  # --help needs no pictures
    from converters.quantization.search_subject import Subject

    recipe = read_recipe(arguments.name)
    if len(recipe.networks) != 1:
        raise UsageError(f"{arguments.name} is a bundle", fix="search one network at a time")
    name = next(iter(recipe.networks))
    maker = Maker(name, recipe)
    lock = lock_path(recipe_path(arguments.name.partition("@")[0]), name)
    crops = Crops(BUNDLE, data=arguments.data)
    for runtime in quantized_runtimes(maker):
        if arguments.runtime in (None, runtime):
            state = State(build_folder() / "search" / f"{name}.{runtime}.json", again=arguments.again)
            subject = Subject(maker, recipe, runtime, crops, state, data=arguments.data)
            found = search(subject.schemes, subject.layers, subject.measure, subject.sensitivity, arguments.tolerance)
            found = msgspec.structs.replace(found, decide=subject.decide(found.quantize))
            print(table(name, runtime, found))
            settled = {**read_lock(lock), runtime: found}
            # Both runtimes' ranges lie in one file; what was not searched stays as the recipe has it. They come first:
            # a lock without its ranges would stop every build.
            chosen = {
                one: settled[one].quantize if one in settled else maker.network.quantize.get(one, Quantize())
                for one in quantized_runtimes(maker)
            }
            write_ranges(maker.ranges, calibrated(maker, chosen, data=arguments.data))
            write_json(lock, settled, order="sorted")
    print(lock)
    return 0
