"""A recipe without labelled faces: what the file tells, what a known network of its kind has, and what is usual.

None of it is tried. What was assumed is said, so that somebody can correct it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from converters.inspection.metadata_labels import metadata_labels
from converters.probing.opening import Opened, open_file
from converters.probing.readings import Probed, heads, tasks_of
from converters.probing.writing import complete
from converters.recipes.reading import list_recipes, list_variants, read_network
from converters.recipes.schema import NetworkRecipe
from edgeface.bundle import AttributeHead, Input, SquareCrop
from edgeface.errors import EdgefaceError, UsageError

USUAL_SCALE = 1 / 255


class Assumed(NamedTuple):
    """A recipe, and what in it nobody told, in words."""

    recipe: NetworkRecipe
    words: tuple[str, ...]


def assume(
    file: Path,
    detectors: Sequence[str],
    *,
    task: Probed | None = None,
    labels: Sequence[str] = (),
    family: str | None = None,
) -> Assumed:
    """Write down what can be known of a file without labelled faces.

    Parameters
    ----------
    detectors : that can find its faces; the first is the one that its crop is for, unless another is known to fit
    labels : the order that somebody knows; empty for what the file tells

    Raises
    ------
    UsageError : it does not answer the task, or nobody knows its labels
    CheckpointError : it cannot be read
    """
    opened = open_file(file, family=family)
    answered = tasks_of(opened.outputs, file.name)
    asked = task or next(iter(answered))
    if asked not in answered:
        raise UsageError(f"{file.name} does not answer {asked}", fix=f"its answers fit {' and '.join(answered)}")
    known = _known(opened, asked)
    held = _held_labels(file, opened, asked, answered[asked]) if not labels else ()
    words: list[str] = []
    if known is None:
        spec, head = _usual(opened), _head(file, opened, asked, answered[asked], labels or held, words)
        words.insert(0, f"{spec.color} pixels from 0 to 1, a square crop around the box")
        return Assumed(complete(opened.recipe, asked, spec, head, also={}, detector=detectors[0]), tuple(words))
    name, like = known
    words.append(f"pixels, crop{'' if labels or held else ' and the reading of its answers'} as {name} has them")
    own: AttributeHead = like.head if like.task == asked else like.also[asked]  # type: ignore[assignment]
    if labels or held:
        own = _head(file, opened, asked, own.output, labels or held, words)
    detector = next((one for one in detectors if one in like.measured_with), detectors[0])
    return Assumed(complete(opened.recipe, asked, like.input, own, also={}, detector=detector), tuple(words))


def _known(opened: Opened, asked: Probed) -> tuple[str, NetworkRecipe] | None:
    """A recipe of ours for the same family, options and question, with its name."""
    if opened.recipe.family is None:
        return None
    for name in list_recipes("networks"):
        for form in (name, *(f"{name}@{variant}" for variant in list_variants(name))):
            recipe = read_network(form)[1]
            same = (recipe.family, recipe.options) == (opened.recipe.family, opened.recipe.options)
            if same and asked in (recipe.task, *recipe.also) and recipe.input.crop is not None:
                return form, recipe
    return None


def _usual(opened: Opened) -> Input:
    spec = opened.recipe.input
    return msgspec.structs.replace(spec, mean=(0.0,) * opened.channels, scale=USUAL_SCALE, crop=SquareCrop())


def _held_labels(file: Path, opened: Opened, asked: Probed, output: str) -> Sequence[str]:
    """Labels that the file carries, if they are words of the question."""
    held = metadata_labels(file.read_bytes(), file.name) if asked != "age" else ()
    try:
        heads(asked, output, opened.outputs[output], held)
    except EdgefaceError:
        return ()
    return held


def _head(
    file: Path, opened: Opened, asked: Probed, output: str, labels: Sequence[str], words: list[str]
) -> AttributeHead:
    ways = heads(asked, output, opened.outputs[output], labels)
    first, *others = ways.items()
    if others and asked != "age":
        raise UsageError(
            f"{file.name} does not tell which of its answers is which {asked}",
            fix="give --labels A,B,... in the order of its outputs, or --data DIR with labelled faces, which finds out",
        )
    if others:
        words.append(first[0])
    return first[1]
