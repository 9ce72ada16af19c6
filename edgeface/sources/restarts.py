"""Whether a live stream may have begun anew on the same connection, so that its pictures may have another size.

OpenCV scales whatever comes to the size of the first picture and does not tell. A camera that is given another
resolution starts its encoder anew, though: for a moment nothing comes, time stamps go back, or the next picture shows
another part of the scene. Each of these has other causes as well, so it is no more than a reason to look.
"""

from __future__ import annotations

import numpy as np

from edgeface.types import Image

PAUSE_S = 1.0
"""Between two pictures; an encoder takes so long to start."""
BACK_MS = 100.0
"""By so much a time stamp is earlier than the one before; pictures that arrive out of order differ by less."""
CONTRAST = 8.0
"""Deviation in levels below which a picture is blank, or nothing but noise."""
SAME = 0.5
"""Correlation of two pictures in a row from which on they show the same."""
GRID = 16


class Restarts:
    """Watches the pictures of one connection."""

    def __init__(self) -> None:
        self._before: Image | None = None
        self._stamp_ms = self._time_s = 0.0

    def see(self, image: Image, *, stamp_ms: float, time_s: float) -> bool:
        """Take in a picture, its stamp in the stream and when it came; whether the stream may begin anew with it."""
        height, width = image.shape[:2]
        before, self._before = self._before, image[:: max(1, height // GRID), :: max(1, width // GRID)].copy()
        stamp_before_ms, self._stamp_ms = self._stamp_ms, stamp_ms
        time_before_s, self._time_s = self._time_s, time_s
        if before is None:
            return False
        back = stamp_ms < stamp_before_ms - BACK_MS
        return back or time_s - time_before_s >= PAUSE_S or _is_cut(before, self._before)


def _is_cut(one: Image, other: Image) -> bool:
    here, there = (picture.astype(np.float32).ravel() for picture in (one, other))
    here, there = here - here.mean(), there - there.mean()
    norms = float(np.linalg.norm(here)), float(np.linalg.norm(there))
    if min(norms) < CONTRAST * here.size**0.5:
        return False
    return float(here @ there) < SAME * norms[0] * norms[1]
