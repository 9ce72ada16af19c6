"""What the protocols over all attribute networks of a bundle share: arguments, its files made ready, where to write."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.datasets.labelled import data_folder
from converters.datasets.layouts import FaceSet, find_faces
from converters.evaluation.labelled_people import EXACT, SETS
from converters.evaluation.report import COMMAND, count, progress
from converters.evaluation.stills import Stills, find_stills
from converters.evaluation.subject import Finder, Subject, detecting, shipped_subjects
from converters.formats.json_files import write_json
from converters.paths import build_folder, bundle_argument, open_any
from edgeface.bundle import Bundle
from edgeface.errors import UsageError
from edgeface.types import Task

EXPRESSIONS = "fer2013"
ALL_SETS = (*SETS, EXPRESSIONS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BundleRun:
    """A bundle whose files are ready, and who finds the faces for them."""

    bundle: Bundle
    finder: Finder
    subjects: Sequence[Subject]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """One set whose faces were found: who answers what of it."""

    faces: FaceSet
    able: Sequence[tuple[Subject, Sequence[Task]]]
    stills: Stills


def found_sets(run: BundleRun, args: argparse.Namespace) -> Iterator[Found]:
    """Every set that the arguments name and of which the bundle answers anything, its faces found."""
    for faces in sets_of(args, args.set):
        if able := answering(run, faces):
            stills = find_stills(run.finder, progress(faces.read(args.limit), faces.title))
            yield Found(faces=faces, able=able, stills=stills)


def add_bundle_arguments(parser: argparse.ArgumentParser, *, choose: bool = True, record: bool = True) -> None:
    """Add which bundle, files and faces; ``choose`` lets single networks and sets be named, ``record`` be recorded."""
    parser.add_argument("--data", metavar="DIR", help="folder of the labelled sets")
    parser.add_argument("--bundle", metavar="DIR", default="default", help="bundle, or one built network (%(default)s)")
    parser.add_argument("--runtime", choices=("onnx", "litert"), default="onnx", help="runtime (%(default)s)")
    parser.add_argument("--precision", metavar="P", help="files of this precision where a network has one")
    if choose:
        parser.add_argument("--network", action="append", metavar="NAME", help="only this network (repeatable)")
        parser.add_argument("--set", action="append", choices=ALL_SETS, help="only this set (repeatable)")
    if choose and record:
        parser.add_argument(
            "--record", action="store_true", help="also keep the figures for the card, in converters/measurements"
        )
    parser.add_argument("--limit", type=count, metavar="N", help="first N faces of each set only; nothing is recorded")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (build/evaluate/BUNDLE)")


def open_run(folder: str, args: argparse.Namespace, *, networks: Sequence[str] | None = None) -> BundleRun:
    """Make a bundle's files ready.

    Raises
    ------
    UsageError : no network of that name answers a question about a face, or the runtime has no file of any
    """
    bundle = open_any(folder)
    if not any(network.answers for network in bundle.manifest.networks):
        raise UsageError(f"no network in {folder} answers a question about a face", fix="name one with age, gender ...")
    finder = Finder(detecting(bundle, None), runtime=args.runtime)
    subjects = shipped_subjects(bundle, finder, runtime=args.runtime, precision=args.precision)
    names = [subject.network.name for subject in subjects]
    for name in networks or ():
        if name not in names:
            raise UsageError(f"there is no network '{name}' for this", fix=f"choose one of: {', '.join(names)}")
    if not subjects:
        raise UsageError(f"no network of the bundle has a file for {args.runtime}", fix="choose another --runtime")
    kept = [subject for subject in subjects if not networks or subject.network.name in networks]
    return BundleRun(bundle=bundle, finder=finder, subjects=kept)


def sets_of(args: argparse.Namespace, names: Sequence[str] | None = None) -> list[FaceSet]:
    """Sets of the data folder, in the order of `ALL_SETS`."""
    return find_faces(data_folder(args.data), [name for name in ALL_SETS if not names or name in names])


def is_exact(faces: FaceSet) -> bool:
    """Whether a set tells ages in years."""
    return faces.name == EXACT


def answering(run: BundleRun, faces: FaceSet) -> list[tuple[Subject, list[Task]]]:
    """Networks that answer anything of what a set asks, and what."""
    asked: tuple[Task, ...] = ("expression",) if faces.name == EXPRESSIONS else ("age", "gender")
    found = [(subject, [task for task in asked if task in subject.network.answers]) for subject in run.subjects]
    return [(subject, tasks) for subject, tasks in found if tasks]


def command_of_run(protocol: str, bundle: Bundle, args: argparse.Namespace) -> str:
    """Return the command that makes these figures again; the data's folder is the reader's own."""
    words = [COMMAND, protocol, f"--bundle {bundle_argument(bundle)}", f"--runtime {args.runtime}"]
    words += [f"--precision {args.precision}"] if args.precision else []
    words += [f"--limit {args.limit}"] if args.limit else []
    for name in ("network", "set"):
        words += [f"--{name} {value}" for value in getattr(args, name, None) or ()]
    return " ".join(words)


def write_report(
    protocol: str,
    bundle: Bundle,
    args: argparse.Namespace,
    report: object,
    keep: Callable[[], object] | None = None,
) -> None:
    """Write a report as JSON and say where; ``keep`` puts it on record, where that is asked for and all faces count."""
    words = [protocol, args.runtime, *([args.precision] if args.precision else [])]
    path = (args.out or build_folder() / "evaluate" / bundle.manifest.name) / ("-".join(words) + ".json")
    write_json(path, report)
    print(f"written: {path}", flush=True)
    if keep is not None and args.record and args.limit is None:
        keep()
