"""``probe``: which pixels a network wants to see and what its answers mean, found out on labelled faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeface.errors import EdgefaceError, UsageError
from edgeface.files import write_atomic

if TYPE_CHECKING:
    from converters.probing.readings import Probed, Read
    from converters.probing.search import Prober
    from edgeface.bundle import AttributeHead, Input
    from edgeface.types import Task

FACES = 300
TASKS = ("age", "gender", "expression")


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
    EdgefaceError : in one line: no such file, no network for faces, no labelled faces; or nothing that was tried says
        more than one answer for all would, and no recipe is written
    """
    # torch and the readers take seconds, --help needs none of them
    from converters.probing.baseline import beats_one_answer, format_errors
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
    if not beats_one_answer(best.read, asked, faces.labels):
        raise EdgefaceError(
            f"nothing that was tried reads {file.name} surely better than one answer for all"
            f" ({format_errors(best.read, asked, faces.labels)}): no recipe is written",
            fix="is it asked the right --task? try more faces, or write its recipe by what its makers say",
        )
    also: dict[Task, AttributeHead] = {}
    for other, name in answered.items():
        if other != asked:
            extra, truth = _also(other, name, best.spec, found, data, limit)
            if beats_one_answer(extra, other, truth):
                also[other] = extra.head
                print(f"also answers {other} ({measure(extra)}): {extra.words}")
            else:
                print(f"{name} could answer {other} and does not ({format_errors(extra, other, truth)}): left out")
    recipe = complete(opened.recipe, asked, best.spec, best.read.head, also=also, detector=faces.finder.network.name)
    head = f"Written by `probe` on {len(faces.shown)} faces of {faces.sets}: {measure(best.read)}."
    write_atomic(path, recipe_text(recipe, path, head).encode())
    return path


def _also(
    task: Probed, output: str, spec: Input, found: Prober, data: Path | None, limit: int
) -> tuple[Read, list[dict[str, str]]]:
    """Read another answer of the same pass, under the setting that won; with the labels of the faces."""
    from converters.probing.faces import gather
    from converters.probing.readings import heads
    from converters.probing.search import Prober

    ways = heads(task, output, found.opened.outputs[output])
    faces = gather(task, data, limit=limit)
    return Prober(found.opened, task, output, ways, faces).row(spec).read, faces.labels
