"""One face that is followed: how it moves and looks, where it is expected, what is told of it as a track."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import msgspec
import numpy as np

from edgeface.people.appearance import Appearance, Views, blend, likeness
from edgeface.people.motion import Face, Motion, ahead
from edgeface.types import Track

GATE_SIZES, GATE_SPEED, GATE_MOST = 0.55, 1.5, 3.0
"""The gate in face sizes: a base, plus face sizes per second since the last detection, and an upper bound."""
LOOK_S, FIRST_LOOKS_S, LOOK_SHARE = 0.5, 0.1, 0.3
"""How often the appearance is taken: of confirmed tracks, and of those that are not yet; weight of a newer look."""
TICK_S = 1e-3
"""Time stamps are no finer than this: 0.7 s - 0.4 s is 0.2 s."""


@dataclass(slots=True)
class Tracked:
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
    joined: int | None = None
    look: Appearance | None = None
    look_s: float = float("-inf")


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


def gate_of(state: Tracked, time_s: float, strictness: float) -> float:
    """How far a face may be from a track at an instant, in face sizes; ``strictness`` is a share of the usual gate."""
    return strictness * min(GATE_MOST, GATE_SIZES + GATE_SPEED * (time_s - state.motion.seen_s))


def likeness_of(state: Tracked, row: int, views: Views | None) -> float | None:
    """How much the face of a row looks like a track, as a logarithm; None where that cannot be said."""
    return None if views is None or state.look is None else likeness(state.look, views.look(row))


def refresh(state: Tracked, views: Views, time_s: float) -> None:
    """Take the appearance of a track anew, from time to time."""
    assert state.detection is not None
    if time_s - state.look_s < (LOOK_S if state.confirmed else FIRST_LOOKS_S) - TICK_S:
        return
    now = views.look(state.detection)
    if now.torso is None and now.head is None:
        return
    if state.look is None or (now.clear and not state.look.clear):
        state.look = now
    elif now.clear or not state.look.clear:
        state.look = blend(state.look, now, LOOK_SHARE)
    state.look_s = time_s


def expected_at(state: Tracked, elapsed_s: float, time_s: float) -> Expected:
    """Where a track will be at ``time_s``, ``elapsed_s`` after it was moved last; it stays as it is."""
    motion = state.motion
    x, y, _, _, place_var = ahead(motion, elapsed_s, time_s)
    return Expected(
        x=x,
        y=y,
        width=motion.width,
        height=motion.height,
        spread=sqrt(place_var),
        hits=state.hits,
        confirmed=state.confirmed,
        started_s=state.started_s,
        seen_s=motion.seen_s,
    )


def as_track(state: Tracked, *, absent: bool) -> Track:
    """What is told of it."""
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
        absent=absent,
        joined=state.joined,
    )
