"""Totals of the day of one camera, counted from its own messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

import msgspec
from msgspec import UNSET

from edgeface.config import Camera, Config, Shape, measures_attention
from edgeface.events.counts import AttentionTotals, SummaryMessage, Today, ZoneTotals
from edgeface.events.messages import moment
from edgeface.events.people import PlaceMessage, VisitMessage

DAYS_KEPT = 3
"""A board whose clock has no battery may begin on another day: the one that it comes back to still has its totals."""
NO_ATTENTION = AttentionTotals(looking=0.0, glances=0)
NO_ZONE = ZoneTotals(entries=0, seconds=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What is counted before one camera beside visits.

    Attributes
    ----------
    lines : directions by line
    zones : shape by name
    attention : whether it is measured
    """

    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    zones: Mapping[str, Shape] = field(default_factory=dict)
    attention: bool = False

    @classmethod
    def of(cls, config: Config, camera: str) -> Counted:
        """Say what the configuration asks for before a camera."""
        own = config.cameras.get(camera, Camera())
        return cls(
            lines={line.name: (line.to_right, line.to_left) for line in own.lines},
            zones={zone.name: zone.shape for zone in own.zones},
            attention=measures_attention(config.attention.enabled, config.privacy.purpose),
        )


class Totals:
    """Visits and their length by day, and what was counted beside them.

    A visit counts on the day on which its start was told, its length and its looks on the day on which its end was.
    What is no longer counted is kept to the end of its days, and not told.

    Parameters
    ----------
    zone : whose midnight begins a day; None: this machine's
    days : of earlier runs, the latest one last
    counted : what is told beside visits
    """

    def __init__(
        self, *, zone: tzinfo | None = None, days: Iterable[Today] = (), counted: Counted | None = None
    ) -> None:
        self._zone = zone
        self._days = {day.date: day for day in days}
        self.counted = counted or Counted()

    @property
    def days(self) -> tuple[Today, ...]:
        """Days that are not empty, the one counted on last at the end; at most three."""
        return tuple(self._days.values())

    def add(self, message: VisitMessage) -> None:
        """Count the start or the end of a visit."""
        day = self._day(message.at)
        if message.event == "start":
            self._keep(day, visits=day.visits + 1)
        elif message.event == "end":
            seconds = round(day.seconds + message.seconds, 3)
            known = message.attention
            looks = None if known is None else AttentionTotals(looking=known.looking, glances=known.glances)
            self._keep(day, seconds=seconds, attention=_together(day.attention, looks))

    def add_place(self, message: PlaceMessage) -> None:
        """Count the crossing of a line, the entry into a zone or the stay that ended there."""
        day = self._day(message.at)
        if message.event == "crossed":
            self._keep(day, lines=_with_lines(day, {message.place: {message.direction or "": 1}}))
        else:
            entries, seconds = int(message.event == "entered"), message.seconds or 0.0
            self._keep(day, zones=_with_zones(day, {message.place: ZoneTotals(entries=entries, seconds=seconds)}))

    def add_summary(self, message: SummaryMessage) -> None:
        """Count what a summary tells beside visits, where nothing else tells of it."""
        day = self._day(message.at)
        lines = message.lines or {}
        told = {line: {way: count or 0 for way, count in ways.items()} for line, ways in lines.items()}
        zones = {zone: totals for zone, totals in (message.zones or {}).items() if totals is not None}
        changes: dict[str, Any] = {"attention": _together(day.attention, message.attention or None)}
        changes |= {"lines": _with_lines(day, told)} if told else {}
        changes |= {"zones": _with_zones(day, zones)} if zones else {}
        self._keep(day, **changes)

    def on(self, at: datetime) -> Today:
        """Totals of the day of a time, which is aware."""
        day, counted = self._on(at), self.counted
        lines, zones = day.lines or {}, day.zones or {}
        return msgspec.structs.replace(
            day,
            attention=(day.attention or NO_ATTENTION) if counted.attention else UNSET,
            lines={line: {way: lines.get(line, {}).get(way, 0) for way in ways} for line, ways in counted.lines.items()}
            or UNSET,
            zones={zone: zones.get(zone, NO_ZONE) for zone in counted.zones} or UNSET,
        )

    def _day(self, at: str) -> Today:
        return self._on(moment(at))

    def _on(self, at: datetime) -> Today:
        date = at.astimezone(self._zone).date().isoformat()
        return self._days.get(date) or Today(date=date, visits=0, seconds=0.0)

    def _keep(self, day: Today, **changes: Any) -> None:
        self._days.pop(day.date, None)
        self._days[day.date] = msgspec.structs.replace(day, **changes)
        while len(self._days) > DAYS_KEPT:
            del self._days[next(iter(self._days))]


def _together(before: Any, more: AttentionTotals | None) -> Any:
    """Both totals of looks; what is before, which may be unset, where there are no more."""
    if more is None:
        return before
    had = before or NO_ATTENTION
    return AttentionTotals(looking=round(had.looking + more.looking, 3), glances=had.glances + more.glances)


def _with_lines(day: Today, more: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    lines = {line: dict(ways) for line, ways in (day.lines or {}).items()}
    for line, ways in more.items():
        had = lines.setdefault(line, {})
        for way, count in ways.items():
            had[way] = had.get(way, 0) + count
    return lines


def _with_zones(day: Today, more: Mapping[str, ZoneTotals]) -> dict[str, ZoneTotals]:
    zones = dict(day.zones or {})
    for zone, totals in more.items():
        had = zones.get(zone, NO_ZONE)
        seconds = round(had.seconds + totals.seconds, 3)
        zones[zone] = ZoneTotals(entries=had.entries + totals.entries, seconds=seconds)
    return zones
