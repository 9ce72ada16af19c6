"""A source that runs is its own reference: a torch module is held against the file that its weights were taken from.

The same weights in another graph (another activation, outputs in another order, a scale inside) fit a family by name
and shape, and answer otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cv2
import numpy as np
import skimage.data

from converters.checkpoints.reading import kind_of
from converters.formats.errors import CheckpointError
from converters.inspection.network_file import describe_network
from converters.inspection.picture_file import PictureFile
from edgeface.errors import UsageError
from edgeface.types import F32

KINDS = (".onnx", ".tflite")
EXACT, ROUGH = 1e-3, 0.15
"""Largest difference as a share of the output's largest value; of a file that computes in whole numbers, roughly."""
SEED = 11
FREE = ((64, 64), (128, 128))
"""Sizes (height, width) that are tried where neither file nor recipe names one."""
Size = tuple[int, int]
Run = Callable[[F32], Mapping[str, F32]]


def hold_against_file(
    module: Any,
    data: bytes,
    name: str,
    family: str,
    *,
    companions: Mapping[str, bytes] = {},
    size: Size | None = None,
) -> None:
    """Raise CheckpointError where a module answers otherwise than the file that its weights were taken from.

    A file that no runtime here runs, or that takes something else than one picture, is let pass: it says nothing.

    Parameters
    ----------
    module : torch module with the weights of the file
    data, name : the file
    companions : files beside it that hold its values
    size : (height, width) to show pictures in where the file takes any
    """
    if not name.lower().endswith(KINDS):
        return
    data = _whole(data, name, companions)
    try:
        file = PictureFile(data, name)
    except UsageError:
        return
    off = difference(module, file, size)
    if off is None or off <= EXACT or (off <= ROUGH and _is_rough(data, name)):
        return
    raise CheckpointError(
        f"{name} does not fit {family}: it has the same tensors and answers otherwise (off by"
        f" {100 * min(off, 9.99):.3g} % of its largest answer)",
        fix="leave family and options out of the recipe, and it passes through as an imported model",
    )


def unlike_file(
    data: bytes,
    name: str,
    companions: Mapping[str, bytes],
    family: str,
    options: Mapping[str, Any],
    tensors: Mapping[str, F32],
) -> str:
    """In words how a file answers otherwise than a family with its tensors; nothing where it does not, or cannot run.

    ``companions`` are files beside it that hold its values.
    """
    from converters.checkpoints.keymap import load_weights
    from converters.networks import make_network

    if not name.lower().endswith(KINDS):
        return ""
    module = make_network(family, options)
    try:
        load_weights(module, family, kind_of(name), tensors)
        hold_against_file(module, data, name, family, companions=companions)
    except CheckpointError as error:
        return str(error)
    return ""


def _whole(data: bytes, name: str, companions: Mapping[str, bytes]) -> bytes:
    if kind_of(name) != "onnx":
        return data
    from converters.formats.onnx_data import whole_file

    return whole_file(data, name, companions)


def _is_rough(data: bytes, name: str) -> bool:
    """Whether a file computes in fewer bits than float32, so that its answers are near those of its weights."""
    how = describe_network(data, name).quantization
    return how != "none" and "float arithmetic" not in how and "widened" not in how


def difference(module: Any, file: PictureFile, size: Size | None = None) -> float | None:
    """How far a module is off the file, at worst; infinite where only the file answers, None where it does not."""
    if getattr(module, "states", {}):
        return None
    apart: list[float] = []
    failed = False
    for tensor in _feeds(file, size):
        try:
            theirs = _published(module)(file.run, tensor)
        except UsageError:
            continue
        try:
            apart.append(_apart(_run(module, tensor), theirs))
        except RuntimeError:
            failed = True
    return max(apart) if apart else float("inf") if failed else None


def _published(module: Any) -> Callable[[Run, F32], Mapping[str, F32]]:
    """How a published file of the family is run: ``run_published`` beside its class, where it is not simply run."""
    own = getattr(sys.modules[type(module).__module__], "run_published", None)
    return own or (lambda run, tensor: run(tensor))


def _feeds(file: PictureFile, size: Size | None) -> Iterator[F32]:
    """A picture and noise, from -1 to 1 and from 0 to 255, in the file's size."""
    dice = np.random.default_rng(SEED)
    given = file.size or size
    for height, width in (given,) if given else FREE:
        photograph = cv2.resize(skimage.data.astronaut(), (width, height), interpolation=cv2.INTER_AREA)
        pixels = np.stack([photograph, dice.integers(0, 256, photograph.shape, np.uint8)])[..., : file.channels]
        tensor = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)
        yield tensor / np.float32(127.5) - 1
        yield tensor


def _run(module: Any, tensor: F32) -> dict[str, F32]:
    import torch

    with torch.no_grad():
        answers = module(torch.from_numpy(np.ascontiguousarray(tensor)))
    return {name: answer.numpy() for name, answer in zip(module.outputs, answers, strict=True)}


def _apart(ours: Mapping[str, F32], theirs: Mapping[str, F32]) -> float:
    """Largest difference of our outputs to theirs: to those of the same name, else to the nearest that is left."""
    left = dict(theirs)
    worst = 0.0
    if theirs.keys() < ours.keys():
        ours = {name: ours[name] for name in theirs}  # `run_published` gives what can be compared
    for name in sorted(ours, key=lambda one: one not in theirs):
        if not left:
            return float("inf")
        candidates = {name: left[name]} if name in left else left
        apart = {key: _distance(ours[name], array) for key, array in candidates.items()}
        nearest = min(apart, key=lambda key: apart[key])
        worst = max(worst, apart[nearest])
        del left[nearest]
    return worst


def _distance(ours: F32, theirs: F32) -> float:
    if theirs.shape != ours.shape and theirs.ndim == 4:
        theirs = theirs.transpose(0, 2, 3, 1)  # maps: channels last, as rows of cells
    if theirs.size != ours.size:
        return float("inf")
    theirs = theirs.reshape(ours.shape)
    if not np.array_equal(np.isfinite(ours), finite := np.isfinite(theirs)):
        return float("inf")
    apart = np.abs(ours[finite] - theirs[finite]).max(initial=0)
    return float(apart / max(1e-6, np.abs(theirs[finite]).max(initial=0)))
