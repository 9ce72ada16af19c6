"""Messages about single people: what happened (`visits`), and who is in view now (`faces`)."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from edgeface.events.envelope import Duration, Envelope, Timestamp
from edgeface.events.operation import NotNegative
from edgeface.questions import Affect, Age, Count, Expression, Gender, Share
from edgeface.types import Event, Reason
from edgeface.visit import PlaceEvent

AgeBand = Annotated[
    str | UnsetType | None,
    Meta(description="apparent age by band in years, with `privacy.age_bands` alone: `age` is null then"),
]


class Attention(Struct, frozen=True, kw_only=True):
    """How the head points towards the camera: no gaze, and no interest."""

    looking: Annotated[Duration, Meta(description="seconds of the visit so far in which it did")]
    glances: Annotated[Count, Meta(description="how often that began")]
    now: Annotated[bool, Meta(description="whether it does now; false in an `end`")]


class VisitMessage(Envelope, frozen=True, kw_only=True):
    """Somebody came, something about them became known, somebody went."""

    camera: str
    visit: Annotated[str, Meta(description="id of the visit; not of the person")]
    event: Event
    started: Annotated[Timestamp, Meta(description="first detection")]
    ended: Annotated[Timestamp | None, Meta(description="last real detection; null while the visit lasts")]
    seconds: Annotated[Duration, Meta(description="length of the visit up to the last sighting")]
    reason: Annotated[Reason | None, Meta(description="why it ended; null while it lasts")]
    age: Age | None
    gender: Gender | None
    expression: Expression | None
    affect: Affect | None = None
    age_band: AgeBand = UNSET
    number: Annotated[
        Count | None,
        Meta(description="counts starts and ends per node and boot, from 0 and without gaps; null for an update"),
    ] = None
    replayed: Annotated[
        bool,
        Meta(description="true: it had to wait for the broker or for the next start, and may be told a second time"),
    ] = False
    attention: Annotated[
        Attention | None, Meta(description="null: not measured, or the points of the face were never seen")
    ] = None
    lines: Annotated[
        dict[str, dict[str, Count]] | UnsetType,
        Meta(description="crossings of the visit so far by line and direction; where the camera has lines"),
    ] = UNSET
    zones: Annotated[
        dict[str, Duration] | UnsetType,
        Meta(description="seconds of the visit so far by zone; where the camera has zones"),
    ] = UNSET


class PlaceMessage(Envelope, frozen=True, kw_only=True):
    """Somebody crossed a line, entered a zone or left one."""

    camera: str
    visit: Annotated[str, Meta(description="id of the visit")]
    event: PlaceEvent
    place: Annotated[str, Meta(description="name of the line or zone")]
    direction: Annotated[str | None, Meta(description="in which a line was crossed; null for a zone")] = None
    seconds: Annotated[Duration | None, Meta(description="of who left a zone: how long they were in it; else null")] = (
        None
    )
    replayed: Annotated[
        bool, Meta(description="true: it had to wait for the broker, and may be told a second time")
    ] = False


class View(Struct, frozen=True, kw_only=True):
    """How well one face can be seen."""

    size_px: Annotated[NotNegative, Meta(description="height of the face in pixels of the frame")]
    light: Annotated[Share, Meta(description="0 too dark or burnt out, 1 well exposed")]
    blur: Annotated[Share, Meta(description="0 sharp, 1 no detail left")]


class Face(Struct, frozen=True, kw_only=True):
    """One person in view."""

    visit: str
    box: Annotated[tuple[float, float, float, float], Meta(description="x1, y1, x2, y2 in pixels of the frame")]
    score: Annotated[Share, Meta(description="detector's score of the last real detection")]
    age: Age | None
    gender: Gender | None
    expression: Expression | None
    affect: Affect | None = None
    age_band: AgeBand = UNSET
    view: Annotated[View | None, Meta(description="null: the face was not found in this frame")] = None
    attention: Annotated[Attention | None, Meta(description="of the visit so far, as in `visits`")] = None


class FacesMessage(Envelope, frozen=True, kw_only=True):
    """Who is in view now; an empty list once when the last one has left."""

    camera: str
    width: Annotated[int, Meta(ge=1, description="of the frame, pixels")]
    height: Annotated[int, Meta(ge=1, description="of the frame, pixels")]
    faces: tuple[Face, ...]
