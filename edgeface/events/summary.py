"""A minute of one camera, counted: who came and went, age bands, expressions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from edgeface.events.bodies import Body, iso
from edgeface.events.conducts import ConductWindow
from edgeface.events.counts import SummaryMessage
from edgeface.events.today import Counted
from edgeface.questions import VisitExpression, band_names, band_of
from edgeface.types import Task
from edgeface.visit import Visit, VisitChange

DECADES = (10, 20, 30, 40, 50, 60, 70)
"""Ages at which a summary's bands begin, where `privacy.age_bands` gives no others."""
UNKNOWN = "unknown"
TICK_S = 1e-3
"""Less of an expression than this is rounding."""


def summary_body(camera: str, *, at: datetime, begun: datetime, ended: datetime, **counts: Any) -> Body:
    """Message about the time from ``begun`` to ``ended``; ``counts`` are its other fields."""
    message = SummaryMessage(
        at=iso(at), node="", boot="", seq=0, camera=camera, from_=iso(begun), to=iso(ended), **counts
    )
    return Body(kind="summary", camera=camera, message=message)


class SummaryWindow:
    """Counts between two summaries of one camera; times are source time in seconds.

    Expressions are counted in the seconds that the visits themselves count, so that both say the same of one person.
    State is bounded by the visits of one window.
    """

    def __init__(self, camera: str, *, start_s: float, length_s: float = 60.0, bands: Sequence[int] = DECADES) -> None:
        self._camera = camera
        self._counted = Counted()
        self._conducts = ConductWindow()
        self._edges = bands
        self._length_s = length_s
        self._start_s = start_s
        self._lasting: Sequence[Visit] = ()
        self._expressions: dict[str, VisitExpression] = {}
        self._before: dict[str, VisitExpression] = {}
        self._begin(start_s)

    def observe(self, changes: Sequence[VisitChange], visits: Sequence[Visit]) -> None:
        """Take in one frame: what changed, and which visits last after it; who is absent is not in view.

        A frame may be left out where no visit began or ended and nobody turned absent or came back, but for a window's
        last.
        """
        for change in changes:
            self._in += change.event == "start"
            self._out += change.event == "end"
        for visit in (*(change.visit for change in changes), *visits):
            if not visit.absent or visit.id in self._bands:
                self._bands[visit.id] = age_band(visit, self._edges)
            if visit.known.expression is not None:
                self._expressions[visit.id] = visit.known.expression
        self._conducts.observe(changes, visits)
        self._lasting = tuple(visits)

    def count(self, counted: Counted, *, forget: Collection[str] = ()) -> None:
        """Tell of this beside visits from now on, and of these lines and zones nothing that was seen so far."""
        self._counted = counted
        self._conducts.forget(forget)

    def forget(self, tasks: Collection[Task]) -> None:
        """Count nothing of these questions that was seen so far, but for ages: those are of visits as they are."""
        if "expression" in tasks:
            self._expressions, self._before = {}, {}

    def due(self, time_s: float) -> bool:
        """Whether the window is full."""
        return time_s - self._start_s >= self._length_s

    def body(self, time_s: float, *, at: datetime, started_at: Callable[[float], datetime]) -> Body:
        """Close the window at ``time_s``, begin the next; ``started_at``: wall time of a source time."""
        counts = Counter(self._bands.values())
        end_s = max(time_s, self._start_s)
        body = summary_body(
            self._camera,
            at=at,
            begun=started_at(self._start_s),
            ended=started_at(end_s),
            in_=self._in,
            out=self._out,
            in_view=sum(not visit.absent for visit in self._lasting),
            ages={band: counts[band] for band in (*band_names(self._edges), UNKNOWN)},
            expressions=self._shares(),
            **self._conducts.fields(self._counted),
        )
        self._begin(end_s)
        return body

    def _begin(self, start_s: float) -> None:
        self._start_s = start_s
        self._in = self._out = 0
        lasting = [visit.id for visit in self._lasting]
        self._bands: dict[str, str] = {
            visit.id: age_band(visit, self._edges) for visit in self._lasting if not visit.absent
        }
        self._conducts.begin(lasting)
        # Whose visit lasts goes on from what the window before has counted.
        self._expressions = {visit: self._expressions[visit] for visit in lasting if visit in self._expressions}
        self._before = dict(self._expressions)

    def _shares(self) -> dict[str, float] | None:
        """Share of the window's seconds by label, over all visits; None where nothing was known."""
        seconds: defaultdict[str, float] = defaultdict(float)
        for visit, expression in self._expressions.items():
            before = self._before.get(visit)
            counted = [(1, expression)]
            # They begin anew where another network reads them.
            if before is not None and before.seconds <= expression.seconds + TICK_S:
                counted.append((-1, before))
            for sign, known in counted:
                for label, share in known.shares.items():
                    seconds[label] += sign * share * known.seconds
        spent = {label: value for label, value in sorted(seconds.items()) if value > TICK_S}
        total_s = sum(spent.values())
        return {label: round(value / total_s, 4) for label, value in spent.items()} if spent else None


def age_band(visit: Visit, edges: Sequence[int] = DECADES) -> str:
    """Band of the visit's age in years, or ``unknown``."""
    return UNKNOWN if visit.known.age is None else band_of(visit.known.age.years, edges)
