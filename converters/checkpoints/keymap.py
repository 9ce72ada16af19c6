"""Checkpoints into networks: a key map (see `keyfile`) says which of their tensors becomes which of ours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from converters.checkpoints.keyfile import KeyMap, read_maps
from converters.checkpoints.layouts import PLAIN, to_torch_axes
from converters.checkpoints.pieces import fold_bias, fold_weight, make_piece
from converters.checkpoints.prefixes import unwrapped
from converters.formats.errors import CheckpointError
from edgeface.types import F32

SHOWN = 6
"""Names in a message; of more it says how many."""


class Fit(NamedTuple):
    """What a map makes of a checkpoint: our tensors, and what is wrong with it (empty lists: nothing)."""

    state: dict[str, F32]
    missing: list[str]
    extra: list[str]
    misshapen: list[str]

    @property
    def faults(self) -> int:
        """How many tensors do not fit."""
        return len(self.missing) + len(self.extra) + len(self.misshapen)


def load_weights(module: Any, family: str, kind: str, tensors: Mapping[str, F32]) -> None:
    """Put a checkpoint's tensors into a network, which is in eval mode afterwards.

    A function ``adapt(tensors) -> tensors`` beside the network's class goes before the map: for what no map can say.

    Parameters
    ----------
    module : a torch module of the family
    kind : of the checkpoint, see `reading.kind_of`
    tensors : as `reading.read_tensors` gives them

    Raises
    ------
    CheckpointError : no map for this kind, which tensors are missing, extra or of another shape, or not all numbers
    """
    import torch  # maps are also read where no network is made

    best = best_fit(module, family, kind, tensors)
    if best.faults:
        raise CheckpointError(
            f"the checkpoint does not fit {family}: {describe_faults(best)}",
            fix="bring a checkpoint of this network, or write a key map for it",
        )
    expect_finite(best.state, f"the checkpoint for {family}")
    module.load_state_dict({name: torch.tensor(array) for name, array in best.state.items()}, strict=False)
    module.eval()


def expect_finite(tensors: Mapping[str, F32], name: str) -> None:
    """Raise CheckpointError for weights that are not numbers: those of a training that came apart."""
    bad = {key: int(np.count_nonzero(~np.isfinite(array))) for key, array in tensors.items()}
    bad = {key: count for key, count in bad.items() if count}
    if bad:
        key, count = next(iter(bad.items()))
        more = f" and {len(bad) - 1} more tensors" if len(bad) > 1 else ""
        raise CheckpointError(
            f"{name} holds {count:,} values in {key}{more} that are not numbers (NaN or infinite)",
            fix="bring an older checkpoint of that training, from before its loss was NaN",
        )


def best_fit(module: Any, family: str, kind: str, tensors: Mapping[str, F32]) -> Fit:
    """What the best of a family's key maps makes of a checkpoint, whatever wraps its names; see `load_weights`.

    Raises
    ------
    CheckpointError : no map for this kind
    """
    adapt = getattr(sys.modules[type(module).__module__], "adapt", None) or dict
    maps, shapes = read_maps(family, kind), parameter_shapes(module)
    tried = (fit(key_map, shapes, adapt(given)) for given in unwrapped(tensors) for key_map in maps)
    return min(tried, key=lambda one: one.faults)


def parameter_shapes(module: Any) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor that a checkpoint must give, by our name; counters of batches are none."""
    held = module.state_dict()
    return {name: tuple(value.shape) for name, value in held.items() if value.is_floating_point()}


def fit(key_map: KeyMap, shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, F32]) -> Fit:
    """Apply a map to a checkpoint for a network whose tensors have these shapes.

    Entries for tensors that the network has not (it was made with fewer layers) are passed over.
    """
    result = Fit(state={}, missing=[], extra=[], misshapen=[])
    used: set[str] = set()
    explained: set[str] = set()
    for ours, names, make in _entries(key_map, shapes, tensors):
        explained.add(ours)
        used.update(names)
        absent = [name for name in names if name not in tensors]
        result.missing.extend(absent)
        if not absent:
            _put(result, ours, names[0], make)
    for theirs in sorted(tensors.keys() - used):
        ours = key_map.our_name(theirs)
        if ours in shapes and ours not in explained:
            explained.add(ours)
            used.add(theirs)
            _put(result, ours, theirs, partial(to_torch_axes, tensors[theirs], PLAIN, shapes[ours]))
    result.missing.extend(sorted(shapes.keys() - explained))
    result.extra.extend(name for name in sorted(tensors.keys() - used) if not key_map.may_be_left(name))
    return result


def describe_faults(fitted: Fit) -> str:
    """Return what does not fit, in words: missing, extra and misshapen tensors, the first few of each by name."""
    parts = []
    for words, names in (("missing", fitted.missing), ("extra", fitted.extra), ("another shape", fitted.misshapen)):
        distinct = list(dict.fromkeys(names))
        if distinct:
            more = f" and {len(distinct) - SHOWN} more" if len(distinct) > SHOWN else ""
            parts.append(f"{words}: {', '.join(distinct[:SHOWN])}{more}")
    return "; ".join(parts)


def _put(result: Fit, ours: str, theirs: str, make: Callable[[], F32]) -> None:
    try:
        result.state[ours] = make()
    except (ValueError, IndexError) as error:
        result.misshapen.append(f"{theirs} {error}")


def _entries(
    key_map: KeyMap, shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, F32]
) -> Iterator[tuple[str, list[str], Callable[[], F32]]]:
    """Our name, their names, and what makes ours of theirs."""
    for ours, piece in key_map.pieces():
        if ours in shapes:
            yield ours, piece.sources, partial(make_piece, piece, shapes[ours], tensors)
    for layer, folded in key_map.folds():
        weight, bias = f"{layer}.weight", f"{layer}.bias"
        if weight in shapes:
            yield weight, folded.sources, partial(fold_weight, folded, shapes[weight], tensors)
            yield bias, folded.sources, partial(fold_bias, folded, shapes[weight][:1], tensors)
