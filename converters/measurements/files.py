"""Where the figures lie, and how one file of them is written."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgeface.files import write_atomic

RESULTS = Path(__file__).parent


def write_json(path: Path, value: object) -> None:
    """Write JSON with one space a level, so that a change is a line of a diff, in one step."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
