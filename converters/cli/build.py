"""``build``: make networks or bundles from their recipes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.bundles.build import build
from converters.bundles.plan import format_plans, plan
from converters.recipes.reading import is_bundle, read_recipe
from edgeface.errors import UsageError


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``build``."""
    build = commands.add_parser(
        "build",
        help="make networks or bundles from their recipes",
        description="Makes what recipes say: NAME is a network (its files go to build/networks/NAME), a network's"
        " variant (mobilenet-v1@w050), a bundle (default goes to models/default, others to build/bundles/NAME), or the"
        " path of your own recipe. Nothing is searched and no pictures are needed: weights come from the pinned source,"
        " int8 ranges from the committed file that `calibrate` wrote. What was made before and has not changed is kept,"
        " so a build that was stopped goes on where it was.",
        epilog="example: python -m converters build gender-v1",
    )
    build.add_argument("names", nargs="*", default=["default"], metavar="NAME", help="recipes (default: the bundle)")
    build.add_argument("--out", type=Path, metavar="DIR", help="where a single bundle or network goes instead")
    build.add_argument("--dry-run", action="store_true", help="only say the steps, downloads, memory and disk")
    build.add_argument("--again", action="store_true", help="make everything anew")
    build.add_argument("--jobs", type=_count, metavar="N", help="conversions at once (default: by memory and cores)")
    build.set_defaults(run=_build)


def _build(arguments: argparse.Namespace) -> int:
    recipes = [read_recipe(name) for name in arguments.names]
    if arguments.out is not None and len(recipes) > 1:
        raise UsageError("--out takes one recipe, not several", fix="name one, or leave --out away")
    if arguments.dry_run:
        print(format_plans([plan(recipe) for recipe in recipes]))
        return 0
    for name, recipe in zip(arguments.names, recipes, strict=True):
        folder = build(recipe, arguments.out, is_bundle=is_bundle(name), again=arguments.again, jobs=arguments.jobs)
        print(folder)
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("expected a number from 1 up")
    return int(text)
