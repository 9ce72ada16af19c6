"""Totals of the day of one camera, counted from its own messages on `visits`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, tzinfo

import msgspec

from edgeface.events.counts import Today
from edgeface.events.messages import moment
from edgeface.events.people import VisitMessage

DAYS_KEPT = 3
"""A board whose clock has no battery may begin on another day: the one that it comes back to still has its totals."""


class Totals:
    """Visits and their length by day.

    A visit counts on the day on which its start was told, its length on the day on which its end was.

    Parameters
    ----------
    zone : whose midnight begins a day; None: this machine's
    days : of earlier runs, the latest one last
    """

    def __init__(self, *, zone: tzinfo | None = None, days: Iterable[Today] = ()) -> None:
        self._zone = zone
        self._days = {day.date: day for day in days}

    @property
    def days(self) -> tuple[Today, ...]:
        """Days that are not empty, the one counted on last at the end; at most three."""
        return tuple(self._days.values())

    def add(self, message: VisitMessage) -> None:
        """Count the start or the end of a visit."""
        day = self.on(moment(message.at))
        if message.event == "start":
            day = msgspec.structs.replace(day, visits=day.visits + 1)
        elif message.event == "end":
            day = msgspec.structs.replace(day, seconds=round(day.seconds + message.seconds, 3))
        else:
            return
        self._days.pop(day.date, None)
        self._days[day.date] = day
        while len(self._days) > DAYS_KEPT:
            del self._days[next(iter(self._days))]

    def on(self, at: datetime) -> Today:
        """Totals of the day of a time, which is aware."""
        date = at.astimezone(self._zone).date().isoformat()
        return self._days.get(date) or Today(date=date, visits=0, seconds=0.0)
