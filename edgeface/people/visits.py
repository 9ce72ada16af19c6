"""Answers of one track over time become what is known of a visit: values, spread, samples, or unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edgeface.config import Visits
from edgeface.people.fusion import ExpressionState, Mean, add_expression, add_sample
from edgeface.types import (
    AffectEstimate,
    AgeEstimate,
    Answer,
    Head,
    LabelEstimate,
    Reason,
    Task,
    Track,
    Visit,
    VisitAffect,
    VisitAge,
    VisitChange,
    VisitExpression,
    VisitGender,
)

Known = tuple[VisitAge | None, VisitGender | None, VisitExpression | None, VisitAffect | None]
Said = tuple[int | None, str | None, str | None, tuple[int, int] | None]
"""Years, gender, expression, and affect in halves, as a person would say them: what makes an update worth sending."""

TICK_S = 1e-3
"""Time stamps are no finer than this: 2.3 s - 0.3 s is 2 s."""


@dataclass(slots=True)
class _Person:
    """One track: what was learned of it, and what was said."""

    track: Track
    visit: str | None = None
    age: Mean = field(default_factory=Mean)
    gender: Mean = field(default_factory=Mean)
    expression: ExpressionState = field(default_factory=ExpressionState)
    affect: Mean = field(default_factory=Mean)
    said: Said = (None, None, None, None)
    said_s: float = 0.0
    known: Known | None = None


class VisitBook:
    """All visits of one camera.

    Parameters
    ----------
    camera : its id
    settings : when a person is here, gone, and known
    heads : by task, to read fused probabilities
    new_id : gives the id of a visit when it starts
    """

    def __init__(self, camera: str, settings: Visits, heads: Mapping[Task, Head], new_id: Callable[[], str]) -> None:
        self._camera = camera
        self._settings = settings
        self._heads = heads
        self._new_id = new_id
        self._people: dict[int, _Person] = {}

    def observe(self, time_s: float, tracks: Sequence[Track]) -> list[VisitChange]:
        """Take in the tracks of one frame: who has arrived, who has left, and of whom more is known.

        A track's answers count from its first sample, also from before it is confirmed and its visit starts.
        """
        live = {track.id for track in tracks}
        changes = [
            self._end(self._people.pop(track), time_s, "lost") for track in list(self._people) if track not in live
        ]
        for track in tracks:
            person = self._people.setdefault(track.id, _Person(track=track))
            person.track = track
            if person.visit is None and track.confirmed:
                person.visit = self._new_id()
                changes.append(self._tell(person, "start", time_s))
            elif person.visit is not None and self._has_news(person, time_s):
                changes.append(self._tell(person, "update", time_s))
        return [change for change in changes if change is not None]

    def absorb(self, track_id: int, answer: Answer) -> None:
        """Fold one answer into its track; samples too poor to count, and tracks that are gone, change nothing."""
        person = self._people.get(track_id)
        if person is None or answer.quality <= 0 or answer.quality < self._settings.min_quality:
            return
        person.known = None
        if answer.task == "age":
            estimate = self._heads["age"].estimate(answer.probabilities)
            assert isinstance(estimate, AgeEstimate)
            person.age = add_sample(person.age, answer, value=estimate.years)
        elif answer.task == "gender":
            person.gender = add_sample(person.gender, answer)
        elif answer.task == "affect":
            person.affect = add_sample(person.affect, answer)
        else:
            person.expression = add_expression(person.expression, answer)

    def current(self) -> list[Visit]:
        """Return the visits in view, in the order in which they began; coasting ones included."""
        return [self._visit(person) for person in self._people.values() if person.visit is not None]

    def close(self, time_s: float, reason: Reason) -> list[VisitChange]:
        """End every visit."""
        ends = [self._end(person, time_s, reason) for person in self._people.values()]
        self._people.clear()
        return [change for change in ends if change is not None]

    def _end(self, person: _Person, time_s: float, reason: Reason) -> VisitChange | None:
        if person.visit is None:
            return None
        visit = self._visit(person, ended_s=person.track.seen_s)
        return VisitChange(event="end", visit=visit, time_s=time_s, reason=reason)

    def _has_news(self, person: _Person, time_s: float) -> bool:
        due = time_s - person.said_s >= self._settings.update_interval - TICK_S
        return due and self._saying(self._visit(person)) != person.said

    def _tell(self, person: _Person, event: str, time_s: float) -> VisitChange:
        visit = self._visit(person)
        person.said, person.said_s = self._saying(visit), time_s
        return VisitChange(event="start" if event == "start" else "update", visit=visit, time_s=time_s)

    def _visit(self, person: _Person, *, ended_s: float | None = None) -> Visit:
        assert person.visit is not None
        # Estimates are read once per answer, not once per frame.
        if person.known is None:
            person.known = (
                self._age(person.age),
                self._gender(person.gender),
                self._expression(person.expression),
                self._affect(person.affect),
            )
        age, gender, expression, affect = person.known
        if expression is not None and ended_s is not None:
            # Nothing is "now" any more: what a summary counts, and what the shares say.
            expression = replace(expression, dominant=max(expression.shares, key=expression.shares.__getitem__))
        return Visit(
            id=person.visit,
            camera=self._camera,
            track=person.track.id,
            started_s=person.track.started_s,
            seen_s=person.track.seen_s,
            ended_s=ended_s,
            box=person.track.box,
            score=person.track.score,
            age=age,
            gender=gender,
            expression=expression,
            affect=affect,
        )

    def _age(self, mean: Mean) -> VisitAge | None:
        if mean.samples < self._settings.min_samples:
            return None
        fused = self._heads["age"].estimate(mean.probabilities)
        assert isinstance(fused, AgeEstimate)
        return VisitAge(years=fused.years, low=fused.low, high=fused.high, spread=mean.spread, samples=mean.samples)

    def _gender(self, mean: Mean) -> VisitGender | None:
        if mean.samples < self._settings.min_samples:
            return None
        fused = self._heads["gender"].estimate(mean.probabilities)
        assert isinstance(fused, LabelEstimate)
        if fused.probability < self._settings.gender_certainty:
            return None
        return VisitGender(label=fused.label, probability=fused.probability, samples=mean.samples)

    def _expression(self, state: ExpressionState) -> VisitExpression | None:
        if state.samples < self._settings.min_samples or state.probability < self._settings.expression_certainty:
            return None
        fused = self._heads["expression"].estimate(state.shares)
        assert isinstance(fused, LabelEstimate)
        labels = list(fused.probabilities)
        return VisitExpression(
            dominant=labels[state.dominant],
            shares=fused.probabilities,
            samples=state.samples,
            seconds=state.total_s,
        )

    def _affect(self, mean: Mean) -> VisitAffect | None:
        if mean.samples < self._settings.min_samples:
            return None
        fused = self._heads["affect"].estimate(mean.probabilities)
        assert isinstance(fused, AffectEstimate)
        return VisitAffect(valence=fused.valence, arousal=fused.arousal, samples=mean.samples)

    @staticmethod
    def _saying(visit: Visit) -> Said:
        return (
            None if visit.age is None else round(visit.age.years),
            None if visit.gender is None else visit.gender.label,
            None if visit.expression is None else visit.expression.dominant,
            None if visit.affect is None else (round(2 * visit.affect.valence), round(2 * visit.affect.arousal)),
        )
