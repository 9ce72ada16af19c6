"""``train``: train a network by a recipe."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from converters.paths import build_folder
from edgeface.errors import UsageError


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``train``."""
    command = commands.add_parser(
        "train",
        help="train a network by a recipe",
        description="Trains what a recipe says, of recipes/training or of your own by path, on labelled faces; writes"
        " the best weights by validation, a record and a curve to build/train/NAME. SIGTERM and Ctrl-C lose nothing:"
        " --resume goes on, bit by bit as if nothing had been. --resume FILE goes on elsewhere, from a small"
        " checkpoint such as NAME.last.safetensors. Several processes: torchrun --nproc-per-node N -m converters"
        " train ...",
        epilog="example: python -m converters train expression-fer2013 --data faces",
    )
    command.add_argument("name", metavar="RECIPE", help="a training recipe")
    command.add_argument("--data", type=Path, metavar="DIR", help="folder of the labelled data")
    command.add_argument("--out", type=Path, metavar="DIR", help="where the run lies (default: build/train/RECIPE)")
    command.add_argument("--cache", type=Path, metavar="DIR", help="where cropped faces are kept, pictures of people")
    command.add_argument("--resume", nargs="?", const=True, metavar="FILE", help="go on with it, or from a checkpoint")
    command.add_argument("--dry-run", action="store_true", help="only say the faces, the steps and the time")
    command.add_argument("--minutes", type=float, metavar="N", help="end, annealed, after so many")
    command.add_argument("--threads", type=int, default=1, metavar="N", help="of each process (default: 1)")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    import msgspec
    import torch

    from converters.datasets.labelled import data_folder
    from converters.train.dry_run import describe
    from converters.train.prepare import prepare
    from converters.train.processes import processes
    from converters.train.recipe import read_training
    from converters.train.session import train

    if arguments.threads < 1 or (arguments.minutes is not None and arguments.minutes <= 0):
        raise UsageError("--threads and --minutes are above 0", fix="give another number")
    training = read_training(arguments.name)
    if arguments.minutes is not None:
        schedule = msgspec.structs.replace(training.recipe.schedule, minutes=arguments.minutes)
        training = msgspec.structs.replace(training, recipe=msgspec.structs.replace(training.recipe, schedule=schedule))
    torch.set_num_threads(arguments.threads)
    data = data_folder(str(arguments.data) if arguments.data else None) if _needs_data(training) else arguments.data
    folder = arguments.out or build_folder() / "train" / training.name
    cache = arguments.cache or default_cache()
    with processes() as group, _flushed():
        if training.recipe.memory is not None:
            return _study(training, arguments, data, cache, folder, group)
        kept = None if arguments.dry_run else folder
        prepared = prepare(training, data=data, cache=cache, folder=kept, processes=group)
        if arguments.dry_run:
            for line in describe(prepared):
                print(line, flush=True)
            return 0
        resumed = arguments.resume is not None
        weights = Path(arguments.resume) if isinstance(arguments.resume, str) else None
        found = train(prepared, folder, data=data, resume=resumed, weights=weights, told=_tell)
        if group.first:
            print(found)
    return 0


def _study(
    training: Any, arguments: argparse.Namespace, data: Path | None, cache: Path, folder: Path, group: Any
) -> int:
    from converters.train.study import prepare_study
    from converters.train.study_session import describe_study, run_study

    if isinstance(arguments.resume, str):
        raise UsageError("a study goes on in its own folder", fix="give --resume without a file")
    study = prepare_study(training, data=data, cache=cache, processes=group)
    if arguments.dry_run:
        for line in describe_study(study):
            print(line, flush=True)
        return 0
    print(run_study(study, folder, data=data, resume=arguments.resume is not None, told=_tell))
    return 0


def default_cache() -> Path:
    """Where cropped faces are kept, outside any repository."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "edgeface" / "faces"


def _needs_data(training: Any) -> bool:
    recipe = training.recipe
    return any(not one.folder for one in (*recipe.data, *recipe.validation.sets))


def _tell(line: str) -> None:
    print(f"\r{line}" if sys.stderr.isatty() else line, file=sys.stderr, flush=True)


@contextmanager
def _flushed() -> Iterator[None]:
    """Values below what a float holds exactly count as zero meanwhile: their arithmetic is many times slower."""
    import torch

    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
