"""What every message begins with, and how times are written in all of them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edgeface.questions import Count

SCHEMA_VERSION: Literal[1] = 1

Timestamp = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$",
        description="ISO 8601, UTC, milliseconds",
        examples=["2026-03-14T12:04:07.250Z"],
    ),
]
Duration = Annotated[float, Meta(ge=0, description="seconds")]


class Envelope(Struct, frozen=True, kw_only=True):
    """What every message carries first."""

    v: Annotated[Literal[1], Meta(description="schema version")] = SCHEMA_VERSION
    at: Annotated[Timestamp, Meta(description="when it happened; for files the start time plus the time stamp")]
    node: Annotated[str, Meta(description="id of the device")]
    boot: Annotated[str, Meta(description="id of this run of the program")]
    seq: Annotated[Count, Meta(description="per node and boot, over all topics; a gap is a message dropped")]
