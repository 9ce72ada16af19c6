"""A minute of one camera, counted: who came and went, age bands, expressions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from edgeface.events.bodies import Body, iso
from edgeface.events.messages import SummaryMessage
from edgeface.types import Visit, VisitChange

AGE_BANDS = ("0-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+")
UNKNOWN = "unknown"


class SummaryWindow:
    """Counts between two summaries of one camera; times are source time in seconds.

    ``gap_s`` bounds what one interval between two observations may add to the time in view: a source that
    falls silent does not prolong an expression. State is bounded by the visits of one window.
    """

    def __init__(self, camera: str, *, start_s: float, length_s: float = 60.0, gap_s: float = 1.0) -> None:
        self._camera = camera
        self._length_s = length_s
        self._gap_s = gap_s
        self._start_s = start_s
        self._last_s = start_s
        self._in_view: Sequence[Visit] = ()
        self._begin(start_s)

    def observe(self, changes: Sequence[VisitChange], visits: Sequence[Visit], time_s: float) -> None:
        """Take in one frame: what changed, and who is in view after it. ``time_s`` never runs backwards."""
        elapsed_s = min(max(0.0, time_s - self._last_s), self._gap_s)
        for visit in self._in_view:
            if visit.expression is not None:
                self._expressions[visit.expression.dominant] += elapsed_s
        for change in changes:
            self._in += change.event == "start"
            self._out += change.event == "end"
            self._bands[change.visit.id] = age_band(change.visit)
        for visit in visits:
            self._bands[visit.id] = age_band(visit)
        self._in_view = tuple(visits)
        self._last_s = max(self._last_s, time_s)

    def due(self, time_s: float) -> bool:
        """Whether the window is full."""
        return time_s - self._start_s >= self._length_s

    def body(self, time_s: float, *, at: datetime, started_at: Callable[[float], datetime]) -> Body:
        """Close the window at ``time_s``, begin the next; ``started_at``: wall time of a source time."""
        counts = Counter(self._bands.values())
        known_s = sum(self._expressions.values())
        message = SummaryMessage(
            at=iso(at),
            node="",
            boot="",
            seq=0,
            camera=self._camera,
            from_=iso(started_at(self._start_s)),
            to=iso(started_at(max(time_s, self._start_s))),
            in_=self._in,
            out=self._out,
            in_view=len(self._in_view),
            ages={band: counts[band] for band in (*AGE_BANDS, UNKNOWN)},
            expressions=_shares(self._expressions, known_s) if known_s > 0 else None,
        )
        self._begin(max(time_s, self._start_s))
        return Body(kind="summary", camera=self._camera, message=message)

    def _begin(self, start_s: float) -> None:
        self._start_s = start_s
        self._in = self._out = 0
        self._bands: dict[str, str] = {visit.id: age_band(visit) for visit in self._in_view}
        self._expressions: defaultdict[str, float] = defaultdict(float)


def age_band(visit: Visit) -> str:
    """Band of the visit's age in years, or ``unknown``."""
    if visit.age is None:
        return UNKNOWN
    return AGE_BANDS[min(max(int(visit.age.years) // 10, 0), len(AGE_BANDS) - 1)]


def _shares(seconds: Mapping[str, float], total_s: float) -> dict[str, float]:
    return {label: round(value / total_s, 4) for label, value in sorted(seconds.items()) if value > 0}
