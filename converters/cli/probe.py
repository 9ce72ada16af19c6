"""``probe``: find out what a file wants to see, and write its recipe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.probing.probe import FACES, TASKS, probe


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``probe``."""
    probe = commands.add_parser(
        "probe",
        help="find out a file's scale, colours, labels and crop on labelled faces, and write its recipe",
        description="People rarely know how their own file wants to see a face. FILE is an .onnx or .tflite, or a"
        " checkpoint of a network known here (`inspect` says which). Its number of answers says what it can be asked;"
        " then every scale, colour order, label order and crop is tried on labelled faces (FER-2013 as whole chips and"
        " found by the detector; UTKFace and FairFace found by the detector), the table printed with how sure it is,"
        " and a recipe written that `build` takes. What no face can tell (title, licence, training data) is left for"
        " you to correct in it.",
        epilog="example: python -m converters probe my-gender.onnx --data faces --out my-gender.toml",
    )
    probe.add_argument("file", type=Path, metavar="FILE", help="a network or a checkpoint")
    probe.add_argument("--task", choices=TASKS, help="what it is asked (default: what its number of answers says)")
    probe.add_argument("--data", type=Path, metavar="DIR", help="folder of the labelled faces")
    probe.add_argument("--limit", type=int, default=FACES, metavar="N", help="faces to look at (%(default)s)")
    probe.add_argument(
        "--out", type=Path, metavar="RECIPE.toml", help="where the recipe goes (default: by FILE's name)"
    )
    probe.add_argument(
        "--labels", type=split_labels, default=(), metavar="A,B,C", help="the label order, if you know it"
    )
    probe.add_argument("--family", metavar="NAME", help="the network that a checkpoint is of (default: found out)")
    probe.set_defaults(run=_run)


def split_labels(text: str) -> tuple[str, ...]:
    """Labels between commas."""
    return tuple(word.strip() for word in text.split(","))


def _run(arguments: argparse.Namespace) -> int:
    path = probe(
        arguments.file,
        task=arguments.task,
        data=arguments.data,
        limit=arguments.limit,
        out=arguments.out,
        labels=arguments.labels,
        family=arguments.family,
    )
    print(f"{path}: `python -m converters build {path}` makes it; correct its words first")
    return 0
