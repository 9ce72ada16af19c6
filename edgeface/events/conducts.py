"""What people did in a window of time, counted: looks, crossings of lines, time in zones."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from edgeface.events.counts import AttentionTotals, ZoneTotals
from edgeface.events.today import Counted
from edgeface.visit import NO_CONDUCT, Conduct, Visit, VisitChange

Key = tuple[str, ...]
"""What a sum is of: ``("line", name, direction)``, ``("entries", zone)``, ``("seconds", zone)``, or one of these:"""
LOOKS: tuple[Key, Key] = (("looking",), ("glances",))


class ConductWindow:
    """Adds up what the visits of one camera did since the window began; bounded by the visits of one window."""

    def __init__(self) -> None:
        self._seen: dict[str, Conduct] = {}
        self._before: dict[str, Conduct] = {}

    def observe(self, changes: Sequence[VisitChange], visits: Sequence[Visit]) -> None:
        """Take in one frame: what changed, and who is in view after it."""
        for visit in (*(change.visit for change in changes), *visits):
            self._seen[visit.id] = visit.conduct

    def fields(self, counted: Counted) -> dict[str, Any]:
        """Fields of a summary."""
        total: defaultdict[Key, float] = defaultdict(float)
        for visit, conduct in self._seen.items():
            before = flat(self._before.get(visit, NO_CONDUCT))
            for key, value in flat(conduct).items():
                # Looks begin anew where attention was switched off and on.
                total[key] += max(0, value - before.get(key, 0))
        return summary_fields(counted, total)

    def forget(self, places: Collection[str]) -> None:
        """Count nothing of these lines and zones that was seen so far: they are others now."""
        for conducts in (self._seen, self._before):
            for visit, conduct in conducts.items():
                lines = {name: ways for name, ways in conduct.lines.items() if name not in places}
                zones = {name: time for name, time in conduct.zones.items() if name not in places}
                conducts[visit] = msgspec.structs.replace(conduct, lines=lines, zones=zones)

    def begin(self, in_view: Collection[str]) -> None:
        """Begin the next window with those who are there."""
        self._seen = {visit: self._seen[visit] for visit in in_view if visit in self._seen}
        self._before = dict(self._seen)


class ConductCrowd:
    """Adds up what ended visits did, each thing until enough of them did it."""

    def __init__(self, least: int) -> None:
        self._least = least
        self._total: defaultdict[Key, float] = defaultdict(float)
        self._visits: Counter[Key] = Counter()

    def add(self, conduct: Conduct) -> None:
        """Take in a visit that has ended."""
        values = flat(conduct)
        for key, value in values.items():
            self._total[key] += value
        self._visits.update({_group(key) for key, value in values.items() if value or key in LOOKS})

    def fields(self, counted: Counted) -> dict[str, Any]:
        """Fields of a summary; what is told begins anew, what is of too few visits is kept for the next."""
        told = {group for group, visits in self._visits.items() if visits >= self._least}
        total = {key: value for key, value in self._total.items() if _group(key) in told}
        for key in total:
            del self._total[key]
        for group in told:
            del self._visits[group]
        return summary_fields(counted, total, few=self._visits)


def flat(conduct: Conduct) -> dict[Key, float]:
    """Give everything that can be added up, by key."""
    values: dict[Key, float] = {}
    if conduct.attention is not None:
        values = dict(zip(LOOKS, (conduct.attention.looking_s, conduct.attention.glances), strict=True))
    values |= {("line", line, way): count for line, ways in conduct.lines.items() for way, count in ways.items()}
    for zone, time in conduct.zones.items():
        values["entries", zone], values["seconds", zone] = time.entries, time.seconds
    return values


def summary_fields(counted: Counted, total: Mapping[Key, float], *, few: Collection[Key] = ()) -> dict[str, Any]:
    """Fields of a summary from sums by key; groups of keys that are told of too ``few`` visits are null."""
    fields: dict[str, Any] = {}
    if counted.attention:
        looking_s, glances = (total.get(key, 0) for key in LOOKS)
        told = AttentionTotals(looking=round(float(looking_s), 3), glances=round(glances))
        fields["attention"] = None if ("attention",) in few else told
    if counted.lines:
        fields["lines"] = {
            line: {way: None if (key := ("line", line, way)) in few else round(total.get(key, 0)) for way in ways}
            for line, ways in counted.lines.items()
        }
    if counted.zones:
        fields["zones"] = {zone: None if ("zone", zone) in few else _zone(zone, total) for zone in counted.zones}
    return fields


def _zone(zone: str, total: Mapping[Key, float]) -> ZoneTotals:
    entries, seconds = total.get(("entries", zone), 0), total.get(("seconds", zone), 0.0)
    return ZoneTotals(entries=round(entries), seconds=round(float(seconds), 3))


def _group(key: Key) -> Key:
    """What is told or not told together."""
    return ("attention",) if key in LOOKS else key if key[0] == "line" else ("zone", key[1])
