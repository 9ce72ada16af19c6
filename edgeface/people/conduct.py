"""What people do before one camera: their looks, the lines that they cross, the zones that they are in.

`Watch` knows what is watched for, `Doing` what one person has done. Nothing is told of who never becomes a visit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from edgeface.config import Line, Zone
from edgeface.people.attention import Looks
from edgeface.people.places import Place, Sides, Stay, corners_of
from edgeface.types import Pose
from edgeface.visit import Conduct, PlaceChange, ZoneTime


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One face that was found in a frame: where it is, if that is asked, and which way it points, if that is known."""

    place: Place | None
    pose: Pose | None


@dataclass(slots=True)
class Doing:
    """What one person has done; ``crossings`` by line and direction."""

    looks: Looks = field(default_factory=Looks)
    sides: dict[str, Sides] = field(default_factory=dict)
    crossings: Counter[tuple[str, str]] = field(default_factory=Counter)
    stays: dict[str, Stay] = field(default_factory=dict)


class Watch:
    """What is watched for before one camera.

    Parameters
    ----------
    lines, zones : of the camera
    angle : degrees off the camera up to which a head points towards it; None: attention is not measured
    """

    def __init__(self, lines: Sequence[Line] = (), zones: Sequence[Zone] = (), *, angle: float | None = None) -> None:
        self._lines = {line.name: line for line in lines}
        self._zones = {zone.name: zone for zone in zones}
        self._corners = {zone.name: corners_of(zone) for zone in zones}
        self._angle = angle

    @property
    def asks_places(self) -> bool:
        """Whether it asks where a face is: where there are lines or zones."""
        return bool(self._lines or self._zones)

    def see(self, doing: Doing, time_s: float, seen: Seen | None) -> Iterator[PlaceChange]:
        """Take in one frame that was searched: lines crossed, zones entered and left; the visit's id is left out.

        ``seen`` is None where the face was not found.
        """
        if self._angle is not None:
            doing.looks.see(time_s, None if seen is None else seen.pose, self._angle)
        if seen is None or seen.place is None:
            return
        for name, line in self._lines.items():
            crossed = doing.sides.setdefault(name, Sides()).see(line, seen.place)
            if crossed:
                direction = line.to_right if crossed > 0 else line.to_left
                doing.crossings[name, direction] += 1
                yield PlaceChange(event="crossed", place=name, visit="", time_s=time_s, direction=direction)
        for name, corners in self._corners.items():
            stay = doing.stays.setdefault(name, Stay())
            before = stay.since_s is not None
            inside = stay.see(corners, seen.place, time_s)
            if inside and not before:
                yield PlaceChange(event="entered", place=name, visit="", time_s=time_s)
            elif before and not inside:
                yield _left(name, stay, time_s)

    def end(self, doing: Doing, time_s: float) -> Iterator[PlaceChange]:
        """End what lasts, as somebody is not there any more: the look, and the stays in zones.

        Whoever comes back may do so anywhere: on which side of a line is found out anew.
        """
        doing.looks.end()
        doing.sides.clear()
        for name, stay in doing.stays.items():
            if stay.since_s is not None:
                yield _left(name, stay, time_s)

    def conduct(self, doing: Doing) -> Conduct:
        """What is known of what somebody has done so far."""
        return Conduct(
            attention=None if self._angle is None else doing.looks.so_far(),
            lines={
                name: {direction: doing.crossings[name, direction] for direction in (line.to_right, line.to_left)}
                for name, line in self._lines.items()
            },
            zones={name: _zone_time(doing.stays.get(name)) for name in self._zones},
        )

    def changed(self, other: Watch) -> frozenset[str]:
        """Names of another watch's lines and zones that are gone, or lie elsewhere."""
        before, now = {**other._lines, **other._zones}, {**self._lines, **self._zones}
        return frozenset(name for name, place in before.items() if now.get(name) != place)

    def adopt(self, doing: Doing, other: Watch, time_s: float) -> Iterator[PlaceChange]:
        """Go on with what another watch saw, but forget what it saw of lines and zones that are others now.

        Who was in such a zone has left it: of its end nothing else would tell.
        """
        gone = self.changed(other)
        for name in gone & doing.stays.keys():
            stay = doing.stays.pop(name)
            if stay.since_s is not None:
                yield _left(name, stay, time_s)
        for name in gone:
            doing.sides.pop(name, None)
        doing.crossings = Counter({key: count for key, count in doing.crossings.items() if key[0] not in gone})
        if self._angle is None or other._angle is None:
            doing.looks = Looks()


def _left(name: str, stay: Stay, time_s: float) -> PlaceChange:
    return PlaceChange(event="left", place=name, visit="", time_s=time_s, seconds=stay.end())


def _zone_time(stay: Stay | None) -> ZoneTime:
    if stay is None:
        return ZoneTime()
    return ZoneTime(entries=stay.entries, seconds=stay.seconds + stay.lasting_s(), now=stay.since_s is not None)
