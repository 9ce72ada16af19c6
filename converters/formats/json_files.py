"""JSON as it is committed: in lines, so that a change is a line of a diff."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgeface.files import write_atomic


def json_bytes(value: object, *, indent: int = 1, order: Literal["sorted"] | None = None) -> bytes:
    """Every value on a line of its own, ``indent`` spaces a level; ``order`` sorts keys."""
    return msgspec.json.format(msgspec.json.encode(value, order=order), indent=indent) + b"\n"


def write_json(path: Path, value: object, *, order: Literal["sorted"] | None = None) -> None:
    """Write `json_bytes` in one step."""
    write_atomic(path, json_bytes(value, order=order))


def write_json_rows(path: Path, value: object) -> None:
    """Write JSON in one step, each list on the line of its key."""
    write_atomic(path, _rows(msgspec.to_builtins(value), "").encode() + b"\n")


def _rows(value: Any, indent: str) -> str:
    if not isinstance(value, dict) or not value:
        return json.dumps(value)
    inner = f"{indent} "
    rows = ",\n".join(f"{inner}{json.dumps(key)}: {_rows(each, inner)}" for key, each in value.items())
    return f"{{\n{rows}\n{indent}}}"
