"""Detections over time become tracks: two-step association with a motion model, all constants in seconds.

After Zhang et al. 2022 (ByteTrack): doubtful detections may only continue a track. Different from there: boxes need not
overlap, since faces are small and move further than their own width between two frames of a slow camera. The motion
model gives each pair of track and face within the gate an association cost; the assignment of least cost is found
within each group of tracks and faces that could belong together. Who is where the motion says is matched first, so that
nobody is pushed in between. Who was seen only once may have moved by several face sizes meanwhile, in any direction:
those are matched last, among what nobody else claims.

Where one goes out and another comes in, place and motion are the same. So a face that jumped, or came after a miss,
must also look like the track (`appearance`); and one that was taken for the next sighting, but clearly looks like
somebody else for 0.3 s, becomes a track of its own. After a longer gap it is a tentative track, and when it would be
confirmed it is held against those who are gone: by look, place, and what is known of both. Then it goes on with that
track, or is somebody new.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import log, pi

from edgeface.people.appearance import LIKENESS_MOST, Views, likeness
from edgeface.people.assignment import UNMATCHED, match
from edgeface.people.light import Light
from edgeface.people.motion import (
    Face,
    association_cost,
    begin,
    correct,
    odd,
    predict,
    stride,
    within,
)
from edgeface.people.rhythm import Rhythm
from edgeface.people.tracked import (
    TICK_S,
    Expected,
    Sight,
    Tracked,
    as_track,
    entry_offset,
    exchange,
    expected_at,
    gate_of,
    go_on,
    is_look_due,
    is_near,
    refresh,
    replaced,
)
from edgeface.types import Detections, Track

DIRECT_S, DIRECT_SEARCHES = 0.6, 1.5
"""Who was unseen for longer is not followed on by the next face there: that one is watched first, as one more. In
seconds, and in intervals between two searches where these are longer."""
STEADY_S = 0.3
"""Where searches are farther apart, another one may stand where somebody stood: looks count, not the place alone."""
UNSURE_S = 1.5
"""Who is covered by others and may be somebody who was there before is waited for so long."""
LIKENESS_LEAST = -1.2
"""Likeness below which a face that came in anew, or jumped, is not taken for the one that was there."""
EXCHANGED = 3.0
"""By so much a new track looks more like another one than that one's own face does, where it has that one's face."""
BLIND_GATE = 0.6
"""Share of the gate for such a face where it cannot be said what it looks like."""
RETURN_SIZES, RETURN_SPEED, RETURN_AREA, RETURN_PRIOR = 0.8, 0.5, 12.0, -1.0
"""Who comes back: deviation of the place in face sizes, what a second adds to it; face sizes squared among which others
come in; and how much likelier somebody else is before anything is seen, as a logarithm."""
COVERED_PRIOR = 0.5
"""The same of somebody of whom others covered something all the time."""
APART = 1.0
"""From which difference of what is known on somebody of whom no look was taken is not the one who comes."""
TRACKS = 64
"""Most tracks at a time (64 x 2 KB): then unseen tentative tracks go first, and new faces wait; both are counted."""

Difference = Callable[[int, int], float]
"""How much likelier what is known of two tracks, by their ids, is of two people than of one: a logarithm, from 0."""


class Tracker:
    """Follows the faces of one camera.

    Parameters
    ----------
    lost_after_s : a track that was not detected for longer is absent
    return_within_s : an absent track ends after so long; before that, who looks the same may go on with it
    confirm_s : presence needed for a confirmed track
    min_hits : detections needed for a confirmed track
    high_score : detections from here on may begin a track
    difference : what else tells that two tracks are two people

    Attributes
    ----------
    ignored : faces that were not followed because `TRACKS` others were
    """

    def __init__(
        self,
        *,
        lost_after_s: float,
        confirm_s: float,
        return_within_s: float = 0.0,
        min_hits: int = 2,
        high_score: float = 0.6,
        difference: Difference = lambda one, other: 0.0,  # noqa: ARG005
    ) -> None:
        self._lost_after_s = lost_after_s
        self._return_within_s = return_within_s
        self._confirm_s = confirm_s
        self._min_hits = min_hits
        self._high_score = high_score
        self._difference = difference
        self._states: list[Tracked] = []
        self._light = Light()
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
        self._light, self.ignored = other._light, other.ignored

    def expected(self, time_s: float) -> list[Expected]:
        """Where everybody who is followed will be at ``time_s``, in the order in which they began; nothing changes."""
        elapsed_s = 0.0 if self._last_s is None else max(0.0, time_s - self._last_s)
        return [expected_at(state, elapsed_s, time_s) for state in self._states]

    def update(
        self, time_s: float, detections: Detections | None, index: int | None = None, *, views: Views | None = None
    ) -> list[Track]:
        """Move all tracks to ``time_s`` and give them the detections of that frame.

        Parameters
        ----------
        detections : None for a frame that was not searched: tracks are predicted, which is neither hit nor miss
        index : the camera's number of the frame (`Frame.index`): frames that we had no time for are no absence
        views : what the people in it look like; None: people are told apart by place and motion alone

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
            state.detection, state.joined, state.exchanged = None, None, None
            predict(state.motion, elapsed_s, time_s)
        self._states = [state for state in self._states if not self._is_lost(state, time_s)]
        if detections is not None:
            sight = None if views is None else Sight(views, time_s, self._light)
            self._associate(time_s, detections, sight)
            self._searched_s = time_s
            self._states = [state for state in self._states if not self._is_lost(state, time_s)]
        return [as_track(state, absent=self._unseen(state, time_s, self._lost_after_s)) for state in self._states]

    def _unseen(self, state: Tracked, time_s: float, patience_s: float) -> bool:
        """Whether a track was missed for longer than ``patience_s``.

        Frames that were not searched miss nobody: where searches are rarer than the patience, one miss is enough.
        """
        return self._searched_s > state.motion.seen_s and time_s - state.motion.seen_s > patience_s + TICK_S

    def _is_lost(self, state: Tracked, time_s: float) -> bool:
        """Whether a track is over; a tentative one is dropped sooner than a confirmed one.

        A person of whom no look was taken could not be told from others: nobody waits for that one to come back.
        """
        patience_s = self._lost_after_s
        if not state.confirmed:
            patience_s = min(patience_s, max(0.5, patience_s / 2))
        elif state.look is not None:
            patience_s += self._return_within_s
        return self._unseen(state, time_s, patience_s)

    def _follows(self, state: Tracked, time_s: float) -> bool:
        """Whether the next face at its place may be the same person's at once."""
        if state.look is None or not state.confirmed:
            return True
        direct_s = max(DIRECT_S, DIRECT_SEARCHES * (time_s - self._searched_s))
        return time_s - state.motion.seen_s <= direct_s + TICK_S

    def _associate(self, time_s: float, detections: Detections, sight: Sight | None) -> None:
        found = [
            ((x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, 1.0), max(y2 - y1, 1.0))
            for x1, y1, x2, y2 in detections.boxes.tolist()
        ]
        scores: list[float] = detections.scores.tolist()
        for state in self._states:
            state.searched += 1
        high = [row for row, score in enumerate(scores) if score >= self._high_score]
        free = [state for state in self._states if self._follows(state, time_s)]
        taken: set[int] = set()
        for steady in (True, False):
            pairs = self._pairs(free, found, scores, time_s, sight, taken=taken, steady=steady)
            for index, row in pairs:
                self._hit(free[index], found[row], scores[row], row, time_s)
                taken.add(row)
            matched = {index for index, _ in pairs}
            free = [state for index, state in enumerate(free) if index not in matched]
        once = [state for state in free if state.hits == 1]
        for index, row in _strides(once, {row: found[row] for row in high if row not in taken}, time_s, sight):
            self._hit(once[index], found[row], scores[row], row, time_s)
            taken.add(row)
        new = [row for row in high if row not in taken]
        for row in sorted(new, key=lambda row: (-scores[row], found[row])):
            self._begin(found[row], scores[row], row, time_s)
        hidden = [s for s in self._states if s.confirmed and 0 < time_s - s.motion.seen_s <= self._lost_after_s]
        if sight is not None:
            sight.cover(hidden, found)
            self._see(sight, hidden)
        for state in [state for state in self._states if state.detection is not None]:
            if not state.confirmed and self._is_person(state, time_s):
                if sight is not None:
                    self._untangle(state, sight)
                self._confirm(state, time_s, sight)

    def _see(self, sight: Sight, hidden: Sequence[Tracked]) -> None:
        """Take appearances anew where it is time; who stands where somebody else stood becomes a track of their own."""
        shown = [(state, state.detection) for state in self._states if state.detection is not None]
        sight.views.prepare([row for state, row in shown if is_look_due(state, sight.time_s)])
        for state, _ in shown:
            alone = not any(is_near(state, other) for other in hidden)
            refresh(state, sight, alone=alone)
            other = replaced(state, self._next_id, sight) if len(self._states) < TRACKS else None
            if other is not None:
                self._states.append(other)
                self._next_id += 1

    def _pairs(
        self,
        states: Sequence[Tracked],
        found: Sequence[Face],
        scores: Sequence[float],
        time_s: float,
        sight: Sight | None,
        *,
        taken: Collection[int],
        steady: bool,
    ) -> list[tuple[int, int]]:
        """Best pairs of track and row; pairs outside the gate are never made, nor those that look like two people.

        ``steady``: only who was in the search before, and is where the motion says; nobody else is pushed in between.
        """
        costs: dict[tuple[int, int], float] = {}
        often = sight is None or time_s - self._searched_s <= STEADY_S + TICK_S
        across = sorted((face[0], row, face[1]) for row, face in enumerate(found) if row not in taken)
        for index, state in enumerate(states):
            seen = often and state.motion.seen_s >= self._searched_s
            if steady and not seen:
                continue
            gate = gate_of(state, time_s, 1.0)
            for row in within(state.motion, across, gate=gate):
                doubtful = scores[row] < self._high_score
                cost = association_cost(state.motion, found[row], gate=gate * (0.7 if doubtful else 1.0))
                if cost is None:
                    continue
                calm = seen and not odd(state.motion, found[row])
                if steady and not calm:
                    continue
                if sight is not None and not calm:
                    like = sight.likeness(state, row)
                    if like is None:
                        if association_cost(state.motion, found[row], gate=BLIND_GATE * gate) is None:
                            continue
                    elif like < LIKENESS_LEAST:
                        continue
                    cost += 2 * (LIKENESS_MOST - (like or 0.0))
                cost += 3.0 * doubtful
                costs[index, row] = min(cost, UNMATCHED - 0.1)
        return match(costs)

    def _hit(self, state: Tracked, face: Face, score: float, row: int, time_s: float) -> None:
        correct(state.motion, face, time_s)
        state.score, state.detection, state.face = score, row, face
        state.hits += 1

    def _is_person(self, state: Tracked, time_s: float) -> bool:
        """Whether a track was there for long enough; flicker is no person.

        More than half of the searches since the first sighting must have shown it: of one false face that is found now
        here, now there, each place has one half.
        """
        long_enough = state.hits >= self._min_hits and time_s - state.started_s >= self._confirm_s - TICK_S
        return long_enough and 2 * (state.hits - 1) > state.searched - 1

    def _untangle(self, state: Tracked, sight: Sight) -> None:
        """Give a track back its face where it left a crossing with another one's, and the new track has that face.

        So it is where two stood before one another and were found as one: who is found first afterwards is followed on.
        """
        for other in self._states:
            if not other.confirmed or other.look is None or not other.look.clear or not is_near(state, other):
                continue
            own, there = sight.likeness(other, other.detection), sight.likeness(other, state.detection)
            if own is not None and there is not None and there > max(0.0, own + EXCHANGED):
                exchange(other, state, sight)
                return

    def _confirm(self, state: Tracked, time_s: float, sight: Sight | None) -> None:
        """Confirm a track: as one more, or as somebody who has come back to about the same place with the same look."""
        gone = [other for other in self._states if self._may_return(other, state)]
        unsure = sight is not None and (state.look is None or not state.look.clear)
        if gone and unsure and time_s - state.started_s < UNSURE_S:
            return
        costs = {other.id: cost for other in gone if (cost := self._return_cost(other, state, sight)) is not None}
        if not costs:
            state.confirmed = True
            return
        other = min((other for other in gone if other.id in costs), key=lambda other: costs[other.id])
        go_on(other, state, sight)
        self._states.remove(state)

    def _may_return(self, gone: Tracked, here: Tracked) -> bool:
        """Whether a new track came in where somebody may be who is not seen any more."""
        return gone.confirmed and gone.detection is None and entry_offset(gone, here) is not None

    def _return_cost(self, gone: Tracked, here: Tracked, sight: Sight | None) -> float | None:
        """How badly a new track fits somebody who is not seen any more; None where it is somebody else."""
        gap_s = here.started_s - gone.motion.seen_s
        off = entry_offset(gone, here)
        assert off is not None
        apart = self._difference(gone.id, here.id)
        by_place = off if gap_s <= self._lost_after_s and apart < APART else None
        if gone.look is None:
            return by_place
        like = None if here.look is None else likeness(gone.look, here.look)
        if like is None or here.look is None:
            return None
        spread = RETURN_SIZES + RETURN_SPEED * gap_s
        place = log(RETURN_AREA / (2 * pi * spread * spread)) - (off / spread) ** 2 / 2
        covered = not gone.look.clear and gap_s <= self._lost_after_s
        evidence = like + place + (COVERED_PRIOR if covered else RETURN_PRIOR) - apart
        if evidence > 0:
            return -evidence
        return by_place if sight is not None and sight.relit(gone.look, gone.look_s, here.look) else None

    def _begin(self, face: Face, score: float, row: int, time_s: float) -> None:
        if len(self._states) >= TRACKS and not self._make_room():
            self.ignored += 1
            return
        self._states.append(
            Tracked(
                id=self._next_id,
                motion=begin(face, time_s),
                face=face,
                entry=face,
                score=score,
                started_s=time_s,
                detection=row,
                confirmed=False,
            )
        )
        self._next_id += 1

    def _make_room(self) -> bool:
        """Drop the tentative or absent track that was not seen for the longest time; False when there is none."""
        assert self._last_s is not None
        now_s, lost_s = self._last_s, self._lost_after_s
        idle = [s for s in self._states if s.detection is None and (not s.confirmed or self._unseen(s, now_s, lost_s))]
        if not idle:
            return False
        first = min(idle, key=lambda state: (state.confirmed, state.motion.seen_s))
        self._states.remove(first)
        self.ignored += not first.confirmed
        return True


def _strides(
    states: Sequence[Tracked], faces: Mapping[int, Face], time_s: float, sight: Sight | None
) -> list[tuple[int, int]]:
    """Pairs of tracks that were seen once, whose velocity is unknown, and of faces that nobody else claims."""
    costs: dict[tuple[int, int], float] = {}
    for index, state in enumerate(states):
        for row, face in faces.items():
            share = stride(state.motion, face, time_s)
            like = None if share is None or sight is None else sight.likeness(state, row)
            if share is not None and (like or 0.0) >= LIKENESS_LEAST:
                costs[index, row] = (UNMATCHED - 0.1) * share * share
    return match(costs)
