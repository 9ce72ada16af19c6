"""One person's presence before one camera, as people are followed and events tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from edgeface.questions import Known
from edgeface.types import F32, Event, Reason

PlaceEvent = Literal["crossed", "entered", "left"]


class VisitAttention(msgspec.Struct, frozen=True, kw_only=True):
    """How a head pointed towards the camera over a visit.

    Attributes
    ----------
    looking_s : seconds, of all looks together
    glances : looks that began
    now : whether one lasts
    """

    looking_s: float = 0.0
    glances: int = 0
    now: bool = False


class ZoneTime(msgspec.Struct, frozen=True, kw_only=True):
    """How often a zone was entered, the seconds spent in it, and whether somebody is in it now."""

    entries: int = 0
    seconds: float = 0.0
    now: bool = False


class Conduct(msgspec.Struct, frozen=True, kw_only=True):
    """What a person did before a camera so far.

    Attributes
    ----------
    attention : None where it is not measured, or the points of the face were never seen
    lines : crossings by line and direction; every line and direction that the camera has
    zones : by zone; every zone that the camera has
    """

    attention: VisitAttention | None = None
    lines: Mapping[str, Mapping[str, int]] = {}
    zones: Mapping[str, ZoneTime] = {}


NO_CONDUCT = Conduct()


class Visit(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One person's presence before one camera, and what is known of them.

    ``started_s``, ``seen_s`` and ``ended_s`` are source times: the first detection, the latest real one, and the end.
    Who is ``absent`` is not there any more, but may still come back and go on with the visit (`visits.return_within`).
    """

    id: str
    camera: str
    track: int
    started_s: float
    seen_s: float
    ended_s: float | None
    box: F32
    score: float
    known: Known
    conduct: Conduct = NO_CONDUCT
    absent: bool = False


class VisitChange(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Something about a visit that is worth telling; ``reason`` is set for an end only."""

    event: Event
    visit: Visit
    time_s: float
    reason: Reason | None = None


class PlaceChange(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody crossed a line, entered a zone or left one.

    Attributes
    ----------
    place : name of the line or zone
    direction : name of the direction in which a line was crossed; None for a zone
    seconds : how long who left a zone was in it; None else
    """

    event: PlaceEvent
    place: str
    visit: str
    time_s: float
    direction: str | None = None
    seconds: float | None = None
