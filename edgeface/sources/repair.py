"""Undo what OpenCV's decoders stumble over: bytes before a JPEG, OS/2's bitmaps, animated WebP before OpenCV 4.11."""

from __future__ import annotations

import struct

from edgeface.sources import jpeg
from edgeface.sources.header import Header


def plain(data: bytes, header: Header) -> bytes:
    """Return a picture file as OpenCV reads it best."""
    if header.kind == "jpeg":
        start = jpeg.find_start(data)
        data = data[start:] if start else data
        return data if header.complete else data + jpeg.END
    return modern_bmp(data) if header.kind == "bmp" else data


def modern_bmp(data: bytes) -> bytes:
    """Give a BMP of OS/2 the header of Windows, since OpenCV takes its colours for greys."""
    if struct.unpack_from("<I", data, 14) != (12,):
        return data
    offset, _, width, height, planes, bits = struct.unpack_from("<IIHHHH", data, 10)
    palette = data[26:offset] if bits <= 8 else b""
    colours = b"".join(palette[at : at + 3] + b"\0" for at in range(0, len(palette) - 2, 3))
    head = struct.pack("<IiiHHIIiiII", 40, width, height, planes, bits, 0, 0, 2835, 2835, len(colours) // 4, 0)
    start = 14 + len(head) + len(colours)
    pixels = data[offset:]
    return struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + head + colours + pixels


def webp_frame(data: bytes) -> bytes | None:
    """First frame of an animated WebP as a WebP of its own, or None for one that is not animated."""
    at = data.find(b"ANMF", 12)
    if at < 0 or len(data) < at + 24:
        return None
    (size,) = struct.unpack_from("<I", data, at + 4)
    wh, chunks = data[at + 14 : at + 20], data[at + 24 : at + 8 + size]
    alpha = b"\x10" if chunks.startswith((b"ALPH", b"VP8L")) else b"\0"
    body = b"WEBPVP8X" + struct.pack("<I", 10) + alpha + b"\0\0\0" + wh + chunks
    return b"RIFF" + struct.pack("<I", len(body)) + body
