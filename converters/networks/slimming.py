"""Fewer channels for the trunk of age-v1: what its weights say least with is left out, the rest goes on as it was.

By the size of weights: Li, Kadav, Durdanovic, Samet, Graf: Pruning Filters for Efficient ConvNets. ICLR 2017, section
3.1; a channel between two convolutions counts as the product of both sides' norms. What is lost beyond dead channels,
training brings back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

BLOCKS = 5


def slim(weights: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Weights of a trunk (and its heads) in the shapes of one with fewer channels in the stem and inside blocks.

    Parameters
    ----------
    weights : ``stem``, ``blocks.N.first``, ``blocks.N.second``, ``heads.*``, each ``.weight`` and ``.bias``
    shapes : by the same names; where they have as many channels, weights stay as they are
    """
    found = dict(weights)
    if len(found["stem.weight"]) > shapes["stem.weight"][0]:
        found = _slim_stem(found, shapes["stem.weight"][0])
    for number in range(BLOCKS):
        first, second = f"blocks.{number}.first", f"blocks.{number}.second"
        kept = shapes[f"{first}.weight"][0]
        if len(found[f"{first}.weight"]) > kept:
            into, out = found[f"{first}.weight"].flatten(1), found[f"{second}.weight"].transpose(0, 1).flatten(1)
            chosen = _strongest(into.norm(dim=1) * out.norm(dim=1), kept)
            found[f"{first}.weight"] = found[f"{first}.weight"][chosen]
            found[f"{first}.bias"] = found[f"{first}.bias"][chosen]
            found[f"{second}.weight"] = found[f"{second}.weight"][:, chosen]
    return found


def _slim_stem(weights: Mapping[str, Tensor], kept: int) -> dict[str, Tensor]:
    """Keep ``kept`` channels of the stem.

    Shortcuts add them to the first channels of all that follows: there the kept ones come first, in the same order
    everywhere, up to the heads.
    """
    width = len(weights["stem.weight"])
    chosen = _strongest(weights["stem.weight"].flatten(1).norm(dim=1), kept)
    rest = [channel for channel in range(width) if channel not in set(chosen.tolist())]
    order = torch.tensor([*chosen.tolist(), *rest])

    def ordered(value: Tensor, axis: int) -> Tensor:
        every = torch.cat([order, torch.arange(width, value.shape[axis])])
        return value.index_select(axis, every)

    found = dict(weights)
    for name, value in weights.items():
        if name.startswith("stem."):
            found[name] = value[chosen]
        elif ".second." in name:
            found[name] = ordered(value, 0)
        elif name.endswith("first.weight") or (name.startswith("heads.") and value.dim() == 2):
            found[name] = ordered(value, 1)
    found["blocks.0.first.weight"] = found["blocks.0.first.weight"][:, :kept]
    return found


def _strongest(strength: Tensor, count: int) -> Tensor:
    """Indices of the strongest, in their own order."""
    return strength.topk(count).indices.sort().values
