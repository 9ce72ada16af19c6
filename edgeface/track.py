"""Detections over time become tracks: two-step association with a motion model, all constants in seconds.

After Zhang et al. 2022 (ByteTrack, section 3): confident detections are matched first, the doubtful rest may only
continue a track. Different from there: distances are in face sizes between predicted and found centre, since faces
are small and move further than their own box between two frames of a slow camera, where boxes no longer overlap; and
the match is optimal within each group of tracks and detections that could belong together.

Plain Python floats: with a handful of faces numpy's call overhead would cost more than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, hypot, log

import numpy as np

from edgeface.matching import match
from edgeface.types import Detections, Track

POSITION_S = 0.05
"""Time constant of the position filter: jitter of a fast camera is smoothed, a slow camera is followed at once."""
VELOCITY_S = 0.25
"""Time constant of the velocity filter."""
COAST_S = 1.0
"""Time constant with which a velocity fades while a person is not seen: people stop, they do not fly away."""
GATE_SIZES, GATE_SPEED, GATE_MOST = 0.55, 1.4, 3.0
"""Farthest match in face sizes: a base, plus face sizes per second since the last detection, and an upper bound."""
FRESH_SPEED = 1.0
"""Extra gate, in face sizes per second, of a track whose velocity is not known yet."""
SIZE_RATIO = 2.0
"""A face does not grow or shrink beyond this factor between two sightings."""
SIZE_WEIGHT = 0.5
"""Cost of a factor e in size, in face sizes of distance."""
TRACKS = 64
"""Most tracks at a time; further new faces are ignored and counted until there is room."""


@dataclass(slots=True)
class _State:
    """One tracked face: centre, size, velocity in pixels and pixels per second."""

    id: int
    x: float
    y: float
    width: float
    height: float
    score: float
    started_s: float
    seen_s: float
    vx: float = 0.0
    vy: float = 0.0
    hits: int = 1
    searched: int = 1
    confirmed: bool = False
    detection: int | None = None
    face: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    @property
    def size(self) -> float:
        return (self.width + self.height) / 2


class Tracker:
    """Follows the faces of one camera.

    Parameters
    ----------
    lost_after_s : a track that was not detected for longer ends
    confirm_s : presence needed for a confirmed track
    min_hits : detections needed for a confirmed track
    high_score : detections from here on may begin a track

    Attributes
    ----------
    ignored : confident new faces for which there was no room
    """

    def __init__(self, *, lost_after_s: float, confirm_s: float, min_hits: int = 2, high_score: float = 0.6) -> None:
        self._lost_after_s = lost_after_s
        self._confirm_s = confirm_s
        self._min_hits = min_hits
        self._high_score = high_score
        self._states: list[_State] = []
        self._last_s: float | None = None
        self._next_id = 1
        self.ignored = 0

    def update(self, time_s: float, detections: Detections | None) -> list[Track]:
        """Move all tracks to ``time_s`` and give them the detections of that frame.

        Parameters
        ----------
        detections : None for a frame that was not searched: tracks are predicted, which is neither hit nor miss

        Returns
        -------
        All live tracks, also those not seen in this frame, in the order in which they began.
        """
        elapsed_s = 0.0 if self._last_s is None else max(0.0, time_s - self._last_s)
        self._last_s = time_s
        for state in self._states:
            _predict(state, elapsed_s, time_s)
        if detections is not None:
            self._associate(time_s, detections)
        self._states = [s for s in self._states if time_s - s.seen_s <= self._patience_s(s)]
        return [_track(state) for state in self._states]

    def _patience_s(self, state: _State) -> float:
        """Seconds without a detection that a track survives: a glimpse is forgotten sooner than a person."""
        return self._lost_after_s if state.confirmed else max(0.5, self._lost_after_s / 2)

    def _associate(self, time_s: float, detections: Detections) -> None:
        found = [
            ((x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, 1.0), max(y2 - y1, 1.0))
            for x1, y1, x2, y2 in detections.boxes.tolist()
        ]
        scores: list[float] = detections.scores.tolist()
        for state in self._states:
            state.searched += 1
        high = [row for row, score in enumerate(scores) if score >= self._high_score]
        low = [row for row, score in enumerate(scores) if score < self._high_score]
        free = list(self._states)
        taken: set[int] = set()
        for rows, strictness in ((high, 1.0), (low, 0.7)):
            pairs = _pairs(free, [found[row] for row in rows], time_s, strictness)
            for index, position in pairs:
                row = rows[position]
                self._hit(free[index], found[row], scores[row], row, time_s)
                taken.add(row)
            matched = {index for index, _ in pairs}
            free = [state for index, state in enumerate(free) if index not in matched]
        for row in high:
            if row not in taken:
                self._begin(found[row], scores[row], row, time_s)

    def _hit(
        self, state: _State, face: tuple[float, float, float, float], score: float, row: int, time_s: float
    ) -> None:
        _correct(state, face, time_s)
        state.score, state.detection, state.seen_s, state.face = score, row, time_s, face
        state.hits += 1
        present_s = time_s - state.started_s
        # Flicker is no person: at least every other searched frame must have shown the face.
        if state.hits >= self._min_hits and present_s >= self._confirm_s and 2 * state.hits >= state.searched:
            state.confirmed = True

    def _begin(self, face: tuple[float, float, float, float], score: float, row: int, time_s: float) -> None:
        if len(self._states) >= TRACKS and not self._make_room():
            self.ignored += 1
            return
        x, y, width, height = face
        self._states.append(
            _State(
                id=self._next_id,
                x=x,
                y=y,
                width=width,
                height=height,
                score=score,
                started_s=time_s,
                seen_s=time_s,
                detection=row,
                face=face,
                confirmed=self._confirm_s == 0 and self._min_hits <= 1,
            )
        )
        self._next_id += 1

    def _make_room(self) -> bool:
        """Drop the unconfirmed track that was not seen for the longest time; False when there is none."""
        idle = [state for state in self._states if not state.confirmed and state.detection is None]
        if not idle:
            return False
        self._states.remove(min(idle, key=lambda state: state.seen_s))
        return True


def _predict(state: _State, elapsed_s: float, time_s: float) -> None:
    state.detection = None
    if elapsed_s == 0:
        return
    # Fades from the second frame without the face on: the first prediction after a sighting is at full speed.
    if time_s - elapsed_s > state.seen_s:
        fade = exp(-elapsed_s / COAST_S)
        state.vx *= fade
        state.vy *= fade
    state.x += state.vx * elapsed_s
    state.y += state.vy * elapsed_s


def _correct(state: _State, face: tuple[float, float, float, float], time_s: float) -> None:
    x, y, width, height = face
    unseen_s = max(time_s - state.seen_s, 1e-3)
    age_s = max(time_s - state.started_s, unseen_s)
    gain = 1 - exp(-unseen_s / POSITION_S)
    # A young track learns its velocity faster: as a mean over its life, until that is longer than the constant.
    velocity_gain = 1 - exp(-unseen_s / min(VELOCITY_S, age_s))
    off_x, off_y = x - state.x, y - state.y
    state.vx += velocity_gain * off_x / unseen_s
    state.vy += velocity_gain * off_y / unseen_s
    state.x += gain * off_x
    state.y += gain * off_y
    state.width += gain * (width - state.width)
    state.height += gain * (height - state.height)


def _pairs(
    states: Sequence[_State],
    faces: Sequence[tuple[float, float, float, float]],
    time_s: float,
    strictness: float,
) -> list[tuple[int, int]]:
    """Best pairs of track and face; pairs beyond the gate are never made."""
    costs: dict[tuple[int, int], float] = {}
    for index, state in enumerate(states):
        unseen_s = time_s - state.seen_s
        speed = GATE_SPEED + (FRESH_SPEED if state.hits < 3 else 0.0)
        gate = strictness * min(GATE_MOST, GATE_SIZES + speed * unseen_s)
        for row, (x, y, width, height) in enumerate(faces):
            size = max(state.size, (width + height) / 2)
            distance = hypot(x - state.x, y - state.y) / size
            if distance > gate:
                continue
            ratio = abs(log((width + height) / (2 * state.size)))
            if ratio <= log(SIZE_RATIO):
                costs[index, row] = distance + SIZE_WEIGHT * ratio
    return match(costs)


def _track(state: _State) -> Track:
    predicted = (state.x, state.y, state.width, state.height)
    x, y, width, height = predicted if state.detection is None else state.face
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return Track(
        id=state.id,
        box=np.array(box, dtype=np.float32),
        score=state.score,
        detection=state.detection,
        started_s=state.started_s,
        seen_s=state.seen_s,
        confirmed=state.confirmed,
    )
