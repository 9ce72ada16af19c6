"""How long a video says it is, where its index knows better than the number of its frames.

Telephones trim a video by an edit list: all frames stay in the file, and players show some of them. FFmpeg does too.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

MOST_BOXES = 10_000


def movie_length_s(path: Path) -> float | None:
    """Length in seconds from the movie header of an MP4, MOV or 3GP file; None where there is none to be found."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            movie = _find(file, b"moov", 0, end)
            header = None if movie is None else _find(file, b"mvhd", *movie)
            if header is None:
                return None
            file.seek(header[0])
            return _length(file.read(32))
    except (OSError, struct.error):
        return None


def _find(file: BinaryIO, wanted: bytes, place: int, end: int) -> tuple[int, int] | None:
    """Where the body of a box begins and ends, among the boxes between two places."""
    for _ in range(MOST_BOXES):
        if place + 8 > end:
            return None
        file.seek(place)
        size, name = struct.unpack(">I4s", file.read(8))
        body = place + 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            body += 8
        stop = end if size == 0 else place + size
        if name == wanted:
            return body, min(stop, end)
        if stop < body:
            return None
        place = stop
    return None


def _length(header: bytes) -> float | None:
    """Duration over time scale; all ones and zero mean unknown."""
    layout, unknown = (">20xIQ", (1 << 64) - 1) if header[:1] == b"\1" else (">12xII", (1 << 32) - 1)
    scale, duration = struct.unpack_from(layout, header)
    return duration / scale if scale and duration not in (0, unknown) else None
