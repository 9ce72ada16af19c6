"""A checkpoint described: its tensors, and the network of ours that they fit."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from converters.checkpoints.keyfile import read_maps
from converters.checkpoints.keymap import Fit, best_fit, describe_faults, parameter_shapes
from converters.checkpoints.reading import kind_of, read_tensors
from converters.formats.errors import CheckpointError
from converters.recipes.reading import list_recipes, list_variants, read_network
from converters.recipes.schema import NetworkRecipe
from edgeface.bundle.heads import Closed
from edgeface.errors import EdgefaceError, UsageError
from edgeface.types import F32

LIKE = 0.3
"""Least share of kernels with equal shapes that is worth a word."""


class CheckpointFacts(Closed, frozen=True, kw_only=True):
    """One checkpoint: what its tensors are called and which networks of ours take them.

    ``fits`` names families, with the options of a recipe where it needs them, whose key map leaves nothing missing,
    nothing over and nothing of another shape. Where there is none, ``nearest`` says of the closest what does not fit,
    by names, or by shapes alone.
    """

    kind: str
    bytes: int
    sha256: str
    tensors: dict[str, tuple[int, ...]]
    parameters: int
    fits: tuple[str, ...] = ()
    nearest: str = ""
    not_numbers: tuple[str, ...] = ()
    """Tensors that hold NaN or infinity: a training that came apart."""


def describe_checkpoint(data: bytes, name: str, companions: Mapping[str, bytes] | None = None) -> CheckpointFacts:
    """Everything that can be said of a checkpoint.

    Raises
    ------
    CheckpointError : it cannot be read
    """
    from converters.inspection.own_answers import unlike_file

    tensors = read_tensors(data, name, companions)
    fits, nearest = known_networks(kind_of(name), tensors, partial(unlike_file, data, name, companions or {}))
    return CheckpointFacts(
        kind=kind_of(name),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        tensors={key: tuple(array.shape) for key, array in tensors.items()},
        parameters=sum(int(array.size) for array in tensors.values()),
        fits=fits,
        nearest=nearest,
        not_numbers=tuple(key for key, array in tensors.items() if not np.isfinite(array).all()),
    )


def known_networks(
    kind: str,
    tensors: Mapping[str, F32],
    unlike: Callable[[str, Mapping[str, Any], Mapping[str, F32]], str] = lambda *_: "",
) -> tuple[tuple[str, ...], str]:
    """Which networks of ours these tensors fit, and if none does, what is wrong with the nearest.

    Nearest is the one with the fewest faults, if it takes more than it misses, else the one with most equal shapes.
    ``unlike`` says of a family, its options and these tensors how the file's own answers differ, or nothing.
    """
    fits: list[str] = []
    nearest: tuple[str, Fit] | None = None
    otherwise = ""
    for family, options, tried in fitted_networks(kind, tensors):
        label = _label(family, options)
        if not tried.faults and (words := unlike(family, options, tensors)):
            otherwise = words
        elif not tried.faults:
            fits.append(label)
        elif len(tried.state) > tried.faults and (nearest is None or tried.faults < nearest[1].faults):
            nearest = label, tried
    if fits or otherwise:
        return tuple(fits), "" if fits else otherwise
    return (), f"{nearest[0]}, but for {describe_faults(nearest[1])}" if nearest else nearest_by_shapes(tensors)


def nearest_by_shapes(tensors: Mapping[str, F32]) -> str:
    """In words which network of ours has most kernels of the shapes of these, whatever they are called."""
    theirs = _kernels([array.shape for array in tensors.values()])
    share, label, same, count = 0.0, "", 0, 0
    for family, options in _networks():
        network = _blank(family, options)
        if network is None:
            continue
        ours = _kernels(parameter_shapes(network).values())
        both = (ours & theirs).total()
        if both / max(ours.total(), theirs.total(), 1) > share:
            share, same, count = both / max(ours.total(), theirs.total()), both, ours.total()
            label = _label(family, options)
    if share < LIKE:
        return "none: no network known here has tensors of such shapes"
    return f"{label} by shapes alone: {same} of its {count} kernels are here under other names, for a key map to say"


def _kernels(shapes: Iterable[tuple[int, ...]]) -> Counter[tuple[int, ...]]:
    """Shapes of kernels with their axes in falling order, as every framework has them in an order of its own."""
    bare = (tuple(sorted((side for side in shape if side > 1), reverse=True)) for shape in shapes)
    return Counter(shape for shape in bare if len(shape) > 1)


def _label(family: str, options: Mapping[str, Any]) -> str:
    return " ".join([family, *(f"{key}={json.dumps(value)}" for key, value in options.items())])


def fitted_networks(kind: str, tensors: Mapping[str, F32]) -> Iterator[tuple[str, dict[str, Any], Fit]]:
    """Every network of ours that has a key map for such a file: family, options, and how well the tensors fit it."""
    for family, options in _networks():
        tried = _fit(family, options, kind, tensors)
        if tried is not None:
            yield family, options, tried


def _networks() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every family with its own options, then with those of the recipes."""
    from converters.networks import FAMILIES  # torch takes seconds

    seen = set()
    for family in FAMILIES:
        seen.add((family, "{}"))
        yield family, {}
    for name in list_recipes("networks"):
        for recipe in _forms(name):
            key = (recipe.family or "", json.dumps(recipe.options, sort_keys=True))
            if recipe.family and key not in seen:
                seen.add(key)
                yield recipe.family, recipe.options


def _forms(name: str) -> list[NetworkRecipe]:
    """A network's recipe and its variants; nothing where somebody is just writing it: that is no fault of this file."""
    try:
        return [read_network(name)[1], *(read_network(f"{name}@{variant}")[1] for variant in list_variants(name))]
    except EdgefaceError:
        return []


def _fit(family: str, options: dict[str, Any], kind: str, tensors: Mapping[str, F32]) -> Fit | None:
    try:
        read_maps(family, kind)
    except CheckpointError:
        return None  # no key map for this kind of file
    network = _blank(family, options)
    return None if network is None else best_fit(network, family, kind, tensors)


def _blank(family: str, options: dict[str, Any]) -> Any:
    """Return a torch module without weights, of which only names and shapes are asked for.

    None where the family cannot be made so: what some answer is one of their options.
    """
    import torch

    from converters.networks import make_network

    try:
        # No memory is taken and nothing is drawn at random.
        with torch.device("meta"):
            return make_network(family, options)
    except UsageError:
        return None
    except RuntimeError:
        return make_network(family, options)  # it computes something of its own when it is made
