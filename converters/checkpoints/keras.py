"""Weights of Keras 2 ``.hdf5`` files, read with h5py alone."""

from __future__ import annotations

import io
from collections.abc import Mapping

import h5py
import numpy as np

from edgeface.types import F32

BATCH_NORM_EPSILON = 1e-3
"""Keras' default, which all networks here kept."""


def read_keras(data: bytes) -> Mapping[str, Mapping[str, F32]]:
    """Layer name to variable name to array.

    Variable names are short (``kernel``, ``depthwise_kernel``, ``gamma``); kernels keep Keras' axes: (kh, kw, in, out),
    depthwise (kh, kw, in, multiplier).

    Raises
    ------
    ValueError : not an HDF5 file with ``model_weights``
    """
    layers: dict[str, dict[str, F32]] = {}

    def take(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            parts = name.split("/")
            layers.setdefault(parts[0], {})[parts[-1].split(":")[0]] = np.asarray(item, dtype=np.float32)

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            file["model_weights"].visititems(take)
    except (OSError, KeyError) as error:
        raise ValueError(f"not a Keras weight file: {error}") from None
    return layers


def batch_norm_affine(layer: Mapping[str, F32]) -> tuple[F32, F32]:
    """Scale and offset per channel that a batch norm at rest amounts to, both of shape (C,)."""
    scale: F32 = layer["gamma"] / np.sqrt(layer["moving_variance"] + np.float32(BATCH_NORM_EPSILON))
    offset: F32 = layer["beta"] - layer["moving_mean"] * scale
    return scale, offset
