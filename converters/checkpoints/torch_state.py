"""State dictionaries of torch, read with ``weights_only``: tensors and nothing that could run."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

import numpy as np
import torch

from converters.formats.errors import CheckpointError
from edgeface.types import F32

NESTS = ("state_dict", "model_state_dict", "model", "net", "network", "params", "weights")
"""Keys under which training scripts keep the state dictionary beside epoch and optimizer."""
_SAVE = "save model.state_dict() with torch.save, where the model's own code is at hand"


def read_state(data: bytes, name: str = "the file") -> dict[str, F32]:
    """Tensors by name, as float32; a ``module.`` prefix left by multi-GPU training is taken off.

    Raises
    ------
    CheckpointError : a TorchScript archive, a pickled model, something else, or a file that is cut off
    """
    if _is_script(data):
        fix = "save torch.jit.load(FILE).state_dict() with torch.save"
        raise CheckpointError(f"{name} is TorchScript, a program and no state dictionary", fix=fix)
    try:
        held = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(f"{name} is pickled code and no state dictionary, and was not run", fix=_SAVE) from None
    except Exception as error:  # a cut-off file raises whatever its reader stumbles over
        words = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"{name} is no torch file that can be read: {words}", fix="bring the whole file"
        ) from None
    state = _unnest(held)
    if not state:
        raise CheckpointError(f"{name} holds no state dictionary", fix=_SAVE)
    return {
        key.removeprefix("module."): np.asarray(tensor.detach().float().numpy())
        for key, tensor in state.items()
        if tensor.is_floating_point()
    }


def _unnest(held: Any) -> dict[str, torch.Tensor]:
    """Tensors of the dictionary itself, or of the one that a training script put inside."""
    if not isinstance(held, dict):
        return {}
    for key in NESTS:
        if isinstance(held.get(key), dict):
            return _unnest(held[key])
    return {str(key): value for key, value in held.items() if isinstance(value, torch.Tensor)}


def _is_script(data: bytes) -> bool:
    if not data.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any("/code/" in member or member.endswith("constants.pkl") for member in archive.namelist())
    except zipfile.BadZipFile:
        return False
