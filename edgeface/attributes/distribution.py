"""Distributions over classes: what heads that answer with probabilities share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeface.types import F32


def normalised(raw: F32) -> F32:
    """Rows (..., K) brought to a sum of 1; what quantization left below zero is zero."""
    raw = np.maximum(raw, 0)
    rows: F32 = raw / np.maximum(raw.sum(axis=-1, keepdims=True), np.float32(1e-12))
    return rows


def tempered(rows: F32, temperature: float) -> F32:
    """Rows (..., K) that sum to 1, as their logits divided by ``temperature`` would give them; at 1 as they are."""
    if temperature == 1:
        return rows
    likeliest = np.maximum(rows.max(axis=-1, keepdims=True), np.float32(1e-12))  # so that no power of all is nought
    return normalised((rows / likeliest) ** np.float32(1 / temperature))


def bounds(probabilities: F32, support: F32, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Years at two percentiles of one distribution, shape (K,), over ``support`` years.

    The cumulative distribution is interpolated, each class's mass centred on its age.
    """
    cumulative: npt.NDArray[np.float64] = probabilities.cumsum(dtype=np.float64) - probabilities / 2
    low, high = np.interp(np.array(percentiles) / 100, cumulative, support)
    return float(low), float(high)
