"""What ``probe`` found, as a recipe that ``build`` takes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from converters.recipes.reading import NAME
from converters.recipes.schema import BundleRecipe, NetworkRecipe, own_module
from edgeface.bundle import AttributeHead, Input
from edgeface.config import to_toml
from edgeface.errors import UsageError
from edgeface.types import Task

UNSTATED = "not stated; correct this"


def complete(
    opened: NetworkRecipe,
    task: Task,
    spec: Input,
    head: AttributeHead,
    *,
    also: Mapping[Task, AttributeHead],
    detector: str,
) -> NetworkRecipe:
    """A recipe with all that was found out, and honest words for what a file does not tell.

    Parameters
    ----------
    opened : family, options, source and files, as `opening.open_file` gives them
    also : further questions that the same pass answers
    detector : whose boxes the crop rule fits
    """
    answers: Mapping[Task, AttributeHead] = {task: head, **also}
    outputs = {one.output: one.output for one in answers.values()}
    return msgspec.structs.replace(
        opened,
        task=task,
        title=UNSTATED,
        paper=UNSTATED,
        licence=UNSTATED,
        training_data=UNSTATED,
        limits=f"Not stated; correct this. {LIMITS[task]}",
        input=spec,
        head=head,
        also=dict(also),
        outputs={} if opened.family else outputs,
        measured_with=(detector,),
    )


LIMITS: Mapping[Task, str] = {
    "age": "Apparent age, not a person's age. Not for decisions about a person, not for age verification.",
    "gender": "Guesses which of two labels an annotator would give; says nothing about a person's gender. Not for"
    " decisions about a person.",
    "expression": "Names what a face shows, not what a person feels. Not for judging people.",
}


def place(file: Path, out: Path | None) -> Path:
    """Where the recipe goes: as said, or by the file's name into the current folder.

    Raises
    ------
    UsageError : the name is none for a network, or something lies there
    """
    stem = re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-")[:64] or "network"
    path = out or Path(f"{stem}.toml")
    if path.suffix != ".toml" or not NAME.fullmatch(path.stem):
        raise UsageError(f"{path} is no name for a recipe", fix="use small letters, digits, dots and dashes, and .toml")
    if path.exists():
        raise UsageError(f"{path} is there already", fix="take it away, or give another name with --out")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", fix="make it, or give another name with --out")
    return path


def recipe_text(recipe: NetworkRecipe, path: Path, found: str) -> str:
    """Text of a recipe that lies at ``path``; the source is named from there.

    ``found`` goes on top, as a comment.
    """
    assert recipe.source is not None
    source = msgspec.structs.replace(recipe.source, path=os.path.relpath(recipe.source.path, path.parent))
    own = own_module(recipe.family or "")
    family = f"{os.path.relpath(own[0], path.parent)}:{own[1]}" if own else recipe.family
    return toml_text(msgspec.structs.replace(recipe, source=source, family=family), found)


def toml_text(recipe: NetworkRecipe | BundleRecipe, found: str = "") -> str:
    """Text of a recipe as it is, with ``found`` on top as a comment."""
    return "".join(f"# {line}\n" for line in found.splitlines()) + to_toml(msgspec.to_builtins(recipe))
