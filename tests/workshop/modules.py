"""Torch modules as the workshop's tests make and ask them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from converters.networks import make_network


def seeded(family: str, **options: Any) -> Any:
    """A network with the same random weights every time."""
    torch.manual_seed(11)
    return make_network(family, options)


def run(module: nn.Module, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Answers without gradients."""
    with torch.no_grad():
        return tuple(module(*inputs))
