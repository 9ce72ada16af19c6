"""Names without what wraps them: ``model.``, ``module.``, ``net.`` and the like, which frameworks put in front."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgeface.types import F32

WRAPPERS = frozenset({"model", "module", "net", "network", "student", "teacher", "ema", "ema_model", "model_ema"})
"""Parts of names that may stand before a network's own while something else (a loss, say) stands beside it."""


def unwrapped(tensors: Mapping[str, F32]) -> Iterator[Mapping[str, F32]]:
    """Tensors as they are, then with one part more taken off the front of every name, as long as all share it."""
    yield tensors
    for mark in "./":
        parts = {name.partition(mark)[0] for name in tensors if mark in name}
        for part in sorted(parts):
            inside = {name[len(part) + 1 :]: array for name, array in tensors.items() if name.startswith(part + mark)}
            if len(inside) == len(tensors) or part in WRAPPERS:
                yield from unwrapped(inside)
