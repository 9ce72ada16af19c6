"""Messages about single people: what happened (`visits`), and who is in view now (`faces`)."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from edgeface.events.envelope import Duration, Envelope, Timestamp
from edgeface.events.operation import NotNegative
from edgeface.questions import Affect, Age, Count, Expression, Gender, Share
from edgeface.types import Event, Reason

AgeBand = Annotated[
    str | UnsetType | None,
    Meta(description="apparent age by band in years, with `privacy.age_bands` alone: `age` is null then"),
]


class VisitMessage(Envelope, frozen=True, kw_only=True):
    """Somebody came, something about them became known, somebody went."""

    camera: str
    visit: Annotated[str, Meta(description="id of the visit; not of the person")]
    event: Event
    started: Annotated[Timestamp, Meta(description="first detection")]
    ended: Annotated[Timestamp | None, Meta(description="last real detection; null while the visit lasts")]
    seconds: Annotated[Duration, Meta(description="length of the visit so far, or in the end")]
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


class FacesMessage(Envelope, frozen=True, kw_only=True):
    """Who is in view now; an empty list once when the last one has left."""

    camera: str
    width: Annotated[int, Meta(ge=1, description="of the frame, pixels")]
    height: Annotated[int, Meta(ge=1, description="of the frame, pixels")]
    faces: tuple[Face, ...]
