"""``probe``: which pixels a network wants to see and what its answers mean, found out on labelled faces."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeface.errors import UsageError
from edgeface.files import write_atomic

if TYPE_CHECKING:
    from converters.probing.readings import Probed, Read
    from converters.probing.search import Prober
    from edgeface.bundle import AttributeHead, Input
    from edgeface.types import Task

FACES = 300
TASKS = ("age", "gender", "expression")


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
    probe.add_argument("--labels", type=_words, default=(), metavar="A,B,C", help="the label order, if you know it")
    probe.add_argument("--family", metavar="NAME", help="the network that a checkpoint is of (default: found out)")
    probe.set_defaults(run=_run)


def _words(text: str) -> tuple[str, ...]:
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


def probe(
    file: Path,
    *,
    task: Probed | None = None,
    data: Path | None = None,
    limit: int = FACES,
    out: Path | None = None,
    labels: Sequence[str] = (),
    family: str | None = None,
) -> Path:
    """Try settings of a network, print what came of them, and write its recipe; the path of that.

    Raises
    ------
    EdgefaceError : in one line: no such file, no network for faces, no labelled faces
    """
    # torch and the readers take seconds, --help needs none of them
    from converters.probing.faces import gather
    from converters.probing.opening import open_file
    from converters.probing.readings import heads, tasks_of
    from converters.probing.reporting import measure, report
    from converters.probing.search import search
    from converters.probing.writing import complete, place, recipe_text

    path = place(file, out)
    opened = open_file(file, family=family)
    answered = tasks_of(opened.outputs, file.name)
    asked = task or next(iter(answered))
    if asked not in answered:
        raise UsageError(f"{file.name} does not answer {asked}", fix=f"its answers fit {' and '.join(answered)}")
    output = answered[asked]
    ways = heads(asked, output, opened.outputs[output], labels)
    faces = gather(asked, data, limit=limit)
    found = search(opened, asked, output, ways, faces)
    best = found.winner
    print("\n".join(report(found)))
    also: dict[Task, AttributeHead] = {}
    for other, name in answered.items():
        if other != asked:
            said = _also(other, name, best.spec, found, data, limit)
            also[other] = said.head
            print(f"also answers {other} ({measure(said)}): {said.words}")
    recipe = complete(opened.recipe, asked, best.spec, best.read.head, also=also, detector=faces.finder.network.name)
    head = f"Written by `probe` on {len(faces.shown)} faces of {faces.sets}: {measure(best.read)}."
    write_atomic(path, recipe_text(recipe, path, head).encode())
    return path


def _also(task: Probed, output: str, spec: Input, found: Prober, data: Path | None, limit: int) -> Read:
    """Read another answer of the same pass, under the setting that won."""
    from converters.probing.faces import gather
    from converters.probing.readings import heads
    from converters.probing.search import Prober

    ways = heads(task, output, found.opened.outputs[output])
    return Prober(found.opened, task, output, ways, gather(task, data, limit=limit)).row(spec).read
