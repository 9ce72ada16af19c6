"""Two kinds of checkpoint.

The *full state* lies beside the log and holds everything: who resumes from it goes on bit by bit. The *small* one is a
``.safetensors`` of the averaged weights, matrices in float16, with how far the training was: a few megabytes, for a
repository. Who resumes from that lets the optimizer warm up again.
"""

from __future__ import annotations

import copy
import hashlib
import io
from pathlib import Path
from typing import Any

import msgspec
import torch

from converters.checkpoints.keymap import expect_finite
from converters.export.denormals import clear_module
from converters.formats.errors import CheckpointError
from converters.train.state import State
from edgeface.errors import first_line
from edgeface.files import write_atomic

FACTS = ("step", "warm_from", "seconds", "core_seconds", "bfloat16", "recent", "curve", "best")
"""Of a state, all that is no tensor."""
KEY = "edgeface.train"
"""Entry of the file's metadata that says how far the training was."""


def write_state(path: Path, state: State, recipe_sha256: str) -> None:
    """Write the full state in one step; the one before stays whole until this one is."""
    held = {
        "net": state.net.state_dict(),
        "ema": state.ema.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "recipe": recipe_sha256,
        **{name: getattr(state, name) for name in FACTS},
    }
    buffer = io.BytesIO()
    torch.save(held, buffer)
    write_atomic(path, buffer.getvalue())


def read_state(path: Path, state: State, recipe_sha256: str) -> bool:
    """Put a full state into one that was made by the same recipe; whether the recipe is the very same.

    Raises
    ------
    CheckpointError : it cannot be read, or is of another network
    """
    try:
        held = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
        state.net.load_state_dict(held["net"])
        state.ema.load_state_dict(held["ema"])
        state.optimizer.load_state_dict(held["optimizer"])
        for name in FACTS:
            setattr(state, name, held[name])
        return bool(held["recipe"] == recipe_sha256)
    except Exception as error:  # a file that is cut off raises whatever its reader stumbles over
        raise CheckpointError(
            f"{path} cannot be resumed: {first_line(error)}", fix="begin anew without --resume, or resume the weights"
        ) from None


def write_weights(path: Path, state: State) -> str:
    """Write the small checkpoint in one step; its sha256.

    Values below 1e-15 are cleared: they would only cost time.
    """
    from safetensors.torch import save

    kept = copy.deepcopy(state.ema)
    clear_module(kept)
    tensors = {
        name: (value.half() if value.is_floating_point() and value.ndim > 1 else value).cpu().contiguous()
        for name, value in kept.state_dict().items()
    }
    expect_finite({name: one.float().numpy() for name, one in tensors.items()}, str(path))
    facts = msgspec.json.encode({name: getattr(state, name) for name in FACTS}).decode()
    data: bytes = save(tensors, metadata={KEY: facts})
    write_atomic(path, data)
    return hashlib.sha256(data).hexdigest()


def resume_weights(path: Path, state: State) -> None:
    """Go on from a small checkpoint: its weights are both the average and the ones that learn; the rate warms up again.

    Raises
    ------
    CheckpointError : it is none, or of another network
    """
    from safetensors import safe_open

    try:
        with safe_open(str(path), "pt") as file:
            facts: dict[str, Any] = msgspec.json.decode((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)
        for module in (state.net, state.ema):
            module.load_state_dict({name: value.to(module.state_dict()[name].dtype) for name, value in tensors.items()})
        for name in FACTS:
            setattr(state, name, facts[name])
    except Exception as error:
        raise CheckpointError(
            f"{path} cannot be resumed: {first_line(error)}", fix="give a .safetensors that `train` wrote"
        ) from None
    state.warm_from = state.step
