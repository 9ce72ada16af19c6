"""One face that is followed: how it moves and looks, where it is expected, what is told of it as a track."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import msgspec
import numpy as np

from edgeface.people.appearance import Appearance, Light, Views, blend, is_grey, is_other, likeness
from edgeface.people.motion import Face, Motion, ahead, association_offset
from edgeface.types import Track

GATE_SIZES, GATE_SPEED, GATE_MOST = 0.55, 1.5, 3.0
"""The gate in face sizes: a base, plus face sizes per second since the last detection, and an upper bound."""
LOOK_S, FIRST_LOOKS_S, LOOK_SHARE = 0.5, 0.1, 0.3
"""How often the appearance is taken: of confirmed tracks, and of those that are not yet, or of whom nothing was to be
seen; weight of a newer look."""
ALIKE = 1.0
"""Likeness from which on a look is the same person's also where somebody else may be."""
NEAR_SIZES = 2.5
"""So many face sizes are two apart at most who stand before one another, or did so a moment ago."""
DOUBT_S = 0.3
"""A face that clearly is another one's for so long is."""
TICK_S = 1e-3
"""Time stamps are no finer than this: 0.7 s - 0.4 s is 0.2 s."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Since when a track has clearly looked like somebody else: the time, the face and its motion of then."""

    since_s: float
    face: Face
    motion: Motion
    hits: int
    searched: int


@dataclass(slots=True)
class Tracked:
    """One tracked face.

    ``entry`` is its first detection, ``searched`` are the frames that were searched since, that one included;
    ``unseen_s`` is when nothing of clothes and head was to be seen.
    """

    id: int
    motion: Motion
    face: Face
    entry: Face
    score: float
    started_s: float
    detection: int | None
    confirmed: bool
    hits: int = 1
    searched: int = 1
    joined: int | None = None
    exchanged: int | None = None
    look: Appearance | None = None
    look_s: float = float("-inf")
    unseen_s: float = float("-inf")
    doubt: Doubt | None = None


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


def entry_offset(gone: Tracked, here: Tracked) -> float | None:
    """How far from somebody who is not seen any more another one came in, in face sizes; None beyond the gate.

    Where that one walks afterwards, and to what size, says nothing.
    """
    return association_offset(gone.motion, here.entry, gate=gate_of(gone, here.started_s, 1.0))


def is_near(one: Tracked, other: Tracked) -> bool:
    """Whether one of them may stand before the other, or did so a moment ago."""
    here, there = one.motion, other.motion
    reach = NEAR_SIZES * max(here.size, there.size)
    return abs(here.x - there.x) <= reach and abs(here.y - there.y) <= reach


def exchange(one: Tracked, other: Tracked, views: Views) -> None:
    """Let two tracks exchange their faces; ``one`` keeps what it looks like, ``other`` is seen anew."""
    one.motion, other.motion = other.motion, one.motion
    one.face, other.face = other.face, one.face
    one.score, other.score = other.score, one.score
    one.detection, other.detection = other.detection, one.detection
    assert other.detection is not None
    now = views.look(other.detection)
    other.look = None if now.torso is None and now.head is None else now
    one.exchanged = other.id


def likeness_of(state: Tracked, row: int | None, views: Views | None) -> float | None:
    """How much the face of a row looks like a track, as a logarithm; None where that cannot be said."""
    if views is None or state.look is None or row is None:
        return None
    return likeness(state.look, views.look(row))


def is_look_due(state: Tracked, time_s: float) -> bool:
    """Whether the appearance of a track is to be taken anew."""
    again_s = max(state.look_s + (LOOK_S if state.confirmed else FIRST_LOOKS_S), state.unseen_s + FIRST_LOOKS_S)
    return time_s >= again_s - TICK_S


def refresh(state: Tracked, views: Views, time_s: float, *, alone: bool, light: Light) -> None:
    """Take the appearance of a track anew, from time to time.

    Where somebody else is hidden there, the face may be that one's by now: while it is not ``alone``, a good look takes
    in only what is like it. One that is alone and clearly looks like somebody else is doubted, and looked at in each
    frame. Not so where the ``light`` has changed since, or the colours are gone or back, as where a camera goes over
    to infrared: then everybody is seen anew.
    """
    assert state.detection is not None
    if not is_look_due(state, time_s):
        return
    now = views.look(state.detection)
    if now.torso is None and now.head is None:
        state.unseen_s = time_s
        return
    light.see(views, time_s)
    if state.confirmed and alone and now.clear and state.look is not None and state.look.clear:
        if is_grey(now) != is_grey(state.look):
            state.look = now
        elif is_other(state.look, now):
            light.see(views, time_s, at_once=True)
            if light.changed_s <= state.look_s:
                if state.doubt is None:
                    state.doubt = Doubt(time_s, state.face, replace(state.motion), state.hits, state.searched)
                return
            state.look = now
    state.doubt, state.look_s = None, time_s
    if state.look is None or (now.clear and not state.look.clear):
        state.look = now
    elif not state.look.clear or (now.clear and (alone or (likeness(state.look, now) or 0.0) >= ALIKE)):
        state.look = blend(state.look, now, LOOK_SHARE)


def replaced(state: Tracked, new_id: int, views: Views, time_s: float) -> Tracked | None:
    """Whom the face of a track belongs to where it has been doubted for long enough: a new track, with that face.

    The other one was last seen when that was sure. Somebody had stepped to where that one stood, from one frame to the
    next.
    """
    doubt = state.doubt
    if doubt is None or state.detection is None or time_s - doubt.since_s < DOUBT_S - TICK_S:
        return None
    here = Tracked(
        id=new_id,
        motion=state.motion,
        face=state.face,
        entry=doubt.face,
        score=state.score,
        started_s=doubt.since_s,
        detection=state.detection,
        confirmed=False,
        hits=state.hits - doubt.hits + 1,
        searched=state.searched - doubt.searched + 1,
        look=views.look(state.detection),
        look_s=time_s,
    )
    state.motion, state.detection, state.doubt = replace(doubt.motion, seen_s=state.look_s), None, None
    return here


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
        exchanged=state.exchanged,
    )
