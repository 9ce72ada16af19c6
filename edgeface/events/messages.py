"""The MQTT API's one source of truth: a struct per kind of message, and the JSON Schemas made from them.

Here stand those about the program; `people` has those about single people, `counts` those about a place.

Fields are only ever added, never renamed or given another meaning (``docs/mqtt.md``); a reader must ignore
fields that it does not know. ``null`` means unknown. Labels are names, never numbers. Times are ISO 8601, in
UTC, with milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from edgeface.events.counts import StateMessage, SummaryMessage
from edgeface.events.envelope import SCHEMA_VERSION, Duration, Envelope, Timestamp
from edgeface.events.operation import (
    BundleHealth,
    Certificates,
    HoldHealth,
    InferenceHealth,
    LastError,
    MachineHealth,
    NotNegative,
    Problem,
    Undelivered,
)
from edgeface.events.people import FacesMessage, PlaceMessage, VisitMessage
from edgeface.questions import Count, Share
from edgeface.types import Task

Kind = Literal["visits", "places", "faces", "state", "summary", "health", "notice"]


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
    rate: Annotated[
        NotNegative | None,
        Meta(description="frames a second that are to be analysed, of a live camera; null: not yet known"),
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
    ] = msgspec.field(default_factory=dict)
    version: Annotated[str | None, Meta(description="of the program")] = None
    bundle: Annotated[BundleHealth | None, Meta(description="the networks that run")] = None
    machine: Annotated[MachineHealth | None, Meta(description="the board")] = None
    last_error: Annotated[LastError | None, Meta(description="latest warning or error of the log; null: none")] = None
    spool: SpoolHealth | None = None
    commands: Annotated[CommandsHealth | None, Meta(description="null: no command is listened to")] = None
    problems: Annotated[
        list[Problem], Meta(description="what is wrong now; what is only counted, for an hour after it happened last")
    ] = msgspec.field(default_factory=list)
    inference: InferenceHealth | None = None
    hold: Annotated[HoldHealth | None, Meta(description="null: no live camera, or `runtime.hold` is off")] = None


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
    parts: Annotated[list[NoticePart], Meta(description="the same words, by what they are about")] = msgspec.field(
        default_factory=list
    )


Message = VisitMessage | PlaceMessage | FacesMessage | StateMessage | SummaryMessage | HealthMessage | NoticeMessage

KINDS: Mapping[Kind, type[Message]] = {
    "visits": VisitMessage,
    "places": PlaceMessage,
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


def as_replayed(kind: Kind, payload: bytes) -> bytes:
    """Say of a message on ``visits`` or ``places`` that it is told later than it was meant to be.

    Raises
    ------
    msgspec.DecodeError : it is no such message
    """
    return msgspec.json.encode(msgspec.structs.replace(msgspec.json.decode(payload, type=KINDS[kind]), replayed=True))


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
