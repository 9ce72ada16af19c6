"""What the protocols of age and of gender share: UTKFace and FairFace, and the way from a folder to what was said."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from converters.datasets.layouts import FaceSet, find_faces
from converters.evaluation.attributes import Sample, samples
from converters.evaluation.report import add_arguments, folder_of, progress, subject_of
from converters.evaluation.subject import Subject

EXACT = "utkface"
"""The set that tells ages in years."""
SETS = (EXACT, "fairface")


def add_protocol(
    protocols: argparse._SubParsersAction[Any],
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    text: str,
    description: str,
    example: str,
) -> None:
    """Add a protocol on these sets; ``example`` is what follows its name on a command line."""
    parser = protocols.add_parser(
        name,
        help=text,
        description=description,
        epilog="Layouts: utkface-names ([age]_[gender]_[race]_[date].jpg), fairface-csv (fairface_label_val.csv and"
        f" folders), sheets. Example: python -m converters evaluate {name} {example}",
    )
    add_arguments(parser)
    parser.add_argument("--part", metavar="P", help="part of the sets (val)")
    parser.set_defaults(run=run)


def sample_sets(args: argparse.Namespace, task: str) -> tuple[Subject, list[tuple[FaceSet, list[Sample]]]]:
    """Put every set that the folder holds before the file that the arguments name: the file, and what it said."""
    sets = find_faces(folder_of(args), SETS, layout=args.layout, part=args.part)
    subject = subject_of(args, task)
    found = []
    for faces in sets:
        shown = progress(faces.read(args.limit), f"{subject.network.name} {faces.title}")
        found.append((faces, samples(subject.answer(shown), subject)))
    return subject, found
