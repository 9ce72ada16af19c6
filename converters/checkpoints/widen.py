"""Weights stored in fewer bits, widened to float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeface.types import F32


def widen(values: Any, scales: Any, zeros: Any = None, axis: int = 0) -> F32:
    """``(values - zeros) * scales`` in float32.

    Parameters
    ----------
    values : whole numbers of any shape
    scales, zeros : one number, or one per slice of ``axis``; zeros None: 0
    axis : of the slices; unused where there is one scale
    """
    shape = [1] * np.ndim(values)
    if np.size(scales) > 1:
        shape[axis] = -1
    scale = np.asarray(scales, np.float32).reshape(shape)
    zero = (
        np.float32(0) if zeros is None else np.asarray(zeros, np.float32).reshape(shape if np.size(zeros) > 1 else [])
    )
    widened: F32 = (np.asarray(values, np.float32) - zero) * scale
    return widened
