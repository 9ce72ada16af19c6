"""Whether a live camera has frozen: pictures go on coming, and each is exactly the one before.

A sensor's noise makes any two of its pictures differ, also before a wall and through an encoder. Exact equality for a
long time is therefore no scene but a stuck driver, encoder or relay. Two exceptions: a black or plain picture may be
equal for hours (a lens cap, a night without noise), and shows nobody; and test patterns, for which the rule is off.
"""

from __future__ import annotations

import numpy as np

from edgeface.types import Frame, Image

COARSE, FINE = 32, 4
"""Every so many pixels are compared: of a picture in motion only the coarse ones, a few kilobytes."""
LEAST_CONTRAST = 16
"""Steps of brightness between the darker and the lighter tenth of a picture that shows something."""


class Frozen:
    """Watches the pictures of one camera, over all its connections.

    Parameters
    ----------
    after_s : seconds of the same picture after which it is frozen; 0: never
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._since_s = 0.0
        self._coarse: Image | None = None
        self._fine: Image | None = None
        self._shows = False

    def look(self, frame: Frame) -> bool:
        """Take in the next picture; whether it and all those before have been the same for too long."""
        if not self._after_s:
            return False
        coarse = frame.image[::COARSE, ::COARSE]
        if self._coarse is None or not np.array_equal(coarse, self._coarse):
            self._coarse, self._fine = coarse.copy(), None
            return False
        fine = frame.image[::FINE, ::FINE]
        if self._fine is None or not np.array_equal(fine, self._fine):
            self._fine, self._since_s = fine.copy(), frame.time_s
            self._shows = _contrast(self._fine) >= LEAST_CONTRAST
            return False
        return self._shows and frame.time_s - self._since_s >= self._after_s


def _contrast(image: Image) -> float:
    low, high = np.percentile(image, (10, 90))
    return float(high - low)
