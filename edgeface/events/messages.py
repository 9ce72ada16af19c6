"""The MQTT API's one source of truth: a struct per kind of message, and the JSON Schemas made from them.

Fields are only ever added, never renamed or given another meaning (``docs/mqtt.md``); a reader must ignore
fields that it does not know. ``null`` means unknown. Labels are names, never numbers. Times are ISO 8601, in
UTC, with milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from edgeface.events.operation import (
    BundleHealth,
    Certificates,
    InferenceHealth,
    LastError,
    MachineHealth,
    NotNegative,
    Problem,
    Undelivered,
)
from edgeface.questions import Affect, Age, Count, Expression, Gender, Share, Shares
from edgeface.types import Event, Reason, Task

SCHEMA_VERSION: Literal[1] = 1

Kind = Literal["visits", "faces", "state", "summary", "health", "notice"]
Pause = Literal["hours", "command"]
Status = Literal["starting", "running", "away", "ended", "paused", "stopped"]

Timestamp = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$",
        description="ISO 8601, UTC, milliseconds",
        examples=["2026-03-14T12:04:07.250Z"],
    ),
]
AgeBand = Annotated[
    str | UnsetType | None,
    Meta(description="apparent age by band in years, with `privacy.age_bands` alone: `age` is null then"),
]
Duration = Annotated[float, Meta(ge=0, description="seconds")]


class Envelope(Struct, frozen=True, kw_only=True):
    """What every message carries first."""

    v: Annotated[Literal[1], Meta(description="schema version")] = SCHEMA_VERSION
    at: Annotated[Timestamp, Meta(description="when it happened; for files the start time plus the time stamp")]
    node: Annotated[str, Meta(description="id of the device")]
    boot: Annotated[str, Meta(description="id of this run of the program")]
    seq: Annotated[Count, Meta(description="per node and boot, over all topics; a gap is a message dropped")]


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


class Today(Struct, frozen=True, kw_only=True):
    """Totals of one day of one camera; they survive a restart."""

    date: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="the day, by this node's time zone")]
    visits: Annotated[Count, Meta(description="visits that started on this day")]
    seconds: Annotated[Duration, Meta(description="length of all visits that ended on this day, together")]


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
    paused: Annotated[
        Pause | UnsetType, Meta(description="why nobody is looked at, while `status` is `paused`: not one of its hours")
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


class CameraHealth(Struct, frozen=True, kw_only=True):
    """One camera's state."""

    state: Annotated[
        Literal["starting", "running", "away", "ended", "paused"],
        Meta(description="away: cannot be opened or has stopped, and is tried again; paused: nobody is looked at"),
    ]
    fps: Annotated[NotNegative | None, Meta(description="frames a second that were analysed; null: not yet known")]
    dropped: Annotated[Count, Meta(description="frames of a live camera that a newer one replaced")]
    ignored: Annotated[Count, Meta(description="faces that were not followed because too many others were")] = 0
    deferred: Annotated[
        Count,
        Meta(description="inferences on faces that were due and had to wait for a later frame, counted at each frame"),
    ] = 0
    rested: Annotated[
        Share | None,
        Meta(
            description="share of the frames since the start that were not searched, since nothing moved in them; "
            "null: no frame yet, or it would tell whether somebody is there"
        ),
    ] = None
    brightness: Annotated[
        Share | None, Meta(description="mean of the picture, 0 black to 1 white; null: no picture yet")
    ] = None
    nearest_px: Annotated[
        NotNegative | None, Meta(description="height of the largest face in view, pixels; null: nobody is in view")
    ] = None


class MqttHealth(Struct, frozen=True, kw_only=True):
    """The connection to the broker and what waits for it."""

    state: Literal["connected", "connecting", "refused", "offline"]
    protocol: Annotated[Literal["5", "3.1.1"], Meta(description="version of MQTT that is spoken")]
    queued: Annotated[Count, Meta(description="messages that wait or are not yet acknowledged")]
    parked: Annotated[Count, Meta(description="messages that the broker refused")]
    dropped: Annotated[dict[Kind, Count], Meta(description="messages dropped or replaced by newer ones, by kind")]
    undelivered: Annotated[
        list[Undelivered],
        Meta(description="what earlier runs could not deliver, told by the first run after them that is connected"),
    ] = []
    certificates: Annotated[Certificates | None, Meta(description="null: the connection is not encrypted")] = None


class Interrupted(Struct, frozen=True, kw_only=True):
    """An earlier run that ended without a stop: the power went, or it was killed."""

    boot: Annotated[str, Meta(description="id of that run")]
    number: Annotated[Count, Meta(description="the last number on visits that is durable")]
    seconds: Annotated[Duration, Meta(description="visits of up to so many seconds after that number may be missing")]
    ended: Annotated[Count, Meta(description="visits that lasted then, and were ended with reason `power`")]


class SpoolHealth(Struct, frozen=True, kw_only=True):
    """Where starts and ends of visits wait until the broker has them."""

    state: Annotated[
        Literal["disk", "memory", "off"],
        Meta(description="memory: the disk cannot be written, they would not survive the program; off: not wanted"),
    ]
    error: Annotated[str | None, Meta(description="why they are in memory only, in one line")]
    number: Annotated[Count | None, Meta(description="the latest number on visits of this boot; null: none yet")]
    waiting: Annotated[Count, Meta(description="starts and ends that the broker does not have yet")]
    bytes: Annotated[Count, Meta(description="size of the files on the disk")]
    interrupted: Annotated[
        list[Interrupted], Meta(description="earlier runs that ended without a stop, told by the next one")
    ] = []


class ConfigurationHealth(Struct, frozen=True, kw_only=True):
    """Which configuration is in force."""

    loaded_at: Annotated[Timestamp, Meta(description="when the one in force was read")]
    error: Annotated[
        str | None,
        Meta(
            description="why the latest reload was refused, or the card's file at the start, in one line; null: it was "
            "taken"
        ),
    ]
    hash: Annotated[
        str | None, Meta(description="first digits of the SHA-256 of the one in force, without its secrets")
    ] = None


class LatestCommand(Struct, frozen=True, kw_only=True):
    """The latest command that was followed."""

    at: Annotated[Timestamp, Meta(description="when it was followed, by this node's clock")]
    name: Annotated[str, Meta(description="pause, expression or restart")]
    done: Annotated[str, Meta(description="what came of it, in one line")]


class CommandsHealth(Struct, frozen=True, kw_only=True):
    """What commands have set."""

    paused: Annotated[list[str], Meta(description="ids of cameras that a command has paused")]
    expression: Annotated[
        bool, Meta(description="whether expressions are estimated; false: a command, or the configuration, says no")
    ]
    refused: Annotated[Count, Meta(description="messages on the topics of commands that were not followed")]
    latest: Annotated[LatestCommand | None, Meta(description="null: none since the start")] = None


class HealthMessage(Envelope, frozen=True, kw_only=True):
    """How the program fares; each minute, at the start and at a clean stop."""

    uptime: Annotated[Duration, Meta(description="seconds since the start")]
    started: Annotated[Timestamp | None, Meta(description="when the program was started")] = None
    cameras: dict[str, CameraHealth]
    stages: Annotated[dict[str, float], Meta(description="milliseconds per frame by stage, median")]
    mqtt: MqttHealth
    memory_mb: Annotated[float | None, Meta(description="resident memory in megabytes")]
    configuration: ConfigurationHealth | None = None
    invalid: Annotated[
        dict[str, Count],
        Meta(description="by network: answers that were no finite numbers or of a wrong length; they weigh nothing"),
    ] = {}
    version: Annotated[str | None, Meta(description="of the program")] = None
    bundle: Annotated[BundleHealth | None, Meta(description="the networks that run")] = None
    machine: Annotated[MachineHealth | None, Meta(description="the board")] = None
    last_error: Annotated[LastError | None, Meta(description="latest warning or error of the log; null: none")] = None
    spool: SpoolHealth | None = None
    commands: Annotated[CommandsHealth | None, Meta(description="null: no command is listened to")] = None
    problems: Annotated[
        list[Problem], Meta(description="what is wrong now; what is only counted, for an hour after it happened last")
    ] = []
    inference: InferenceHealth | None = None


class NoticeNetwork(Struct, frozen=True, kw_only=True):
    """One network that looks at people here."""

    task: Task | Literal["detect"]
    name: str
    licence: str
    limits: Annotated[str, Meta(description="what it is not for")]
    smallest_face_px: Annotated[
        int | None, Meta(description="least height of a face on which it was measured, pixels; null: not said")
    ] = None


class NoticePart(Struct, frozen=True, kw_only=True):
    """Some sentences of the notice about one thing."""

    about: Literal["seen", "purpose", "responsible", "looked_at", "told", "sent", "kept", "not_done"]
    text: str


class NoticeMessage(Envelope, frozen=True, kw_only=True):
    """What is measured here and why, for the people before the camera."""

    text: Annotated[str, Meta(description="plain words")]
    networks: tuple[NoticeNetwork, ...]
    parts: Annotated[list[NoticePart], Meta(description="the same words, by what they are about")] = []


Message = VisitMessage | FacesMessage | StateMessage | SummaryMessage | HealthMessage | NoticeMessage

KINDS: Mapping[Kind, type[Message]] = {
    "visits": VisitMessage,
    "faces": FacesMessage,
    "state": StateMessage,
    "summary": SummaryMessage,
    "health": HealthMessage,
    "notice": NoticeMessage,
}


def kind_of_topic(topic: str) -> Kind | None:
    """``edgeface/node/main/visits`` is of kind ``visits``; None for a topic that is none of ours."""
    last = topic.rsplit("/", 1)[-1]
    return next((kind for kind in KINDS if kind == last), None)


def decode(kind: Kind, payload: bytes) -> Message:
    """Read one payload; unknown fields are ignored, as any reader must.

    Raises
    ------
    msgspec.DecodeError : not JSON, a field is missing or out of range, or it was sent at a time that is none
    """
    try:
        message = msgspec.json.decode(payload, type=KINDS[kind])
    except (UnicodeDecodeError, RecursionError) as error:  # neither is msgspec's own
        raise msgspec.DecodeError(str(error)) from None
    try:
        year = moment(message.at).year
    except ValueError as error:
        # The pattern of a time lets a month 13 pass.
        raise msgspec.DecodeError(str(error)) from None
    if not datetime.min.year < year < datetime.max.year:
        # Another time zone would put it outside of all that can be said.
        raise msgspec.DecodeError(f"year {year} is out of range")
    return message


def moment(text: str) -> datetime:
    """Read a time of a message; aware. Python 3.10 does not read the ``Z``."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def as_replayed(payload: bytes) -> bytes:
    """Say of a message on ``visits`` that it is told later than it was meant to be.

    Raises
    ------
    msgspec.DecodeError : it is no such message
    """
    return msgspec.json.encode(msgspec.structs.replace(msgspec.json.decode(payload, type=VisitMessage), replayed=True))


def schemas() -> dict[Kind, dict[str, Any]]:
    """JSON Schema (draft 2020-12) of every kind, made from the structs; in ``docs/schemas/<kind>.json``."""
    return {kind: _schema(kind, struct) for kind, struct in KINDS.items()}


def _schema(kind: Kind, struct: type[Message]) -> dict[str, Any]:
    (schema,), parts = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    definitions = dict(parts)
    body = definitions.pop(schema["$ref"].rsplit("/", 1)[-1])
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"edgeface:{kind}:v{SCHEMA_VERSION}",
        **body,
        # It has a default in the code and is sent all the same.
        "required": ["v", *body["required"]],
    }
    return {**head, "$defs": definitions} if definitions else head
