"""What the files of a network are held against: the torch module with its weights, or the file that passed through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from converters.checkpoints.archive import read_source
from converters.recipes.schema import NetworkRecipe, own_module
from edgeface.types import F32

Sizes = Mapping[str, tuple[int, ...]]


class Reference(Protocol):
    """A network as it came, that answers float32 (N, C, H, W) inputs.

    ``outputs`` names its answers, new states not included; ``states`` its memory, with shapes without batch.
    """

    @property
    def outputs(self) -> Sequence[str]:
        """Names of the answers."""

    @property
    def states(self) -> Sizes:
        """Names of the memory, shapes without batch."""

    def run(self, tensor: F32, states: Mapping[str, F32] | None = None) -> dict[str, F32]:
        """Answers and new states by name."""


class TorchReference:
    """A torch module with its weights."""

    def __init__(self, network: NetworkRecipe) -> None:
        self.module: Any = load_module(network)
        self._outputs: tuple[str, ...] = tuple(self.module.outputs)
        self._states: Sizes = dict(getattr(self.module, "states", {}))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the answers."""
        return self._outputs

    @property
    def states(self) -> Sizes:
        """Names of the memory, shapes without batch."""
        return self._states

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that it gives, in its order: answers, then new states."""
        return (*self.outputs, *map(new_state, self.states))

    def run(self, tensor: F32, states: Mapping[str, F32] | None = None) -> dict[str, F32]:
        """Answers and new states by name; memory that is not given is empty."""
        import torch

        memory = states or {}
        rest = [memory.get(name, np.zeros((len(tensor), *size), np.float32)) for name, size in self.states.items()]
        with torch.no_grad():
            answers = self.module(*(torch.from_numpy(np.ascontiguousarray(array)) for array in (tensor, *rest)))
        return {name: answer.numpy() for name, answer in zip(self.names, answers, strict=True)}


def new_state(name: str) -> str:
    """Name of the output that gives a state back."""
    return f"{name}_next"


def feed(network: NetworkRecipe, tensor: F32) -> F32:
    """Input of a network for single faces (N, C, H, W): as they are, or moving through a window (N, T, C, H, W)."""
    if not network.frames:
        return tensor
    frames: F32 = np.stack([np.roll(tensor, step, axis=3) for step in range(*network.frames)], axis=1)
    return frames


def load_module(network: NetworkRecipe) -> Any:
    """Torch module of a network: with the weights of its checkpoint, or seeded random ones.

    Raises
    ------
    EdgefaceError : the checkpoint is not to be had or does not fit the family
    """
    import torch  # a build that reuses what was made needs no torch

    from converters.checkpoints.keymap import load_weights
    from converters.checkpoints.reading import kind_of, read_tensors
    from converters.export.denormals import clear_module
    from converters.networks import make_network

    assert network.family is not None
    torch.manual_seed(network.seed)
    module: Any = make_network(network.family, network.options)
    if own_module(network.family) is not None:
        _name_outputs(module, network)
    if network.source is not None and not network.random:
        data, companions = read_source(network.source)
        tensors = read_tensors(data, network.source.path, companions)
        load_weights(module, network.family, kind_of(network.source.path), tensors)
        _hold_against_source(module, network, data, companions)
        clear_module(module)
    return module.eval()


def _hold_against_source(module: Any, network: NetworkRecipe, data: bytes, companions: Mapping[str, bytes]) -> None:
    """Refuse a module that answers otherwise than the file of its weights, where that is one that runs."""
    from converters.inspection.own_answers import hold_against_file

    source, spec = network.source, network.input
    assert source is not None
    assert network.family is not None
    size = (spec.height, spec.width) if spec.height and spec.width else None
    name = Path(source.path).name
    hold_against_file(module, data, name, network.family, companions=companions, size=size)


def _name_outputs(module: Any, network: NetworkRecipe) -> None:
    """Give somebody's own module the names of its outputs where it does not say them."""
    import torch

    from converters.networks.own import output_names

    side = 2 * (network.input.multiple_of or 16)
    size = network.input.height or side, network.input.width or side
    shapes = [(*network.frames, network.channels, *size), *dict(getattr(module, "states", {})).values()]
    only = str(getattr(network.head, "output", "output"))
    module.outputs = output_names(module, [torch.zeros((1, *shape)) for shape in shapes], only)
