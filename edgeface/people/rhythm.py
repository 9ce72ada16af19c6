"""How far apart a camera's frames are, and which silence is therefore none: its frame interval, learned as it goes."""

from __future__ import annotations

from collections import deque
from statistics import median

RECENT = 5
"""Intervals of which the median is taken: one outage among them does not count."""
MISSING = 3.0
"""Two frames in a row may be missing: a silence up to so many intervals is the camera's rhythm."""
UNKNOWN_S = 10.0
"""A silence up to here ends nothing before a second frame has told how far apart they are."""


class Rhythm:
    """Frame interval of one camera, from the numbers and the source times of its frames.

    A camera counts its frames, also those that nobody had time for: a gap in the numbers is ours, not the camera's.

    Attributes
    ----------
    interval_s : seconds between two frames of the camera; None while unknown
    """

    def __init__(self) -> None:
        self._last: tuple[int | None, float] | None = None
        self._recent: deque[float] = deque(maxlen=RECENT)
        self.interval_s: float | None = None

    def add(self, time_s: float, index: int | None = None) -> float:
        """Take in a frame; the seconds for which the camera gave none before it, on average where it gave several.

        Parameters
        ----------
        index : the camera's own number of the frame; None: it gives every frame. Numbers that start again, since the
            camera was opened again, tell no interval.
        """
        last, self._last = self._last, (index, time_s)
        if last is None:
            return 0.0
        before, before_s = last
        silence_s = max(0.0, time_s - before_s)
        steps = 1 if index is None or before is None else index - before
        if steps < 1:
            return silence_s
        self._recent.append(silence_s / steps)
        self.interval_s = median(self._recent)
        return silence_s / steps

    def patience_s(self, lost_after_s: float) -> float:
        """Longest silence that is no absence: ``lost_after_s``, or a few intervals of a camera slower than that."""
        interval_s = self.interval_s
        return max(lost_after_s, UNKNOWN_S if interval_s is None else MISSING * interval_s)
