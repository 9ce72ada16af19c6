"""Cameras that a program reads: their names as a source, and which of several is meant. Pure."""

from __future__ import annotations

import re

PROGRAMS = ("picamera", "picamera2", "csi")
_NAMED = re.compile(rf"({'|'.join(PROGRAMS)})(?::([0-9]{{1,3}}))?")


def program_of(source: int | str) -> tuple[str, int | None] | None:
    """Name and camera's number of ``picamera2:1``; no number for ``picamera2`` alone, None for any other source."""
    found = _NAMED.fullmatch(source) if isinstance(source, str) else None
    return None if found is None else (found[1], None if found[2] is None else int(found[2]))


def meant_program(source: int | str) -> str | None:
    """Name of the program whose camera somebody meant, though what stands behind the colon is no number."""
    name, colon, _ = str(source).partition(":")
    return name if colon and name in PROGRAMS and program_of(source) is None else None
