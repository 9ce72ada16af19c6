"""A backbone with memory behind it: its recipe, its module, what an arm trains of it, what it answers to windows."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

import msgspec
import numpy as np
import torch

from converters.networks import make_network
from converters.recipes.schema import NetworkRecipe
from converters.references.torch_module import new_state
from converters.train.answers import heads_of, logits, probabilities
from converters.train.features import Features
from converters.train.memory import Arm, layers_of
from converters.train.recipe import Training
from converters.train.start import Begun
from edgeface.bundle import AttributeHead, State, Time
from edgeface.types import F32, Task

AT_ONCE = 256
"""Windows that are answered together."""


def run_name(kind: str, arm: str, repeat: int) -> str:
    """Name of a training of a study, such as ``lstm-2.layers.1``."""
    return f"{kind}.{arm.replace('+', '-')}.{repeat}"


def over_time(training: Training, kind: str) -> NetworkRecipe:
    """Recipe of the backbone with memory, which a device runs frame by frame."""
    memory, network = training.recipe.memory, training.network
    assert memory is not None
    cell, layers = layers_of(kind)
    head = heads_of(network, training.network_name)[memory.question]
    made = msgspec.structs.replace(
        network,
        family="over_time",
        options={
            "backbone": network.family,
            "options": dict(network.options),
            "remembers": head.output,
            "cell": cell,
            "layers": layers,
            "shortcut": memory.shortcut,
        },
    )
    states = getattr(make_network("over_time", made.options), "states", {})
    low, high = memory.moving.spacing
    time = Time(
        spacing_s=round(sqrt(low * high), 3),
        window=memory.frames,
        states=tuple(State(input=name, output=new_state(name), shape=shape) for name, shape in states.items()),
    )
    return msgspec.structs.replace(made, time=time if states else None)


def make_net(training: Training, kind: str, begun: Begun | None = None, *, seed: int = 0) -> Any:
    """Window form of a backbone with memory, new layers seeded; with the backbone's weights where it has begun."""
    torch.manual_seed(seed)
    net: Any = make_network("over_time", {**over_time(training, kind).options, "form": "window"})
    if begun is not None:
        net.backbone.load_state_dict(begun.module.state_dict())
    return net


def answer_windows(
    net: Any, heads: Mapping[Task, AttributeHead], task: Task, features: Features, *, bfloat16: bool = False
) -> F32:
    """Probabilities (N, T, K) of a module in evaluation mode at every frame, of features."""
    device, found = next(net.parameters()).device, list[F32]()
    head = {task: heads[task]}
    assert not net.training
    for start in range(0, len(features), AT_ONCE):
        values = features.values[start : start + AT_ONCE]
        seen = torch.from_numpy(values.astype(np.float32)).to(device)
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            said = probabilities(logits(net, head, seen), head)[task]
        found.append(said.cpu().numpy().reshape(len(values), values.shape[1], -1))
    return np.concatenate(found)


def set_trained(net: Any, arm: Arm) -> None:
    """Let an arm's own weights learn, and no others."""
    for parameter in net.parameters():
        parameter.requires_grad_(arm == "all")
    trained = [net.layers, *([net.backbone.heads[net.remembers]] if arm != "layers" else [])]
    for module in trained:
        for parameter in module.parameters():
            parameter.requires_grad_(True)


def weights_count(net: Any) -> int:
    """Numbers that memory adds to the backbone."""
    return sum(parameter.numel() for parameter in net.layers.parameters())
