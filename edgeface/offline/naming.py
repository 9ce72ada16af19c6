"""Which visit a face of a video belongs to: known only when somebody has been there for long enough, or came back.

So the frames before that wait, without their pictures, for at most `HOLD_S` of the video.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from edgeface.offline.results import Analysis
from edgeface.types import Track
from edgeface.visit import Visit

HOLD_S = 2.0
"""A frame is told after so long, whatever is known by then."""


class Naming:
    """Gives each face of a video its visit, frame by frame."""

    def __init__(self) -> None:
        self._held: deque[tuple[float, Analysis]] = deque()
        self._visits: dict[int, str] = {}
        self._joined: dict[int, int] = {}

    def add(
        self, analysis: Analysis, time_s: float, tracks: Sequence[Track], visits: Sequence[Visit]
    ) -> list[Analysis]:
        """Take in a frame; give those that need not wait any longer, in their order, with the visits in their faces."""
        self._held.append((time_s, analysis))
        self._visits = {visit.track: visit.id for visit in visits}
        for track in tracks:
            if track.exchanged is not None:
                self._exchange(track.id, track.exchanged)
        self._joined |= {track.joined: track.id for track in tracks if track.joined is not None}
        live = {track.id for track in tracks}
        ready: list[Analysis] = []
        while self._held and (time_s - self._held[0][0] > HOLD_S or self._is_decided(self._held[0][1], live)):
            ready.append(self._named(self._held.popleft()[1]))
        if not self._held:
            self._joined.clear()
        return ready

    def rest(self) -> list[Analysis]:
        """Give the frames that still wait: the video is over."""
        rest = [self._named(analysis) for _, analysis in self._held]
        self._held.clear()
        return rest

    def _exchange(self, one: int, other: int) -> None:
        """Two tracks had each other's faces in the frames that show both; the latest one is right already."""
        last = len(self._held) - 1
        swapped: dict[int | None, int | None] = {one: other, other: one}
        for place, (time_s, analysis) in enumerate(self._held):
            if place < last and any(face.track == other for face in analysis.faces):
                faces = [replace(face, track=swapped.get(face.track, face.track)) for face in analysis.faces]
                self._held[place] = time_s, replace(analysis, faces=faces)

    def _is_decided(self, analysis: Analysis, live: set[int]) -> bool:
        return all(self._visit(face.track) is not None or face.track not in live for face in analysis.faces)

    def _named(self, analysis: Analysis) -> Analysis:
        return replace(analysis, faces=[replace(face, visit=self._visit(face.track)) for face in analysis.faces])

    def _visit(self, track: int | None) -> str | None:
        return None if track is None else self._visits.get(self._joined.get(track, track))
