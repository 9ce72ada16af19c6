"""State dictionaries of torch, read without running anything: tensors, whatever else lies beside them."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from typing import Any

import numpy as np
import torch

from converters.checkpoints import standins
from converters.checkpoints.standins import StandIn
from converters.formats.errors import CheckpointError
from edgeface.errors import first_line
from edgeface.types import F32

NESTS = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "params",
    "weights",
    "module",
    "ema_state_dict",
    "state_dict_ema",
    "model_ema",
    "params_ema",
    "ema",
)
"""Keys under which training scripts keep the state dictionary beside epoch and optimizer, the surest first."""
_TRAINING = re.compile(r"optim|sched|scaler|loss|criterion|callback|amp|rng")
"""Keys of what is no network, though it holds tensors."""
_SAVE = "save model.state_dict() with torch.save, where the model's own code is at hand"


def read_state(data: bytes, name: str = "the file") -> dict[str, F32]:
    """Tensors by name, as float32; prefixes left by multi-GPU training and ``torch.compile`` are taken off.

    What lies beside them (numpy numbers, arguments, objects of any class) is passed over and not run.

    Raises
    ------
    CheckpointError : a TorchScript archive, a pickled model, something else, or a file that is cut off
    """
    if _is_script(data):
        fix = "save torch.jit.load(FILE).state_dict() with torch.save"
        raise CheckpointError(f"{name} is TorchScript, a program and no state dictionary", fix=fix)
    held = _load(data, name)
    state = _unnest(held)
    if not state:
        raise _nothing(held, name)
    return {
        key.replace("_orig_mod.", "").removeprefix("module."): np.asarray(tensor.detach().float().numpy())
        for key, tensor in state.items()
        if tensor.is_floating_point()
    }


def _nothing(held: Any, name: str) -> CheckpointError:
    """Say what a file without weights holds instead."""
    inside = [held, *(held.values() if _is_table(held) else ())]
    found = sorted({one.whose for one in inside if isinstance(one, StandIn)})
    if found:
        what = f"{name} is pickled code and no state dictionary, and was not run: of {', '.join(found[:3])}"
        return CheckpointError(what, fix=_SAVE)
    return CheckpointError(f"{name} holds no state dictionary", fix=_SAVE)


def _load(data: bytes, name: str) -> Any:
    try:
        if name.lower().endswith(".safetensors"):
            from safetensors.torch import load

            return load(data)
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        pass  # a class that torch does not know: once more, with something else in its place
    except Exception as error:  # a cut-off file raises whatever its reader stumbles over
        raise _unreadable(name, error) from None
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False, pickle_module=standins)
    except pickle.UnpicklingError as error:
        what = f"{name} is pickled code and no state dictionary, and was not run: it calls {error}"
        raise CheckpointError(what, fix=_SAVE) from None
    except Exception as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: Exception) -> CheckpointError:
    words = first_line(error)
    kind = "safetensors" if name.lower().endswith(".safetensors") else "torch"
    fix = "bring the whole file"
    if name.lower().endswith(".ckpt"):
        fix += "; if it is TensorFlow's, convert it there to .onnx or .tflite"
    return CheckpointError(f"{name} is no {kind} file that can be read: {words}", fix=fix)


def _unnest(held: Any) -> dict[str, torch.Tensor]:
    """Tensors of the dictionary itself, or of the one that a training script put inside."""
    table = held.table if isinstance(held, StandIn) else held
    if not _is_table(table):
        return {}
    inner = {str(key): value for key, value in table.items() if _is_table(value) or isinstance(value, StandIn)}
    for key in NESTS:
        if key in inner and (found := _unnest(inner[key])):
            return found
    own = {str(key): value for key, value in table.items() if isinstance(value, torch.Tensor)}
    if own:
        return own
    rest = (_unnest(value) for key, value in inner.items() if not _TRAINING.search(key.lower()))
    return max(rest, key=len, default={})


def _is_table(held: Any) -> bool:
    return isinstance(held, dict)


def _is_script(data: bytes) -> bool:
    if not data.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any("/code/" in member or member.endswith("constants.pkl") for member in archive.namelist())
    except zipfile.BadZipFile:
        return False
