"""Answers of one track over time become what is known of a visit: values, spread, samples, or unknown."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edgeface.config import Visits
from edgeface.people.conduct import Doing, Seen, Watch
from edgeface.questions import QUESTIONS, Known
from edgeface.types import Answer, Event, Head, Reason, Task, Track
from edgeface.visit import PlaceChange, Visit, VisitChange

TICK_S = 1e-3
"""Time stamps are no finer than this: 2.3 s - 0.3 s is 2 s."""
TENTATIVE = 100
"""Most that is kept of what was seen of somebody who is no visit yet: three seconds of a fast camera."""
NOTHING = Known()
DIFFER_SAMPLES = 2
"""Samples of each of two tracks from which on they may tell that these are two people."""


@dataclass(slots=True)
class _Person:
    """One track: what its samples add up to, what is known by that, and what was sent of it; all by question."""

    track: Track
    visit: str | None = None
    states: dict[Task, Any] = field(default_factory=dict)
    unread: set[Task] = field(default_factory=set)
    ungisted: set[Task] = field(default_factory=set)
    """Questions of which more was answered since `known`, or `gists`, were read from `states`."""
    known: Known = NOTHING
    gists: dict[Task, Hashable] = field(default_factory=dict)
    sent: dict[Task, Hashable] = field(default_factory=dict)
    sent_s: float = 0.0
    doing: Doing = field(default_factory=Doing)
    before: deque[tuple[float, Seen | None]] = field(default_factory=lambda: deque(maxlen=TENTATIVE))
    """What was seen before there was a visit, with its time: it may turn out to be of somebody who has one."""
    noticed: list[PlaceChange] = field(default_factory=list)
    """What was noticed at lines and zones and not yet told: it waits for the visit to start."""
    looked: bool = False
    """Whether the latest message said that the head points towards the camera."""


class VisitBook:
    """All visits of one camera.

    Parameters
    ----------
    camera : its id
    settings : when a person is here, gone, and known
    heads : by task, to read fused probabilities
    new_id : gives the id of a visit when it starts
    bands : ages at which bands begin, where no more than the band is told
    watch : for what people do

    Attributes
    ----------
    places : what the latest call of `observe`, `close` or `succeed` has noticed at lines and zones
    """

    def __init__(
        self,
        camera: str,
        settings: Visits,
        heads: Mapping[Task, Head],
        new_id: Callable[[], str],
        bands: Sequence[int] = (),
        watch: Watch | None = None,
    ) -> None:
        self._camera = camera
        self._settings = settings
        self._heads = heads
        self._certainty = {task: settings.certainty(task, head.certainty) for task, head in heads.items()}
        self._new_id = new_id
        self._bands = bands
        self._watch = Watch() if watch is None else watch
        self.places: list[PlaceChange] = []
        self._people: dict[int, _Person] = {}

    def succeed(self, other: VisitBook, time_s: float) -> frozenset[str]:
        """Go on with the visits of another book; what answers of another kind of head added up to is forgotten.

        Names of its lines and zones that are others now; `places` has who has left those zones by it.
        """
        self._people, self.places = other._people, []
        for person in self._people.values():
            other._read(person)
            other._gists(person)
        gone = [task for task, head in other._heads.items() if self._heads.get(task) != head]
        for person in self._people.values():
            _forget(person, gone)
            person.noticed += self._watch.adopt(person.doing, other._watch, time_s)
            self._notice_places(person)
        return self._watch.changed(other._watch)

    def observe(
        self, time_s: float, tracks: Sequence[Track], seen: Mapping[int, Seen] | None = None
    ) -> list[VisitChange]:
        """Take in the tracks of one frame: who has arrived, who has left, and of whom more is known.

        A track's answers count from its first sample, also from before it is confirmed and its visit starts.

        Parameters
        ----------
        seen : faces that were found, by track; None for a frame that was not searched
        """
        self.places = []
        live = {track.id for track in tracks}
        for track in tracks:
            if track.exchanged in self._people:
                # All that was seen of it so far was of the other one.
                self._people[track.exchanged] = _Person(track=self._people[track.exchanged].track)
            if track.joined in self._people:
                self._join(self._people[track.id], self._people.pop(track.joined))
        changes = [
            self._end(self._people.pop(track), time_s, "lost") for track in list(self._people) if track not in live
        ]
        for track in tracks:
            person = self._people.get(track.id)
            if person is None:
                person = self._people[track.id] = _Person(track=track)
            person.track = track
            if track.absent:
                person.noticed += self._watch.end(person.doing, time_s)
            elif seen is not None:
                sight = seen.get(track.id)
                person.noticed += self._watch.see(person.doing, time_s, sight)
                if not track.confirmed:
                    person.before.append((time_s, sight))
            if person.visit is None and track.confirmed:
                person.visit = self._new_id()
                person.before.clear()
                changes.append(self._tell(person, "start", time_s))
            elif person.visit is not None and self._has_news(person, time_s):
                changes.append(self._tell(person, "update", time_s))
            self._notice_places(person)
        return [change for change in changes if change is not None]

    def absorb(self, track_id: int, answer: Answer) -> None:
        """Fold one answer into its track; samples too poor to count, and tracks that are gone, change nothing.

        What is known by that is read when somebody asks.
        """
        person = self._people.get(track_id)
        if person is None or answer.quality <= 0 or answer.quality < self._settings.min_quality:
            return
        task = answer.task
        question, head = QUESTIONS[task], self._heads[task]
        state = person.states[task] = question.add(person.states.get(task, question.start), answer, head)
        if state.samples >= self._settings.min_samples:
            person.unread.add(task)
            person.ungisted.add(task)

    def forget(self, tasks: Collection[Task]) -> None:
        """Forget what is known by these questions of everybody who is there."""
        for person in self._people.values():
            _forget(person, tasks)

    def current(self) -> list[Visit]:
        """Return the visits that last, in the order in which they began; coasting and absent ones included."""
        return [self._visit(person) for person in self._people.values() if person.visit is not None]

    def absent(self) -> dict[str, float]:
        """Source time at which they were last seen, by visit, of those who are not there but may come back."""
        return {p.visit: p.track.seen_s for p in self._people.values() if p.track.absent and p.visit is not None}

    def in_view(self, time_s: float, within_s: float) -> int:
        """How many of the visits that last were seen no longer than ``within_s`` before ``time_s``."""
        return sum(p.visit is not None and time_s - p.track.seen_s <= within_s for p in self._people.values())

    def difference(self, one: int, other: int) -> float:
        """How much likelier the samples of two tracks are of two people than of one: a natural logarithm, from 0.

        Nothing where it is not known well enough.
        """
        if one not in self._people or other not in self._people:
            return 0.0
        states, others = self._people[one].states, self._people[other].states
        return sum(
            QUESTIONS[task].difference(mine, theirs)
            for task in states.keys() & others.keys()
            if (mine := self._value(task, states[task], DIFFER_SAMPLES)) is not None
            and (theirs := self._value(task, others[task], DIFFER_SAMPLES)) is not None
        )

    def close(self, time_s: float, reason: Reason) -> list[VisitChange]:
        """End every visit; who was absent already had left before."""
        self.places = []
        ends = [
            self._end(person, time_s, "lost" if person.track.absent else reason) for person in self._people.values()
        ]
        self._people.clear()
        return [change for change in ends if change is not None]

    def _end(self, person: _Person, time_s: float, reason: Reason) -> VisitChange | None:
        if person.visit is None:
            return None
        person.noticed += self._watch.end(person.doing, time_s)
        self._notice_places(person)
        visit = self._visit(person, ended_s=person.track.seen_s)
        return VisitChange(event="end", visit=visit, time_s=time_s, reason=reason)

    def _join(self, person: _Person, back: _Person) -> None:
        """Go on with somebody who was found again by what was seen of them before that was known.

        Who was away for no longer than `visits.lost_after` has left no zone, and has crossed what lay on the way.
        """
        for time_s, sight in back.before:
            person.noticed += self._watch.see(person.doing, time_s, sight)

    def _has_news(self, person: _Person, time_s: float) -> bool:
        if time_s - person.sent_s < self._settings.update_interval - TICK_S:
            return False
        return person.doing.looks.counted != person.looked or self._gists(person) != person.sent

    def _notice_places(self, person: _Person) -> None:
        if person.visit is not None and person.noticed:
            self.places += [msgspec.structs.replace(change, visit=person.visit) for change in person.noticed]
            person.noticed = []

    def _tell(self, person: _Person, event: Event, time_s: float) -> VisitChange:
        person.sent, person.sent_s = self._gists(person).copy(), time_s
        person.looked = person.doing.looks.counted
        return VisitChange(event=event, visit=self._visit(person), time_s=time_s)

    def _read(self, person: _Person) -> None:
        """Read what is known of a person by the answers that came since the last time."""
        if person.unread:
            values = {task: self._value(task, person.states[task]) for task in person.unread}
            person.known = msgspec.structs.replace(person.known, **values)
            person.unread.clear()

    def _gists(self, person: _Person) -> dict[Task, Hashable]:
        """What is worth telling of a person, by question, by the same answers."""
        for task in person.ungisted:
            head, certainty = self._heads[task], self._certainty[task]
            gist = QUESTIONS[task].gist_of(person.states[task], head, certainty, self._bands)
            if gist is None:
                person.gists.pop(task, None)
            else:
                person.gists[task] = gist
        person.ungisted.clear()
        return person.gists

    def _value(self, task: Task, state: Any, least: int = 1) -> Any | None:
        """What samples say, at least so many of them; None where that is not certain."""
        if state.samples < least:
            return None
        return QUESTIONS[task].value(state, self._heads[task], self._certainty[task])

    def _last(self, person: _Person) -> Known:
        """What is known of a person whose visit has ended."""
        enough = {task: state for task, state in person.states.items() if state.samples >= self._settings.min_samples}
        return Known(
            **{
                task: QUESTIONS[task].last(state, self._heads[task], self._certainty[task])
                for task, state in enough.items()
            }
        )

    def _visit(self, person: _Person, *, ended_s: float | None = None) -> Visit:
        assert person.visit is not None
        if ended_s is None:
            self._read(person)
        track = person.track
        return Visit(
            id=person.visit,
            camera=self._camera,
            track=track.id,
            started_s=track.started_s,
            seen_s=track.seen_s,
            ended_s=ended_s,
            box=track.box,
            score=track.score,
            known=person.known if ended_s is None else self._last(person),
            conduct=self._watch.conduct(person.doing),
            absent=track.absent,
        )


def _forget(person: _Person, tasks: Iterable[Task]) -> None:
    """Forget what is known of a person by these questions."""
    for task in tasks:
        person.unread.discard(task)
        person.ungisted.discard(task)
        person.states.pop(task, None)
        person.gists.pop(task, None)
        person.known = msgspec.structs.replace(person.known, **{task: None})
