"""Tags of TIFF structures, which TIFF files and the EXIF blocks of other pictures are made of."""

from __future__ import annotations

import struct

ORIENTATION_TAG = 0x0112
MOST_TAGS = 512
NUMBERS = {3: "H", 4: "I", 16: "Q"}
"""Whole-number types of TIFF and how `struct` reads them."""


def tiff_tags(data: bytes) -> dict[int, int]:
    """Whole-number tags of the first directory of a TIFF structure (also EXIF), the first value of each."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    (place,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
    (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, place)
    step, room = (20, 8) if big else (12, 4)
    tags: dict[int, int] = {}
    for number in range(min(count, MOST_TAGS)):
        at = place + (8 if big else 2) + step * number
        tag, kind, values = struct.unpack_from(f"{order}HH{'Q' if big else 'I'}", data, at)
        if kind in NUMBERS:
            value_at = at + step - room
            if values * struct.calcsize(f"={NUMBERS[kind]}") > room:
                (value_at,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, value_at)
            tags[tag] = _number(data, value_at, order + NUMBERS[kind])
    return tags


def _number(data: bytes, place: int, layout: str) -> int:
    """One value of a tag; 0 where it lies beyond the bytes."""
    return int(struct.unpack_from(layout, data, place)[0]) if place + struct.calcsize(layout) <= len(data) else 0


def orientation_of(data: bytes) -> int:
    """EXIF orientation of a TIFF structure, 1 to 8; 1 where it says none that makes sense."""
    try:
        value = tiff_tags(data).get(ORIENTATION_TAG)
    except struct.error:
        return 1
    return value if value is not None and 1 <= value <= 8 else 1
