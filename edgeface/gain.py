"""How many times as bright what is dark becomes: networks have learned from pictures that people took by day."""

from __future__ import annotations

import numpy as np

from edgeface.types import F32

USUAL, GAIN_MOST = 0.3, 8.0
"""How bright what is dark is to be, 0 to 1, and how many times as bright it becomes at most: what is darker still is
noise."""
LEAST = USUAL / GAIN_MOST
"""What is darker counts as this."""


def gain(mean: F32, *, dusk: float, night: float, most: F32 | float = GAIN_MOST) -> F32:
    """How many times as bright places become, 1 to `GAIN_MOST`, in the shape of ``mean``.

    Parameters
    ----------
    mean : how bright they are, 0 to 1
    dusk, night : below the first a place begins to be made brighter, from the second on it is wholly: between the two,
        what light does little to changes little
    most : at most so many times, of each place or of all
    """
    wholly = np.clip((dusk - mean) / (dusk - night), 0, 1)
    wanted = np.clip(np.minimum(USUAL / np.maximum(mean, LEAST), most), 1, None)
    gains: F32 = 1 + (wanted - 1) * wholly
    return gains
