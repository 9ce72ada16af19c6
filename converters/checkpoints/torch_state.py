"""State dictionaries of torch, read with ``weights_only``: tensors and nothing that could run."""

from __future__ import annotations

import io
from collections.abc import Mapping

import torch


def read_state(data: bytes) -> Mapping[str, torch.Tensor]:
    """Tensors by name; a ``module.`` prefix left by multi-GPU training is taken off."""
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}
