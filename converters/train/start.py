"""The module that is trained, with the weights that it starts from; and teachers, which only answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from converters.checkpoints.keymap import load_weights
from converters.checkpoints.reading import kind_of, read_tensors
from converters.export.denormals import clear_module
from converters.recipes.schema import NetworkRecipe
from converters.references.torch_module import load_module
from converters.train.answers import as_head, expect_outputs, heads_of, logits
from converters.train.recipe import Training
from edgeface.bundle import AttributeHead
from edgeface.errors import UsageError
from edgeface.types import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A module with its first weights.

    ``words`` say where they come from, for people; ``sha256`` pins that file, empty for seeded numbers.
    """

    module: Any
    words: str
    sha256: str


def begin(training: Training) -> Begun:
    """Make the network, with seeded weights and then those of the recipe's start, values below 1e-15 cleared.

    Raises
    ------
    EdgefaceError : the start is not to be had or does not fit
    """
    recipe, network = training.recipe, training.network
    module = load_module(msgspec.structs.replace(network, weights="random", source=None, seed=recipe.seed))
    expect_outputs(module, heads_of(network, training.network_name), training.network_name)
    if recipe.start.network and recipe.start.checkpoint:
        raise UsageError(f"recipe {training.name}: [start] names two beginnings", fix="give network or checkpoint")
    words, sha256 = f"seeded random weights ({recipe.seed})", ""
    if recipe.start.checkpoint:
        path = training.path(recipe.start.checkpoint)
        sha256 = load_checkpoint(module, network, path)
        words = f"the weights of {path.name}"
    elif recipe.start.network:
        name, theirs = training.other_network(recipe.start.network)
        if theirs.source is None or theirs.random:
            raise UsageError(f"network {name} has no weights to start from", fix="name a trained one in [start]")
        words = f"{name}: {_take_over(module, load_module(theirs).state_dict(), name)}"
        sha256 = theirs.source.sha256
    clear_module(module)
    return Begun(module=module, words=words, sha256=sha256)


def _take_over(module: Any, weights: Mapping[str, Tensor], name: str) -> str:
    """Copy what fits by name and shape, or as the module's own ``start_from`` says; how much, in words."""
    given = module.start_from(weights) if hasattr(module, "start_from") else dict(weights)
    own = module.state_dict()
    fitting = {key: value for key, value in given.items() if key in own and own[key].shape == value.shape}
    if not fitting:
        raise UsageError(f"no weight of {name} fits this network", fix="start from one of its family, or leave it out")
    module.load_state_dict(fitting, strict=False)
    fresh = [key for key in own if key not in fitting]
    return f"{len(fitting)} of {len(own)} tensors" + (f", new: {', '.join(fresh[:4])}" if fresh else "")


def load_checkpoint(module: Any, network: NetworkRecipe, path: Path) -> str:
    """Load a checkpoint of the very network; its sha256.

    Raises
    ------
    UsageError : it cannot be read; EdgefaceError : or does not fit
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", fix="correct the recipe's path") from None
    assert network.family is not None
    load_weights(module, network.family, kind_of(path.name), read_tensors(data, path.name))
    return hashlib.sha256(data).hexdigest()


class Teachers:
    """Networks of one recipe whose answers are averaged; they see the student's own faces, brought to their input."""

    def __init__(self, training: Training, device: torch.device) -> None:
        teacher = training.recipe.teacher
        assert teacher is not None
        name, network = training.other_network(teacher.network)
        mine, theirs = training.network.input, network.input
        if mine.crop != theirs.crop or mine.color != theirs.color:
            raise UsageError(f"the teacher {name} sees another crop than the student", fix="give both one crop rule")
        self.heads = heads_of(network, name)
        self.temperature = teacher.temperature
        self.hashes: list[str] = []
        self.modules: list[Any] = []
        for checkpoint in teacher.checkpoints:
            module = load_module(msgspec.structs.replace(network, weights="random", source=None))
            expect_outputs(module, self.heads, name)
            self.hashes.append(load_checkpoint(module, network, training.path(checkpoint)))
            clear_module(module)
            self.modules.append(module.to(device, memory_format=torch.channels_last).eval())
        self._size = (theirs.height, theirs.width)
        # x is (pixel - mean) * scale to either: one line from the student's x to the teacher's.
        ratio = [b / a for a, b in zip(mine.scales, theirs.scales, strict=True)]
        shift = [(m - t) * b for m, t, b in zip(mine.means, theirs.means, theirs.scales, strict=True)]
        self._ratio = torch.tensor(ratio, device=device).view(1, -1, 1, 1)
        self._shift = torch.tensor(shift, device=device).view(1, -1, 1, 1)

    def __call__(self, faces: Tensor, wanted: Mapping[Task, AttributeHead]) -> dict[Task, Tensor]:
        """Mean probabilities (N, K) by question for the student's faces (N, C, H, W), as its heads have them."""
        seen = faces * self._ratio + self._shift
        if seen.shape[2:] != self._size:
            seen = torch.nn.functional.interpolate(seen, self._size, mode="bilinear", antialias=True)
        seen = seen.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            said = [logits(module, self.heads, seen) for module in self.modules]
        found: dict[Task, Tensor] = {}
        for task, head in wanted.items():
            own = self.heads.get(task)
            rows = [as_head(head, own, one[task], self.temperature) for one in said] if own is not None else []
            same = [row for row in rows if row is not None]
            if same:
                found[task] = torch.stack(same).mean(0)
        if not found:
            raise UsageError("the teacher answers none of the student's questions", fix="give both the same heads")
        return found
