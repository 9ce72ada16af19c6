"""Cameras by name: those that a program reads, which of several is meant, and which only one can have. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping

from edgeface.config.cameras import Camera

PROGRAMS = ("picamera", "picamera2", "csi")
ONE_DEVICE = "name another (`edgeface cameras` lists them), or take one out: one camera has many lines and zones"
_NAMED = re.compile(rf"({'|'.join(PROGRAMS)})(?::([0-9]{{1,3}}))?")


def program_of(source: int | str) -> tuple[str, int | None] | None:
    """Name and camera's number of ``picamera2:1``; no number for ``picamera2`` alone, None for any other source."""
    found = _NAMED.fullmatch(source) if isinstance(source, str) else None
    return None if found is None else (found[1], None if found[2] is None else int(found[2]))


def device_of(source: int | str, resolve: Callable[[str], str] = posixpath.normpath) -> str | None:
    """What a source takes for itself alone; None for files and streams, of which there are as many as are asked for.

    ``resolve`` says which device a path leads to: without it two paths are one where they are spelled alike.
    """
    program = program_of(source)
    if program is not None:
        # rpicam-vid and picamera2 count the same cameras.
        return f"{'csi' if program[0] == 'csi' else 'picamera'}:{program[1] or 0}"
    text = str(source)
    if text.isascii() and text.isdecimal():
        text = f"/dev/video{int(text)}"
    return resolve(text) if text.startswith("/dev/") else None


def shared_device(cameras: Mapping[str, Camera], resolve: Callable[[str], str] = posixpath.normpath) -> str | None:
    """Say which two cameras are on one device, whose driver gives pictures to one alone; None where none are.

    Without ``resolve`` that is certain. With it links are followed as they lead now: numbers change with what is
    plugged in, so that is no reason not to start.
    """
    taken: dict[str, str] = {}
    for name, camera in cameras.items():
        device = device_of(camera.source, resolve)
        if device is not None and (other := taken.setdefault(device, name)) != name:
            return f"cameras.{name}.source is the camera of cameras.{other}, {device}, and only one can have it"
    return None


def meant_program(source: int | str) -> str | None:
    """Name of the program whose camera somebody meant, though what stands behind the colon is no number."""
    name, colon, _ = str(source).partition(":")
    return name if colon and name in PROGRAMS and program_of(source) is None else None
