"""One person's presence before one camera, as people are followed and events tell of them."""

from __future__ import annotations

import msgspec

from edgeface.questions import Known
from edgeface.types import F32, Event, Reason


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
    absent: bool = False


class VisitChange(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Something about a visit that is worth telling; ``reason`` is set for an end only."""

    event: Event
    visit: Visit
    time_s: float
    reason: Reason | None = None
