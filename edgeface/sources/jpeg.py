"""The segments of a JPEG file, as far as its size, its end and its memory are told by them (ISO/IEC 10918-1, B)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
SCAN, END = 0xDA, b"\xff\xd9"
BARE = frozenset((0x01, *range(0xD0, 0xD9)))
START, WITHIN = b"\xff\xd8\xff", 1024
"""First bytes, and how many of others some cameras and mail programs put before them."""


def find_start(data: bytes) -> int:
    """Where a JPEG begins within its file."""
    return max(0, data.find(START, 0, WITHIN))


def find_scan(data: bytes, start: int) -> int:
    """Where the picture data of a JPEG begins, behind its segments; -1 where the bytes end before."""
    for marker, place in segments(data, start):
        if marker == SCAN:
            return place
    return -1


def segments(data: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Marker and place of every segment up to the picture data."""
    place = start + 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            place += 1
            continue
        marker = data[place + 1]
        if marker == 0xFF or marker in BARE:
            place += 1 if marker == 0xFF else 2
            continue
        yield marker, place
        if marker == SCAN:
            return
        (length,) = struct.unpack_from(">H", data, place + 2)
        place += 2 + length


def coefficient_bytes(data: bytes, place: int) -> float:
    """Bytes per pixel of the coefficients that a progressive JPEG keeps to its end, two each."""
    sampling = data[place + 11 : place + 10 + 3 * data[place + 9] : 3]
    areas = [(factor >> 4) * (factor & 15) for factor in sampling]
    return 2 * sum(areas) / max(1, *areas) if areas else 0.0
