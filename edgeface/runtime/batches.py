"""How many faces go into one call."""

from __future__ import annotations

from collections.abc import Sequence


def split(count: int, sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Cut ``count`` faces into prepared batch sizes: a list of (size, used), the rest of a batch is padding.

    The largest size that can be filled goes first; what is left takes a larger size only where at least three quarters
    of it are used, since a padded face costs as much as a real one and a call little.
    """
    calls: list[tuple[int, int]] = []
    while count > 0:
        padded = [size for size in sizes if size > count >= 0.75 * size]
        size = padded[0] if padded else max([s for s in sizes if s <= count], default=min(sizes))
        calls.append((size, min(size, count)))
        count -= size
    return calls
