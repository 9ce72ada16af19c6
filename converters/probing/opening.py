"""A file that somebody brought, opened as a network that answers pictures."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from converters.checkpoints.reading import kind_of, read_tensors
from converters.formats.errors import CheckpointError
from converters.inspection.facts import FileFacts, Value, error_text
from converters.inspection.network_file import companions_of, describe_network, read_file
from converters.recipes.reading import list_recipes, list_variants, read_network
from converters.recipes.schema import NetworkRecipe, Prepared, own_module
from converters.references.imported import KINDS, ImportedReference
from converters.references.torch_module import Reference, TorchReference
from edgeface.bundle import Input, Source, StageHead
from edgeface.errors import EdgefaceError, UsageError
from edgeface.types import F32

if TYPE_CHECKING:
    from converters.checkpoints.keymap import Fit

logger = logging.getLogger(__name__)
SIZES = ((64, 64), (48, 48), (96, 96), (112, 112), (128, 128), (160, 160), (224, 224))
"""Input sizes (height, width) that are tried where a file leaves them free."""
Size = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """A network of which the answers are known and their meaning is not.

    Attributes
    ----------
    recipe : family, options, source and files; its input, head and words stand for what is still to be found out
    channels : 1 or 3
    sizes : (height, width) that the input may have, the likeliest first
    network : answers float32 (N, C, H, W)
    outputs : what it answered to `SHOWN` pictures of noise, by the file's own names
    """

    recipe: NetworkRecipe
    channels: int
    sizes: tuple[Size, ...]
    network: Reference
    outputs: Mapping[str, F32]


SHOWN = 16


def open_file(path: Path, *, family: str | None = None) -> Opened:
    """Open a checkpoint of a known family, or an ``.onnx`` or ``.tflite`` file of any.

    Parameters
    ----------
    family : take the file for this one; None finds out by its tensors

    Raises
    ------
    UsageError : there is no such file, it fits no family and does not pass through, or takes something else than faces
    CheckpointError : it cannot be read
    """
    data = read_file(path)
    kind_of(path.name)
    source, companions = _source(path, data)
    if own_module(family or "") is not None:
        return _open_own(path, source, str(family))
    found = _find_family(path, data, companions, family)
    if found is None:
        return _open_unknown(path, source, data, companions)
    name, options = found
    network = TorchReference(_provisional(source, family=name, options=options))
    if network.states:
        raise UsageError(f"{path.name} is a {name}, which remembers what it saw", fix="write its recipe by hand")
    channels = _first_channels(network.module)
    sizes = tuple(dict.fromkeys(_family_sizes(name, options))) or SIZES
    return _shown(network, _provisional(source, family=name, options=options), channels, sizes, path.name)


def _open_own(path: Path, source: Source, family: str) -> Opened:
    """A checkpoint of somebody's own module, in the first size that it takes."""
    from converters.networks import make_network

    channels = _first_channels(make_network(family, {}))
    wrong: UsageError | None = None
    for place, size in enumerate(SIZES):
        recipe = _provisional(source, family=family, channels=channels, size=size)
        try:
            network = TorchReference(recipe)  # which asks it for its outputs where it does not say them
        except UsageError as error:
            wrong = error
            continue
        return _shown(network, recipe, channels, SIZES[place:], path.name)
    assert wrong is not None
    raise wrong


def _source(path: Path, data: bytes) -> tuple[Source, Mapping[str, bytes]]:
    """The file with its hash, and what lies beside it and belongs to it."""
    companions = companions_of(path, data)
    hashes = {name: hashlib.sha256(held).hexdigest() for name, held in companions.items()}
    digest = hashlib.sha256(data).hexdigest()
    return Source(registry="file", path=str(path), sha256=digest, companions=hashes), companions


def _find_family(
    path: Path, data: bytes, companions: Mapping[str, bytes], family: str | None
) -> tuple[str, dict[str, Any]] | None:
    """Family and options that the file's tensors fit; None for a file that can pass through without."""
    from converters.checkpoints.keymap import describe_faults
    from converters.inspection.checkpoint import fitted_networks
    from converters.inspection.own_answers import unlike_file

    passes = path.suffix.lower() in KINDS and family is None
    try:
        tensors = read_tensors(data, path.name, companions)
    except CheckpointError:
        if passes:
            return None
        raise
    nearest: tuple[str, Fit] | None = None
    for name, options, fit in fitted_networks(kind_of(path.name), tensors):
        if family not in (None, name):
            continue
        if not fit.faults:
            otherwise = unlike_file(data, path.name, companions, name, options, tensors)
            if not otherwise:
                return name, options
            if not passes:
                raise UsageError(otherwise.partition("; ")[0], fix="leave --family away, and it is taken as it is")
            logger.info("%s", otherwise)
            continue
        if len(fit.state) > fit.faults and (nearest is None or fit.faults < nearest[1].faults):
            nearest = name, fit
    if passes:
        return None
    near = f": nearest is {nearest[0]}, but for {describe_faults(nearest[1])}" if nearest else ""
    what = f"does not fit {family}" if family else "fits no network that is known here"
    raise UsageError(f"{path.name} {what}{near}", fix="export it to .onnx, which needs no family")


def _open_unknown(path: Path, source: Source, data: bytes, companions: Mapping[str, bytes]) -> Opened:
    """A file that passes through."""
    facts = describe_network(data, path.name, companions)
    channels, size = _picture(facts, path.name)
    recipe = _provisional(source, runtime=KINDS[path.suffix.lower()], channels=channels, size=size or SIZES[0])
    network = ImportedReference(path.stem, recipe, Prepared(batches=(1,)))
    return _shown(network, recipe, channels, SIZES if size is None else (size,), path.name)


def _picture(facts: FileFacts, name: str) -> tuple[int, Size | None]:
    """Channels and (height, width) of the input, None where any size goes."""
    values: Sequence[Value] = next((one["inputs"] for one in facts.signatures.values()), facts.inputs)
    shape = values[0].shape if len(values) == 1 else ()
    if len(shape) != 4 or not {shape[1], shape[3]} & {1, 3}:
        shown = ", ".join(f"{value.name} {list(value.shape)}" for value in values)
        raise UsageError(
            f"{name} takes {shown}, not one picture", fix="bring a file with one 4-D input of 1 or 3 channels"
        )
    if isinstance(shape[0], int) and shape[0] > 1:
        raise UsageError(f"{name} takes {shape[0]} pictures a call", fix="export it for one, or for any number")
    channels, *sides = (shape[1], shape[2], shape[3]) if shape[1] in (1, 3) else (shape[3], shape[1], shape[2])
    height, width = sides
    size = (height, width) if isinstance(height, int) and isinstance(width, int) and height > 0 < width else None
    return int(channels), size


def _provisional(source: Source, *, channels: int = 3, size: Size = SIZES[0], **own: Any) -> NetworkRecipe:
    """A recipe to load the network by, before anything else is known."""
    runtime = own.pop("runtime", None)
    return NetworkRecipe(
        task="stage",
        source=source,
        head=StageHead(),
        files={runtime: ("fp32",)} if runtime else {"onnx": ("fp32",), "litert": ("fp32",)},
        input=Input(
            color="grey" if channels == 1 else "rgb", mean=(0.0,) * channels, scale=1.0, height=size[0], width=size[1]
        ),
        title="",
        paper="",
        licence="",
        training_data="",
        limits="",
        **own,
    )


def _first_channels(module: Any) -> int:
    """Colour channels that the first layer of a torch module sees."""
    from torch import nn

    return next((int(layer.in_channels) for layer in module.modules() if isinstance(layer, nn.Conv2d)), 3)


def _family_sizes(family: str, options: Mapping[str, Any]) -> Iterator[Size]:
    """Input sizes of a family's recipes, those with the same options first."""
    others: list[Size] = []
    for name in list_recipes("networks"):
        for form in (name, *(f"{name}@{variant}" for variant in list_variants(name))):
            recipe = read_network(form)[1]
            if recipe.family == family and recipe.input.height and recipe.input.width:
                size = recipe.input.height, recipe.input.width
                if recipe.options == options:
                    yield size
                others.append(size)
    yield from others


def _shown(network: Reference, recipe: NetworkRecipe, channels: int, sizes: Sequence[Size], name: str) -> Opened:
    """Show it noise, half of it 0 to 255: which sizes it takes, and what its answers look like."""
    dice = np.random.default_rng(1)
    works: list[Size] = []
    outputs: Mapping[str, F32] = {}
    why: Exception | None = None
    for height, width in sizes:
        noise = dice.uniform(-1, 1, (SHOWN, channels, height, width)).astype(np.float32)
        noise[::2] = 127.5 * (1 + noise[::2])
        try:
            said = network.run(noise)
        except EdgefaceError:
            raise
        except Exception as error:  # the runtimes' errors have no base in common
            why = error
            continue
        outputs = outputs or said
        works.append((height, width))
    if not works:
        words = error_text(why) if why else "no size is known"
        raise UsageError(f"{name} answers no picture: {words}", fix="look at it with `python -m converters inspect`")
    spec = msgspec.structs.replace(recipe.input, height=works[0][0], width=works[0][1])
    recipe = msgspec.structs.replace(recipe, input=spec)
    return Opened(recipe=recipe, channels=channels, sizes=tuple(works), network=network, outputs=outputs)
