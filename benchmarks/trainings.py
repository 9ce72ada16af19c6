"""The variants of a training recipe side by side: each is trained, one after another, and all stand in one table.

    python -m benchmarks.trainings RECIPE [VARIANT ...] --data DIR --out DIR [--cache DIR] [--table]

Without VARIANT all that the recipe has, and itself, which stands first. What is finished is not trained again and what
was stopped goes on, so the same line again goes on where it was. A row has the figures at the end of a training, after
the rate has fallen, not the best of its curve: so no row gains by having been looked at more often.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from converters.train.recipe import Training, read_training
from converters.train.record import Record
from converters.train.session import STATE
from edgeface.errors import EdgefaceError

PLAIN = "plain"
"""What the recipe itself is called in the table."""
ROUNDING = 0.01
"""Epochs by which a whole number of steps may fall short of the schedule."""


def arms(recipe: str, wanted: Sequence[str]) -> list[tuple[str, Training]]:
    """(variant, training) of a recipe; UsageError for a variant that it does not have."""
    plain = read_training(recipe)
    names = wanted or [PLAIN, *plain.variants]
    return [(name, plain if name == PLAIN else read_training(f"{recipe}@{name}")) for name in names]


def finished(training: Training, folder: Path) -> Record | None:
    """Return the record of a training that came to its end."""
    path = folder / f"{training.name}.json"
    if not path.is_file():
        return None
    record = msgspec.json.decode(path.read_bytes(), type=Record)
    return record if record.epochs > training.recipe.schedule.epochs - ROUNDING else None


def train(recipe: str, name: str, folder: Path, options: Sequence[str]) -> bool:
    """Train one variant in a process of its own, or go on with it; whether it came to its end."""
    words = [recipe if name == PLAIN else f"{recipe}@{name}", "--out", str(folder), *options]
    if (folder / STATE).is_file():
        words.append("--resume")
    return subprocess.run([sys.executable, "-m", "converters", "train", *words], check=False).returncode == 0


def table(records: Sequence[tuple[str, Training, Record]]) -> Iterator[str]:
    """Lines of the table: the figures of the recipe's score at the end of each training, and what it took."""
    if not records:
        return
    figures = list(records[0][1].recipe.validation.score)
    yield f"| variant | {' | '.join(figures)} | epochs | core-minutes |"
    yield "|---" * (3 + len(figures)) + "|"
    for name, _, record in records:
        cells = [f"{record.curve[-1]['figures'][figure]:.1f}" for figure in figures]
        yield f"| {name} | {' | '.join(cells)} | {record.epochs:g} | {60 * record.core_hours:.1f} |"


def main() -> None:
    """Train what is not trained yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", metavar="RECIPE")
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help=f"{PLAIN}: the recipe itself")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the labelled data")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="as of `train`")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the runs lie, a folder each")
    parser.add_argument("--table", action="store_true", help="train nothing, only print what is finished")
    args = parser.parse_args()
    options = [f"--{name}={value}" for name in ("data", "cache") if (value := getattr(args, name))]
    try:
        chosen = [(name, training, args.out / training.name) for name, training in arms(args.recipe, args.variants)]
        failed = [
            name
            for name, training, folder in chosen
            if not args.table and finished(training, folder) is None and not train(args.recipe, name, folder, options)
        ]
    except EdgefaceError as error:
        parser.error(str(error))
    found = [(name, training, finished(training, folder)) for name, training, folder in chosen]
    print("\n".join(table([(name, training, record) for name, training, record in found if record is not None])))
    if failed:
        parser.exit(1, f"not at their end: {', '.join(failed)}; the same line again goes on with them\n")


if __name__ == "__main__":
    main()
