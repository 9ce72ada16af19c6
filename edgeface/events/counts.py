"""Messages about the scene before a camera: what is so now (`state`), what was counted (`summary`, a day's totals)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from edgeface.events.envelope import Duration, Envelope, Timestamp
from edgeface.questions import Count, Shares
from edgeface.types import Scene

Pause = Literal["hours", "command"]
Status = Literal["starting", "running", "away", "ended", "paused", "stopped"]


class AttentionTotals(Struct, frozen=True, kw_only=True):
    """How heads pointed towards the camera, of all visits together."""

    looking: Annotated[Duration, Meta(description="seconds in which one did, of each added")]
    glances: Annotated[Count, Meta(description="how often that began")]


class ZoneTotals(Struct, frozen=True, kw_only=True):
    """One zone, of all visits together."""

    entries: Annotated[Count, Meta(description="how often somebody came into it")]
    seconds: Annotated[Duration, Meta(description="time that people were in it, of each added")]


class Today(Struct, frozen=True, kw_only=True):
    """Totals of one day of one camera; they survive a restart."""

    date: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="the day, by this node's time zone")]
    visits: Annotated[Count, Meta(description="visits that started on this day")]
    seconds: Annotated[Duration, Meta(description="length of all visits that ended on this day, together")]
    attention: Annotated[
        AttentionTotals | UnsetType, Meta(description="of visits that ended on this day; where it is measured")
    ] = UNSET
    lines: Annotated[
        dict[str, dict[str, Count]] | UnsetType,
        Meta(description="crossings on this day by line and direction; where the camera has lines"),
    ] = UNSET
    zones: Annotated[
        dict[str, ZoneTotals] | UnsetType,
        Meta(description="entries, and the length of stays that ended on this day; where the camera has zones"),
    ] = UNSET


class StateMessage(Envelope, frozen=True, kw_only=True):
    """What is so now before one camera; retained."""

    camera: str
    status: Annotated[
        Status,
        Meta(description="whether the camera is looked at: in any state but `running` nobody is, and nothing is known"),
    ]
    occupied: Annotated[
        bool | None, Meta(description="whether somebody is there; null: nobody is looking, or `privacy.least_count`")
    ]
    count: Annotated[
        Count | None, Meta(description="visits that last; null: nobody is looking, or `privacy.least_count`")
    ]
    since: Annotated[Timestamp, Meta(description="since when `occupied` is what it is")]
    expression: Annotated[
        str | None, Meta(description="what most of those there show; null: nobody is there, or it is unknown")
    ]
    age: Annotated[
        float | None, Meta(description="mean apparent age in years of those there; null: nobody, or unknown")
    ]
    today: Today
    expires: Annotated[
        Timestamp | None,
        Meta(description="of a state with somebody there: said again before, and not true after; null: it holds"),
    ] = None
    age_band: Annotated[
        str | UnsetType | None,
        Meta(description="band of age of most of those there, with `privacy.age_bands` alone: `age` is null then"),
    ] = UNSET
    view: Annotated[
        Scene | UnsetType | None,
        Meta(
            description="whether a live camera shows its scene (`clear`), or is `dark`, `covered`, or was `moved`; "
            "null: it gives nothing"
        ),
    ] = UNSET
    paused: Annotated[
        Pause | UnsetType, Meta(description="why nobody is looked at, while `status` is `paused`: not one of its hours")
    ] = UNSET
    looking: Annotated[
        Count | UnsetType | None,
        Meta(description="heads that point towards the camera; null as `count`; where attention is measured"),
    ] = UNSET
    zones: Annotated[
        dict[str, Count] | UnsetType | None,
        Meta(description="people in each zone; null as `count`; where the camera has zones"),
    ] = UNSET


class SummaryMessage(Envelope, frozen=True, kw_only=True):
    """A minute of one camera, counted."""

    camera: str
    from_: Annotated[Timestamp, Meta(description="begin of the window")] = msgspec.field(name="from")
    to: Annotated[Timestamp, Meta(description="end of the window")]
    in_: Annotated[
        Count | None, Meta(description="visits that started in the window; null with `privacy.least_count`")
    ] = msgspec.field(name="in")
    out: Annotated[Count, Meta(description="visits that ended in the window")]
    in_view: Annotated[
        Count | None, Meta(description="visits that last at the window's end; null with `privacy.least_count`")
    ]
    ages: Annotated[
        dict[str, Count],
        Meta(description="visits seen in the window by age band in years, and `unknown`"),
    ]
    expressions: Annotated[
        Shares | None,
        Meta(description="share of the time of visits whose expression is known, as they count it; null: of none"),
    ]
    today: Today | None = None
    attention: Annotated[
        AttentionTotals | UnsetType | None,
        Meta(description="in the window; null: too few with `privacy.least_count`; where it is measured"),
    ] = UNSET
    lines: Annotated[
        dict[str, dict[str, Count | None]] | UnsetType,
        Meta(
            description="crossings in the window by line and direction, where the camera has lines; null: of too few "
            "visits with `privacy.least_count`, told with the next that are enough"
        ),
    ] = UNSET
    zones: Annotated[
        dict[str, ZoneTotals | None] | UnsetType,
        Meta(description="entries and seconds in the window, where the camera has zones; null as in `lines`"),
    ] = UNSET
