"""One face that is followed: how it moves and looks, where it is expected, what is told of it as a track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

import msgspec
import numpy as np

from edgeface.people.appearance import Appearance, Box, Views, blend, is_grey, is_other, likeness
from edgeface.people.light import Light
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
DOUBT_S, DOUBT_MOST_S = 0.3, 1.5
"""A face that clearly is another one's for so long is; and how long that may stay open where it cannot be seen."""
MISSED_S = 0.5
"""Who is missed for no longer, where no face was found, still stands there and covers others."""
TICK_S = 1e-3
"""Time stamps are no finer than this: 0.7 s - 0.4 s is 0.2 s."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Since when a track has clearly looked like somebody else: the time, the face and its motion of then.

    ``again_s`` is when it did so last.
    """

    since_s: float
    again_s: float
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


class Sight:
    """What the people in one frame look like, beside what is known of who is followed.

    Parameters
    ----------
    views : their looks
    time_s : source time of the frame
    light : in which it was before; moved on when that is asked for
    """

    def __init__(self, views: Views, time_s: float, light: Light) -> None:
        self.views = views
        self.time_s = time_s
        self._light = light

    def likeness(self, state: Tracked, row: int | None) -> float | None:
        """How much the face of a row looks like a track, as a logarithm; None where that cannot be said.

        Who looks unlike in another light may be anybody.
        """
        if state.look is None or row is None:
            return None
        now = self.views.look(row)
        like = likeness(state.look, now)
        return None if like is not None and like < 0 and self.relit(state.look, state.look_s, now) else like

    def cover(self, hidden: Sequence[Tracked], found: Sequence[Face]) -> None:
        """Let those cover others whom the detector has just missed; looks from here on are taken so.

        Not who has a found face before them: they are behind that one, or have gone and another came.
        """
        missed = [s.motion.face for s in hidden if self.time_s - s.motion.seen_s <= MISSED_S + TICK_S]
        alone = [box_of(face) for face in missed if not any(_meet(face, other) for other in found)]
        if alone:
            self.views.cover(alone)

    def relit(self, before: Appearance, look_s: float, now: Appearance) -> bool:
        """Whether a look of then is of another light than one of now: colours are gone or back, or a lamp switched."""
        return is_grey(before) != is_grey(now) or self.changed_since(look_s)

    def changed_since(self, look_s: float, *, at_once: bool = True) -> bool:
        """Whether what is behind the people has changed since; found out in this frame, or not ``at_once`` but soon."""
        self._light.see(self.views, self.time_s, at_once=at_once)
        return self._light.changed_s > look_s


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


def exchange(one: Tracked, other: Tracked, sight: Sight) -> None:
    """Let two tracks exchange their faces; ``one`` keeps what it looks like, ``other`` is seen anew."""
    one.motion, other.motion = other.motion, one.motion
    one.face, other.face = other.face, one.face
    one.score, other.score = other.score, one.score
    one.detection, other.detection = other.detection, one.detection
    assert other.detection is not None
    now = sight.views.look(other.detection)
    other.look = None if now.torso is None and now.head is None else now
    one.doubt, one.exchanged = None, other.id  # it was of the other face


def go_on(gone: Tracked, here: Tracked, sight: Sight | None) -> None:
    """Let somebody who is not seen any more go on as the new track that turned out to be the same person's."""
    gone.motion, gone.face, gone.score, gone.detection = here.motion, here.face, here.score, here.detection
    if here.look is not None:
        before = gone.look
        if before is not None and sight is not None and sight.relit(before, gone.look_s, here.look):
            before = None
        gone.look = here.look if before is None else blend(before, here.look, LOOK_SHARE)
        gone.look_s = here.look_s
    gone.hits += here.hits
    gone.doubt, gone.joined = None, here.id  # it was of who stood there when it was last seen


def is_look_due(state: Tracked, time_s: float) -> bool:
    """Whether the appearance of a track is to be taken anew."""
    again_s = max(state.look_s + (LOOK_S if state.confirmed else FIRST_LOOKS_S), state.unseen_s + FIRST_LOOKS_S)
    return time_s >= again_s - TICK_S


def refresh(state: Tracked, sight: Sight, *, alone: bool) -> None:
    """Take the appearance of a track anew, from time to time.

    Where somebody else is hidden there, the face may be that one's by now: while it is not ``alone``, a good look takes
    in only what is like it. One that is alone and clearly looks like somebody else is doubted, and looked at in each
    frame. Not so where the light has changed since, or the colours are gone or back, as where a camera goes over to
    infrared: then everybody is seen anew.
    """
    assert state.detection is not None
    time_s = sight.time_s
    if not is_look_due(state, time_s):
        return
    now = sight.views.look(state.detection)
    if now.torso is None and now.head is None:
        state.unseen_s = time_s
        return
    before = None if sight.changed_since(state.look_s, at_once=False) else state.look
    if before is not None and state.confirmed:
        sure = alone and now.clear and before.clear
        if sure and is_grey(now) != is_grey(before):
            before = None
        elif (sure or state.doubt is not None) and is_other(before, now):
            if not sight.changed_since(state.look_s):
                if state.doubt is None:
                    motion = replace(state.motion)
                    state.doubt = Doubt(time_s, time_s, state.face, motion, state.hits, state.searched)
                state.doubt = replace(state.doubt, again_s=time_s)
                return
            before = None
        elif (now.torso is None or now.head is None) and _is_open(state.doubt, time_s):
            # In this frame it cannot be said; what is seen may be the other one's, and is not taken in.
            return
    state.doubt, state.look_s = None, time_s
    if before is None or (now.clear and not before.clear):
        state.look = now
    elif not before.clear or (now.clear and (alone or (likeness(before, now) or 0.0) >= ALIKE)):
        state.look = blend(before, now, LOOK_SHARE)


def _is_open(doubt: Doubt | None, time_s: float) -> bool:
    """Whether there is a doubt that may still be settled."""
    return doubt is not None and time_s - doubt.since_s < DOUBT_MOST_S


def replaced(state: Tracked, new_id: int, sight: Sight) -> Tracked | None:
    """Whom the face of a track belongs to where it has been doubted for long enough: a new track, with that face.

    The other one was last seen when that was sure. Somebody had stepped to where that one stood, from one frame to the
    next.
    """
    doubt, time_s = state.doubt, sight.time_s
    if doubt is None or state.detection is None or doubt.again_s < time_s:
        return None
    if time_s - doubt.since_s < DOUBT_S - TICK_S:
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
        look=sight.views.look(state.detection),
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
    return Track(
        id=state.id,
        box=np.array(box_of(state.motion.face if state.detection is None else state.face), dtype=np.float32),
        score=state.score,
        detection=state.detection,
        started_s=state.started_s,
        seen_s=state.motion.seen_s,
        confirmed=state.confirmed,
        absent=absent,
        joined=state.joined,
        exchanged=state.exchanged,
    )


def box_of(face: Face) -> Box:
    """Edges of a face: left, top, right, bottom."""
    x, y, width, height = face
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _meet(one: Face, other: Face) -> bool:
    """Whether two faces overlap."""
    (x, y, width, height), (u, v, other_width, other_height) = one, other
    return 2 * abs(x - u) < width + other_width and 2 * abs(y - v) < height + other_height
