"""Detections over time become tracks: two-step association with a motion model, all constants in seconds.

After Zhang et al. 2022 (ByteTrack, section 3): confident detections are matched first, the doubtful rest may only
continue a track. Different from there: boxes need not overlap, since faces are small and move further than their own
width between two frames of a slow camera. The motion model gives each pair of track and face within the gate an
association cost; the assignment of least cost is found within each group of tracks and faces that could belong
together. Who was seen only once may have moved by several face sizes meanwhile, in any direction: those are matched
last, among what nobody else claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

import msgspec
import numpy as np

from edgeface.people.assignment import UNMATCHED, match
from edgeface.people.motion import Face, Motion, association_cost, begin, correct, predict, stride
from edgeface.people.rhythm import Rhythm
from edgeface.types import Detections, Track

GATE_SIZES, GATE_SPEED, GATE_MOST = 0.55, 1.5, 3.0
"""The gate in face sizes: a base, plus face sizes per second since the last detection, and an upper bound."""
TRACKS = 64
"""Most tracks at a time (64 x 0.5 KB): then unseen tentative tracks go first, and new faces wait; both are counted."""
TICK_S = 1e-3
"""Time stamps are no finer than this: 0.7 s - 0.4 s is 0.3 s."""


@dataclass(slots=True)
class _State:
    """One tracked face; ``searched`` are the frames that were searched since its first detection, which counts."""

    id: int
    motion: Motion
    face: Face
    score: float
    started_s: float
    detection: int | None
    confirmed: bool
    hits: int = 1
    searched: int = 1


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """Where a track will be at an instant, before anybody has looked.

    Attributes
    ----------
    x, y, width, height : middle and size of its box, frame pixels
    spread : deviation of the middle along one axis, in face sizes
    hits : detections so far
    started_s, seen_s : source time of the first and of the latest detection
    """

    x: float
    y: float
    width: float
    height: float
    spread: float
    hits: int
    confirmed: bool
    started_s: float
    seen_s: float


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
    ignored : faces that were not followed because `TRACKS` others were
    """

    def __init__(self, *, lost_after_s: float, confirm_s: float, min_hits: int = 2, high_score: float = 0.6) -> None:
        self._lost_after_s = lost_after_s
        self._confirm_s = confirm_s
        self._min_hits = min_hits
        self._high_score = high_score
        self._states: list[_State] = []
        self._last_s: float | None = None
        self._rhythm = Rhythm()
        self._searched_s = float("-inf")
        self._next_id = 1
        self.ignored = 0

    @property
    def rhythm(self) -> Rhythm:
        """How far apart the camera's frames are."""
        return self._rhythm

    def reset(self) -> None:
        """Drop all tracks: the camera was away."""
        self._states = []

    def succeed(self, other: Tracker) -> None:
        """Follow on whom another one followed, by our own rules from now on."""
        self._states, self._next_id = other._states, other._next_id
        self._last_s, self._searched_s, self._rhythm = other._last_s, other._searched_s, other._rhythm
        self.ignored = other.ignored

    def expected(self, time_s: float) -> list[Expected]:
        """Where everybody who is followed will be at ``time_s``, in the order in which they began; nothing changes."""
        elapsed_s = 0.0 if self._last_s is None else max(0.0, time_s - self._last_s)
        return [_expected(state, elapsed_s, time_s) for state in self._states]

    def update(self, time_s: float, detections: Detections | None, index: int | None = None) -> list[Track]:
        """Move all tracks to ``time_s`` and give them the detections of that frame.

        Parameters
        ----------
        detections : None for a frame that was not searched: tracks are predicted, which is neither hit nor miss
        index : the camera's number of the frame (`Frame.index`): frames that we had no time for are no absence

        Returns
        -------
        All live tracks, also those not seen in this frame, in the order in which they began.
        """
        elapsed_s = 0.0 if self._last_s is None else max(0.0, time_s - self._last_s)
        patience_s = self._rhythm.patience_s(self._lost_after_s)
        if self._rhythm.add(time_s, index) > patience_s + TICK_S:
            # After a gap that is not the camera's usual one identities cannot be trusted.
            self.reset()
        self._last_s = time_s
        for state in self._states:
            state.detection = None
            predict(state.motion, elapsed_s, time_s)
        self._states = [state for state in self._states if not self._is_lost(state, time_s)]
        if detections is not None:
            self._associate(time_s, detections)
            self._searched_s = time_s
            self._states = [state for state in self._states if not self._is_lost(state, time_s)]
        return [_track(state) for state in self._states]

    def _is_lost(self, state: _State, time_s: float) -> bool:
        """Whether a track was missed for too long; a tentative one is dropped sooner than a confirmed one.

        Frames that were not searched miss nobody: where searches are rarer than the patience, one miss ends a track.
        """
        patience_s = self._lost_after_s
        if not state.confirmed:
            patience_s = min(patience_s, max(0.5, patience_s / 2))
        return self._searched_s > state.motion.seen_s and time_s - state.motion.seen_s > patience_s + TICK_S

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
        new = [row for row in high if row not in taken]
        once = [state for state in free if state.hits == 1]
        for index, position in _strides(once, [found[row] for row in new], time_s):
            row = new[position]
            self._hit(once[index], found[row], scores[row], row, time_s)
            taken.add(row)
        new = [row for row in new if row not in taken]
        for row in sorted(new, key=lambda row: (-scores[row], found[row])):
            self._begin(found[row], scores[row], row, time_s)

    def _hit(self, state: _State, face: Face, score: float, row: int, time_s: float) -> None:
        correct(state.motion, face, time_s)
        state.score, state.detection, state.face = score, row, face
        state.hits += 1
        present_s = time_s - state.started_s
        # Flicker is no person: at least every other searched frame must have shown the face.
        long_enough = state.hits >= self._min_hits and present_s >= self._confirm_s - TICK_S
        if long_enough and 2 * state.hits >= state.searched:
            state.confirmed = True

    def _begin(self, face: Face, score: float, row: int, time_s: float) -> None:
        if len(self._states) >= TRACKS and not self._make_room():
            self.ignored += 1
            return
        self._states.append(
            _State(
                id=self._next_id,
                motion=begin(face, time_s),
                face=face,
                score=score,
                started_s=time_s,
                detection=row,
                confirmed=self._confirm_s == 0 and self._min_hits <= 1,
            )
        )
        self._next_id += 1

    def _make_room(self) -> bool:
        """Drop the tentative track that was not seen for the longest time; False when there is none."""
        idle = [state for state in self._states if not state.confirmed and state.detection is None]
        if not idle:
            return False
        self._states.remove(min(idle, key=lambda state: state.motion.seen_s))
        self.ignored += 1
        return True


def _pairs(states: Sequence[_State], faces: Sequence[Face], time_s: float, strictness: float) -> list[tuple[int, int]]:
    """Best pairs of track and face; pairs outside the gate are never made."""
    costs: dict[tuple[int, int], float] = {}
    for index, state in enumerate(states):
        gate = strictness * min(GATE_MOST, GATE_SIZES + GATE_SPEED * (time_s - state.motion.seen_s))
        for row, face in enumerate(faces):
            cost = association_cost(state.motion, face, gate=gate)
            if cost is not None:
                costs[index, row] = min(cost, UNMATCHED - 0.1)
    return match(costs)


def _strides(states: Sequence[_State], faces: Sequence[Face], time_s: float) -> list[tuple[int, int]]:
    """Pairs of tracks that were seen once, whose velocity is unknown, and of faces that nobody else claims."""
    costs: dict[tuple[int, int], float] = {}
    for index, state in enumerate(states):
        for row, face in enumerate(faces):
            share = stride(state.motion, face, time_s)
            if share is not None:
                costs[index, row] = (UNMATCHED - 0.1) * share * share
    return match(costs)


def _expected(state: _State, elapsed_s: float, time_s: float) -> Expected:
    motion = replace(state.motion)
    predict(motion, elapsed_s, time_s)
    return Expected(
        x=motion.x,
        y=motion.y,
        width=motion.width,
        height=motion.height,
        spread=sqrt(motion.place_var),
        hits=state.hits,
        confirmed=state.confirmed,
        started_s=state.started_s,
        seen_s=motion.seen_s,
    )


def _track(state: _State) -> Track:
    motion = state.motion
    predicted = (motion.x, motion.y, motion.width, motion.height)
    x, y, width, height = predicted if state.detection is None else state.face
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return Track(
        id=state.id,
        box=np.array(box, dtype=np.float32),
        score=state.score,
        detection=state.detection,
        started_s=state.started_s,
        seen_s=state.motion.seen_s,
        confirmed=state.confirmed,
    )
