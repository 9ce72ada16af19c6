"""The MQTT API as one AsyncAPI 3 document, written from the message types; ``scripts/schemas`` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeface.events.bodies import QOS, RETAINED
from edgeface.events.commands import COMMAND, COMMANDS
from edgeface.events.envelope import SCHEMA_VERSION
from edgeface.events.messages import KINDS, Kind

VERSION = "3.0.0"
PARAMETERS: Mapping[str, str] = {
    "prefix": "mqtt.prefix of the configuration, `edgeface` by default; may hold slashes",
    "node": "node.id of the configuration, else host name and four digits of the machine's id",
    "camera": "id of the camera in the configuration",
}
AVAILABILITY = "availability"
PLAIN: Mapping[str, tuple[str, list[str]]] = {
    AVAILABILITY: ("`online` while connected; `offline` at a stop, or by the last will.", ["online", "offline"]),
    "doctor": ("Empty: `edgeface doctor` tries whether it may write here.", [""]),
}
"""Topics without JSON: what it is, and the words that come."""


def asyncapi() -> dict[str, Any]:
    """The document; payloads are the JSON Schemas beside it."""
    kinds: list[Kind | str] = [*KINDS, *PLAIN]
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "edgeface",
            "version": str(SCHEMA_VERSION),
            "description": "What a node says of the people before its cameras, and of itself. Fields are added, never "
            "renamed, removed or given another meaning under the same version; a reader passes over what it does not "
            "know.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"broker": {"host": "localhost:1883", "protocol": "mqtt", "protocolVersion": "5"}},
        "channels": {kind: _channel(kind) for kind in kinds}
        | {_of_command(name): _command_channel(name) for name in COMMANDS},
        "operations": {f"send_{kind}": _operation(kind) for kind in kinds}
        | {f"receive_{_of_command(name)}": _command_operation(name) for name in COMMANDS},
        "components": {
            "messages": {kind: _message(kind) for kind in kinds}
            | {_of_command(name): _command_message(name) for name in COMMANDS}
        },
    }


def _of_command(name: str) -> str:
    return f"{COMMAND}_{name}"


def _command_channel(name: str) -> dict[str, Any]:
    return {
        "address": f"{{prefix}}/{{node}}/{COMMAND}/{name}",
        "parameters": {one: {"description": PARAMETERS[one]} for one in PARAMETERS if one != "camera"},
        "messages": {_of_command(name): {"$ref": f"#/components/messages/{_of_command(name)}"}},
    }


def _command_operation(name: str) -> dict[str, Any]:
    channel = f"#/channels/{_of_command(name)}"
    return {
        "action": "receive",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{_of_command(name)}"}],
        "bindings": {"mqtt": {"qos": 1, "retain": False}},
    }


def _command_message(name: str) -> dict[str, Any]:
    return {
        "name": _of_command(name),
        "summary": (COMMANDS[name].__doc__ or "").splitlines()[0],
        "contentType": "application/json",
        "payload": {"$ref": f"./schemas/{_of_command(name)}.json"},
    }


def _of_camera(kind: str) -> bool:
    """Whether each camera has a topic of its own for it."""
    struct = KINDS.get(kind)  # type: ignore[call-overload]
    return struct is not None and "camera" in struct.__struct_fields__


def _channel(kind: str) -> dict[str, Any]:
    names = [name for name in PARAMETERS if name != "camera" or _of_camera(kind)]
    return {
        "address": "/".join([*(f"{{{name}}}" for name in names), kind]),
        "parameters": {name: {"description": PARAMETERS[name]} for name in names},
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"}},
    }


def _operation(kind: str) -> dict[str, Any]:
    qos = 1 if kind in PLAIN else QOS[kind]  # type: ignore[index]
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{kind}"},
        "messages": [{"$ref": f"#/channels/{kind}/messages/{kind}"}],
        "bindings": {"mqtt": {"qos": qos, "retain": kind in {*RETAINED, AVAILABILITY}}},
    }


def _message(kind: str) -> dict[str, Any]:
    if kind in PLAIN:
        summary, words = PLAIN[kind]
        return {
            "name": kind,
            "summary": summary,
            "contentType": "text/plain",
            "payload": {"type": "string", "enum": words},
        }
    struct: type = KINDS[kind]  # type: ignore[index]
    return {
        "name": kind,
        "summary": (struct.__doc__ or "").splitlines()[0],
        "contentType": "application/json",
        "payload": {"$ref": f"./schemas/{kind}.json"},
    }
