"""Which columns of an output a head reads: one output may hold several answers side by side."""

from __future__ import annotations

from collections.abc import Mapping

from edgeface.bundle import AttributeHead
from edgeface.errors import BundleError
from edgeface.types import F32


def select(outputs: Mapping[str, F32], head: AttributeHead) -> F32:
    """Values of a head: the columns (N, K) that it names of its output, or the whole output where it names none.

    Raises
    ------
    BundleError : the output has no such column
    """
    raw = outputs[head.output]
    if not head.columns:
        return raw
    if raw.ndim != 2 or not 0 <= min(head.columns) <= max(head.columns) < raw.shape[1]:
        raise BundleError(
            f"output {head.output} gives {raw.shape[1:]} values and has no columns {list(head.columns)}",
            fix="install the bundle again",
        )
    chosen: F32 = raw[:, list(head.columns)]
    return chosen
