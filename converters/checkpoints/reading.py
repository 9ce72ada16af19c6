"""Any checkpoint becomes float32 arrays by the names its makers gave them; the file's name says which form it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from converters.checkpoints.elsewhere import way_on
from converters.formats.errors import CheckpointError
from edgeface.types import F32

KINDS = {
    ".pth": "torch",
    ".pt": "torch",
    ".ckpt": "torch",
    ".safetensors": "torch",
    ".hdf5": "keras",
    ".h5": "keras",
    ".json": "tfjs",
    ".onnx": "onnx",
    ".tflite": "tflite",
    ".so": "elf",
}
"""File name's ending to the kind of checkpoint, which is also the middle part of a key map's name."""


def kind_of(name: str) -> str:
    """Kind of a checkpoint by its file name; CheckpointError for an ending that no reader takes."""
    kind = KINDS.get(PurePosixPath(name).suffix.lower())
    if kind is None and (known := way_on(name)):
        raise CheckpointError(f"{name} is {known[0]}, which is not read here", fix=known[1])
    if kind is None:
        raise CheckpointError(f"{name} has no known ending", fix=f"bring one of {' '.join(KINDS)}")
    return kind


def read_tensors(data: bytes, name: str, companions: Mapping[str, bytes] | None = None) -> dict[str, F32]:
    """Floating-point tensors of a checkpoint; nothing of it is run.

    Parameters
    ----------
    data : the whole file
    name : its name or path; the ending chooses the reader
    companions : further files that belong to it, by name or path (tfjs keeps its values in ``.bin`` files, ONNX
        in external data)

    Returns
    -------
    name to float32 array in the makers' own axes. Weights stored in fewer bits (float16, int8 with scales) are widened;
    whole numbers that are no weights (step counters, shapes) are left out.

    ======  ====================================================================================
    kind    names
    ======  ====================================================================================
    torch   keys of the state dictionary, without ``module.``; also of ``.safetensors``
    keras   ``layer/variable``, such as ``conv2d_1/kernel`` or ``norm_1/gamma``
    tfjs    names of the weight manifest
    onnx    initialisers, constants, and what DequantizeLinear, Cast or Identity makes of them
    tflite  names of the constant tensors
    elf     names of the exported data objects; all arrays are flat
    ======  ====================================================================================

    Raises
    ------
    CheckpointError : in one line, what is wrong with the file
    """
    return _reader(kind_of(name))(data, name, companions or {})


def _reader(kind: str) -> Callable[[bytes, str, Mapping[str, bytes]], dict[str, F32]]:
    # Each reader needs a library of its own; who reads ONNX need not wait for torch.
    if kind == "torch":
        from converters.checkpoints.torch_state import read_state as read
    elif kind == "keras":
        from converters.checkpoints.keras import read_keras as read
    elif kind == "tfjs":
        from converters.checkpoints.tfjs import read_tfjs

        return read_tfjs
    elif kind == "onnx":
        from converters.checkpoints.onnx_constants import read_constants

        return read_constants
    elif kind == "tflite":
        from converters.checkpoints.tflite_buffers import read_buffers as read
    else:
        from converters.checkpoints.elf import read_float_objects as read
    return lambda data, name, _: read(data, name)
