"""Source time from the time stamps of a file, which may be missing, stand still, jump, or be nonsense."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

FAR_S = 60.0
"""A last frame further away than this is not believed: no other stands by it."""
MOST_S = 86_400.0
"""A stamp beyond a day is a date, or noise: the film starts at 0, or goes on where it was."""


class SourceTime:
    """Turns stamps into times that only grow.

    A frame is judged by its neighbours. A stamp ahead of both the frame before and the frame after is alone and counts
    as missing; where the next goes on from it, it was a pause. Two in a row that agree on an earlier time are a new
    count, which goes on where the old one was.

    Attributes
    ----------
    rejected_s : the largest stamp that was not believed; a file's announced length may rest on it
    """

    def __init__(self, step_s: float) -> None:
        self.rejected_s = 0.0
        self._step_s = step_s
        self._near_s = max(1.0, 3 * step_s)
        self._time_s = -step_s
        self._offset_s = 0.0
        self._started = False

    def times(self, frames: Iterable[tuple[T, float]]) -> Iterator[tuple[T, float]]:
        """Frames and their source times in seconds, from frames and their stamps; one frame is read ahead."""
        waiting: tuple[T, float] | None = None
        for frame in frames:
            if waiting is not None:
                yield waiting[0], self._next(waiting[1], frame[1])
            waiting = frame
        if waiting is not None:
            yield waiting[0], self._next(waiting[1], math.nan)

    def _next(self, stamp_s: float, following_s: float) -> float:
        if not math.isfinite(stamp_s):
            self._time_s += self._step_s
        elif not self._started:
            self._time_s = self._first(stamp_s, following_s)
        else:
            self._time_s = self._after(stamp_s - self._offset_s, following_s - self._offset_s)
        self._started = True
        return self._time_s

    def _first(self, stamp_s: float, following_s: float) -> float:
        if abs(stamp_s) > MOST_S:
            if abs(following_s - stamp_s) <= FAR_S:
                self._offset_s = stamp_s
            else:
                self.rejected_s = max(self.rejected_s, stamp_s)
            return 0.0
        if following_s < stamp_s - self._near_s:
            self.rejected_s = max(self.rejected_s, stamp_s)
            return max(0.0, following_s - self._step_s)
        return max(0.0, stamp_s)

    def _after(self, time_s: float, following_s: float) -> float:
        """Time of a frame behind others; both times are counted from where the film's own count started."""
        expected_s = self._time_s + self._step_s
        if time_s <= self._time_s:
            if time_s < following_s <= expected_s:
                self._offset_s += time_s - expected_s
            return expected_s
        if time_s - expected_s <= self._near_s:
            return time_s
        alone = following_s <= time_s or (math.isnan(following_s) and time_s - expected_s > FAR_S)
        if not alone and time_s - expected_s <= MOST_S:
            return time_s
        if alone:
            self.rejected_s = max(self.rejected_s, time_s + self._offset_s)
        else:
            self._offset_s += time_s - expected_s
        return expected_s
