"""Weights that were trained here: kept in ``converters/weights``, and pinned in their network's recipe."""

from __future__ import annotations

import hashlib
from pathlib import Path

from converters.checkpoints.archive import WEIGHTS
from converters.checkpoints.keymap import load_weights
from converters.checkpoints.reading import kind_of, read_tensors
from converters.networks import make_network
from converters.recipes.reading import RECIPES, VARIANT, in_recipes, read_network, recipe_path
from edgeface.errors import UsageError
from edgeface.files import write_atomic


def pin(name: str, path: Path, *, recipes: Path = RECIPES, weights: Path = WEIGHTS) -> list[Path]:
    """Keep a file of weights under the name that the network's recipe gives it, and write its sha256 there.

    The training record and the log beside the file (``.json``, ``.log``) are kept, too.

    Parameters
    ----------
    name : recipe of a network, or ``NAME@VARIANT``, whose source is ``own``
    path : ``.safetensors`` as `train` wrote it

    Returns
    -------
    the files that were written

    Raises
    ------
    UsageError : the recipe names no such weights, or the file cannot be read
    EdgefaceError : it does not fit the network
    """
    name = in_recipes(name, recipes)
    _, network = read_network(name, recipes)
    source = network.source
    if source is None or source.registry != "own" or network.family is None:
        raise UsageError(
            f"recipe {name} names no weights that were trained here",
            fix='give it [source] with registry = "own", a path, and the sha256 of any file, once',
        )
    try:
        data = path.read_bytes()
        beside = [path.with_suffix(ending) for ending in (".json", ".log")]
        told = {one.suffix: one.read_bytes() for one in beside if one.is_file()}
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", fix="give the .safetensors of a training"
        ) from None
    module = make_network(network.family, network.options)
    load_weights(module, network.family, kind_of(path.name), read_tensors(data, path.name))
    recipe = recipe_path(name.partition(VARIANT)[0], recipes)
    text = recipe.read_text("utf-8")
    if text.count(source.sha256) != 1:
        raise UsageError(f"{recipe} has the sha256 of {source.path} more than once", fix="correct it by hand")
    kept = weights / source.path
    made = {kept: data, recipe: text.replace(source.sha256, hashlib.sha256(data).hexdigest()).encode()}
    made.update({kept.with_suffix(ending): content for ending, content in told.items()})
    for place, content in made.items():
        write_atomic(place, content)
    return list(made)
