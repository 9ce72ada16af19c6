"""Weights of Keras ``.hdf5`` and ``.h5`` files, read with h5py alone."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import h5py
import numpy as np

from converters.formats.errors import CheckpointError
from edgeface.errors import first_line
from edgeface.types import F32


def read_keras(data: bytes, name: str = "the file") -> dict[str, F32]:
    """Variables as ``layer/variable`` with short variable names (``kernel``, ``depthwise_kernel``, ``gamma``).

    A whole model (group ``model_weights``) and a file of weights alone read the same. A layer that holds a network of
    its own has several variables of one name: those carry their whole path, ``layer/inner/kernel``. Kernels keep
    Keras' axes: (kh, kw, in, out), depthwise (kh, kw, in, multiplier).

    Raises
    ------
    CheckpointError : not an HDF5 file, or without any weight
    """
    found: list[tuple[list[str], F32]] = []

    def take(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f" and not path.startswith("optimizer"):
            found.append((path.replace(":0", "").split("/"), np.asarray(item, dtype=np.float32)))

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            file.get("model_weights", file).visititems(take)
    except (OSError, RuntimeError, KeyError) as error:
        words = first_line(error)
        raise CheckpointError(f"{name} is no Keras weight file: {words}", fix="bring the whole .hdf5 file") from None
    if not found:
        raise CheckpointError(f"{name} is no Keras weight file: it holds no weights", fix="save it with its weights")
    short = Counter((parts[0], parts[-1]) for parts, _ in found)
    return {
        "/".join((parts[0], parts[-1]) if short[parts[0], parts[-1]] == 1 else parts): array for parts, array in found
    }
