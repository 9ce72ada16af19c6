"""What a node may be told over MQTT: types of the commands, and the judgement of what arrives. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from edgeface.events.bodies import iso
from edgeface.files import NOT_JSON

FRESH_S = 10.0
"""A command that was said longer ago is not followed; nor one that a clock ahead of ours has said."""
LARGEST = 1024
"""Bytes of a command; the longest that is any has fewer than two hundred."""
COMMAND = "command"
"""Commands lie on ``<prefix>/<node>/command/<name>``."""


class Command(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every command carries: when it was said. MQTT does not tell, and some keep what they could not send."""

    at: Annotated[
        datetime,
        Meta(
            tz=True,
            description="when it was said: ISO 8601 with a time zone; older than ten seconds, or as far ahead, it is "
            "ignored",
            examples=["2026-03-14T12:04:07.250Z"],
        ),
    ]


class PauseCommand(Command, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Look no more before a camera, or look again; a pause stands in `state` and survives a restart."""

    on: Annotated[bool, Meta(description="true: pause, false: go on")]
    camera: Annotated[
        Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")] | None,
        Meta(description="id of a camera; without one: all that the node has"),
    ] = None


class ExpressionCommand(Command, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Estimate facial expressions no more, or again, where the configuration allows it."""

    on: Annotated[bool, Meta(description="false: no expression is estimated, kept or told")]


class RestartCommand(Command, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """End the program, for its service manager to start it anew; at most once a minute."""


AnyCommand = PauseCommand | ExpressionCommand | RestartCommand
COMMANDS: Mapping[str, type[AnyCommand]] = {
    "pause": PauseCommand,
    "expression": ExpressionCommand,
    "restart": RestartCommand,
}
"""By the name that ends their topic."""


def judge(name: str, payload: bytes, *, retained: bool, now: datetime) -> AnyCommand | str:
    """The command that a message is, or why it is none.

    Parameters
    ----------
    name : last part of its topic
    retained : whether the broker keeps it, or has kept it
    now : wall time, aware
    """
    kind = COMMANDS.get(name)
    if kind is None:
        return f"there is no such command; known are {', '.join(COMMANDS)}"
    if retained:
        return "it is retained, and would be said again at each connection; send it without"
    if len(payload) > LARGEST:
        return f"it has more than {LARGEST} bytes"
    try:
        command = msgspec.json.decode(payload, type=kind)
    except NOT_JSON as error:
        return f"it is no such command: {error}"
    age = now - command.at
    if abs(age) > timedelta(seconds=FRESH_S):
        when = "ago" if age > timedelta() else "ahead"
        return (
            f"it was said {abs(age).total_seconds():.0f} s {when} ({iso(command.at)}); see that both clocks are right"
        )
    return command


def command_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema of each command, by ``command_<name>``; in ``docs/schemas``."""
    return {f"{COMMAND}_{name}": _schema(name, kind) for name, kind in COMMANDS.items()}


def _schema(name: str, kind: type[AnyCommand]) -> dict[str, Any]:
    (schema,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    body = parts[schema["$ref"].rsplit("/", 1)[-1]]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"edgeface:{COMMAND}_{name}:v1", **body}
