"""Summaries of at least k visits, where `privacy.least_count` lets nothing else be told.

A visit is counted once, when it has ended, and told together with at least k - 1 others; so no two summaries differ by
a few people. While too few have ended, the window goes on for another period, and what is still too few at a stop is
never told. A band of age with fewer than k is among the unknown, and expressions are told of k visits only. Looks,
crossings and times in zones wait, each by itself, until k visits have something of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from edgeface.events.bodies import Body
from edgeface.events.conducts import ConductCrowd
from edgeface.events.summary import DECADES, UNKNOWN, age_band, summary_body
from edgeface.events.today import Counted
from edgeface.questions import band_names
from edgeface.types import Task
from edgeface.visit import Visit, VisitChange


class AggregateWindow:
    """As `SummaryWindow`, of ended visits, at least ``least`` at once; times are source time in seconds."""

    def __init__(
        self, camera: str, *, start_s: float, length_s: float, least: int, bands: Sequence[int] = DECADES
    ) -> None:
        self._camera = camera
        self._counted = Counted()
        self._crowd = ConductCrowd(least)
        self._length_s = length_s
        self._least = least
        self._edges = bands
        self._start_s = self._asked_s = start_s
        self._begin(start_s)

    def observe(self, changes: Sequence[VisitChange], visits: Sequence[Visit]) -> None:  # noqa: ARG002
        """Take in one frame: who has gone; who is in view says nothing."""
        for change in changes:
            if change.event != "end":
                continue
            self._bands[age_band(change.visit, self._edges)] += 1
            self._crowd.add(change.visit.conduct)
            expression = change.visit.known.expression
            if expression is not None:
                self._expressive += 1
                for label, share in expression.shares.items():
                    self._seconds[label] += share * expression.seconds

    def count(self, counted: Counted, *, forget: Collection[str] = ()) -> None:  # noqa: ARG002
        """Tell of this beside visits from now on; what was seen of lines and zones is of visits that have ended."""
        self._counted = counted

    def forget(self, tasks: Collection[Task]) -> None:
        """As `SummaryWindow.forget`."""
        if "expression" in tasks:
            self._expressive = 0
            self._seconds.clear()

    def due(self, time_s: float) -> bool:
        """Whether another period is over."""
        return time_s - self._asked_s >= self._length_s

    def body(self, time_s: float, *, at: datetime, started_at: Callable[[float], datetime]) -> Body | None:
        """Close the window at ``time_s``; None while too few have gone: it stays open for another period."""
        self._asked_s = max(time_s, self._start_s)
        out = self._bands.total()
        if out < self._least:
            return None
        body = summary_body(
            self._camera,
            at=at,
            begun=started_at(self._start_s),
            ended=started_at(self._asked_s),
            in_=None,
            out=out,
            in_view=None,
            ages=coarsened(self._bands, band_names(self._edges), least=self._least),
            expressions=self._shares(),
            **self._crowd.fields(self._counted),
        )
        self._begin(self._asked_s)
        return body

    def _begin(self, start_s: float) -> None:
        self._start_s = self._asked_s = start_s
        self._bands: Counter[str] = Counter()
        self._expressive = 0
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def _shares(self) -> dict[str, float] | None:
        total_s = sum(self._seconds.values())
        if self._expressive < self._least or total_s <= 0:
            return None
        return {label: round(seconds / total_s, 4) for label, seconds in sorted(self._seconds.items())}


def coarsened(counts: Mapping[str, int], names: Sequence[str], *, least: int) -> dict[str, int]:
    """Counts by band in which none is 1 to ``least`` - 1, that of the unknown included; their sum stays.

    What is too few joins the unknown. Are these too few then, the smallest band joins them: from the sum and the other
    bands one could tell theirs.
    """
    told = {name: counts.get(name, 0) for name in names}
    unknown = counts.get(UNKNOWN, 0)
    few = [name for name in names if 0 < told[name] < least]
    while few or 0 < unknown < least:
        name = few.pop() if few else min((name for name in names if told[name]), key=told.__getitem__, default=None)
        if name is None:
            break
        unknown, told[name] = unknown + told[name], 0
    return {**told, UNKNOWN: unknown}
