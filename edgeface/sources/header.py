"""What a picture's first bytes say, without decoding: format, size, and how it must be turned.

Sizes and orientations come from files of strangers: every read is bounded, and a header that does not make sense is
simply not understood (None), which the decoder then judges.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

ORIENTATION_TAG = 0x0112
JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_BARE = frozenset((0x01, *range(0xD0, 0xD9)))
MOST_TAGS = 512
NUMBERS = {3: "H", 4: "I", 16: "Q"}
"""Whole-number types of TIFF and how `struct` reads them."""
GIF_EXTENSION, GIF_PICTURE = 0x21, 0x2C
BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
JPEG_START, JPEG_WITHIN = b"\xff\xd8\xff", 1024
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Format and size of a picture as stored, and its EXIF orientation (1 upright to 8, TIFF 6.0 tag 274).

    ``complete`` is False where the bytes end before the picture does, as far as that can be told.
    """

    kind: str
    width: int = 0
    height: int = 0
    orientation: int = 1
    complete: bool = True


def sniff(data: bytes) -> Header | None:
    """Header of a picture, or None for something else. ``data`` is the whole file or at least its first 64 kB."""
    try:
        return _sniff(data)
    except (struct.error, IndexError, ValueError):
        return None


def _sniff(data: bytes) -> Header | None:
    for signature, at, parse in PARSERS:
        if data.startswith(signature, at):
            return parse(data)
    # Some cameras and mail programs put bytes before the picture.
    start = data.find(JPEG_START, 0, JPEG_WITHIN)
    return _jpeg(data, start) if start >= 0 else None


def jpeg_start(data: bytes) -> int:
    """Where a JPEG begins within its file."""
    return max(0, data.find(JPEG_START, 0, JPEG_WITHIN))


def _gif(data: bytes) -> Header:
    width, height = struct.unpack_from("<HH", data, 6)
    return Header(kind="gif", width=width, height=height, complete=_gif_is_complete(data))


def _gif_is_complete(data: bytes) -> bool:
    """Whether the first picture's data is there to its end; what follows is not looked at."""
    place = 13 + _gif_colours(data[10])
    while place < len(data) and data[place] == GIF_EXTENSION:
        place = _after_blocks(data, place + 2)
    if place + 10 > len(data) or data[place] != GIF_PICTURE:
        return False
    return _after_blocks(data, place + 11 + _gif_colours(data[place + 9])) <= len(data)


def _gif_colours(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(data: bytes, place: int) -> int:
    """Place after a chain of blocks, which an empty one ends; beyond the data if that is missing."""
    while place < len(data):
        length = data[place]
        place += length + 1
        if length == 0:
            return place
    return len(data) + 1


def _tiff(data: bytes) -> Header:
    # OpenCV's TIFF reader turns the picture itself, whatever it is asked.
    tags = _tiff_tags(data)
    return Header(kind="tiff", width=tags.get(256, 0), height=tags.get(257, 0))


def _big_tiff(data: bytes) -> Header:
    """TIFF with 64-bit offsets: the first directory's whole numbers."""
    order = "<" if data[:2] == b"II" else ">"
    (place,) = struct.unpack_from(f"{order}Q", data, 8)
    (count,) = struct.unpack_from(f"{order}Q", data, place)
    sides: dict[int, int] = {}
    for number in range(min(count, MOST_TAGS)):
        tag, kind = struct.unpack_from(f"{order}HH", data, place + 8 + 20 * number)
        if tag in (256, 257):
            (sides[tag],) = struct.unpack_from(order + NUMBERS.get(kind, "Q"), data, place + 20 + 20 * number)
    return Header(kind="tiff", width=sides.get(256, 0), height=sides.get(257, 0))


def _jpeg2000(data: bytes) -> Header:
    at = data.index(b"ihdr", 0, 4096)
    height, width = struct.unpack_from(">II", data, at + 4)
    return Header(kind="jp2", width=width, height=height)


def _portable(data: bytes) -> Header | None:
    """PBM, PGM, PPM: numbers in words, between comments."""
    found = re.match(rb"P[1-6](?:\s+#[^\n]*)*\s+(\d{1,9})(?:\s+#[^\n]*)*\s+(\d{1,9})\s", data[:4096])
    return None if found is None else Header(kind="pnm", width=int(found[1]), height=int(found[2]))


def _png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    orientation = 1
    for name, body in _png_chunks(data):
        if name == b"eXIf":
            orientation = _turn(_tiff_tags(body).get(ORIENTATION_TAG))
    complete = data.rfind(b"IEND") > 0
    return Header(kind="png", width=width, height=height, orientation=orientation, complete=complete)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += length + 12


def _webp(data: bytes) -> Header | None:
    if data[8:12] != b"WEBP":
        return None
    (length,) = struct.unpack_from("<I", data, 4)
    kind, width, height, orientation = data[12:16], 0, 0, 1
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 26))
    place = 12
    while place + 8 <= len(data):
        (size,) = struct.unpack_from("<I", data, place + 4)
        if data[place : place + 4] == b"EXIF":
            body = data[place + 8 : place + 8 + size].removeprefix(b"Exif\0\0")
            orientation = _turn(_tiff_tags(body).get(ORIENTATION_TAG))
        place += 8 + size + size % 2
    return Header(
        kind="webp", width=width, height=height, orientation=orientation, complete=len(data) >= length + 8 - 1
    )


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


def _bmp(data: bytes) -> Header | None:
    (size,) = struct.unpack_from("<I", data, 14)
    if size not in BMP_HEADERS:
        return None
    if size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        bits, packed = struct.unpack_from("<H", data, 24)[0], 0
    else:
        width, height = struct.unpack_from("<ii", data, 18)
        bits, packed = struct.unpack_from("<H", data, 28)[0], struct.unpack_from("<I", data, 30)[0]
    (offset,) = struct.unpack_from("<I", data, 10)
    stored = (abs(width) * bits + 31) // 32 * 4 * abs(height) if packed in (0, 3) else 0
    return Header(kind="bmp", width=abs(width), height=abs(height), complete=len(data) >= offset + stored)


def _iso(data: bytes) -> Header | None:
    """AVIF and HEIC; other files of this family are videos."""
    (size,) = struct.unpack_from(">I", data, 0)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, min(size, 256), 4))]
    if any(brand in AVIF_BRANDS for brand in brands):
        kind = "avif"
    elif brands[0] in HEIC_BRANDS:
        kind = "heic"
    else:
        return None
    head = data[: 1 << 16]
    width = height = 0
    at = head.find(b"ispe")
    while at >= 0:
        # A picture may be made of tiles, each with its size: the largest is the whole.
        w, h = struct.unpack_from(">II", head, at + 8)
        width, height = max(width, w), max(height, h)
        at = head.find(b"ispe", at + 4)
    return Header(kind=kind, width=width, height=height, orientation=_iso_turn(head))


def _iso_turn(head: bytes) -> int:
    """EXIF orientation that equals the rotation (counter-clockwise quarter turns) and mirror of an AVIF."""
    at, mirror_at = head.find(b"irot"), head.find(b"imir")
    turns = head[at + 4] & 3 if at >= 0 else 0
    if mirror_at < 0:
        return (1, 8, 3, 6)[turns]
    # imir follows irot: axis 0 mirrors top to bottom, 1 left to right.
    flipped = (4, 5, 2, 7) if head[mirror_at + 4] & 1 == 0 else (2, 7, 4, 5)
    return flipped[turns]


def _jpeg(data: bytes, start: int) -> Header | None:
    place, width, height, orientation = start + 2, 0, 0, 1
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            place += 1
            continue
        marker = data[place + 1]
        if marker == 0xFF or marker in JPEG_BARE:
            place += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, place + 2)
        if marker in JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, place + 5)
        elif marker == 0xE1 and data[place + 4 : place + 10] == b"Exif\0\0":
            orientation = _turn(_tiff_tags(data[place + 10 : place + 2 + length]).get(ORIENTATION_TAG))
        elif marker == 0xDA:
            # Scan data escapes its 0xFF bytes, so an end marker behind it is a real one.
            complete = data.find(b"\xff\xd9", place) > 0
            return Header(kind="jpeg", width=width, height=height, orientation=orientation, complete=complete)
        place += 2 + length
    return Header(kind="jpeg", width=width, height=height, orientation=orientation, complete=False)


def _tiff_tags(data: bytes) -> dict[int, int]:
    """Whole-number tags of the first directory of a TIFF structure (also EXIF)."""
    order = "<" if data[:2] == b"II" else ">"
    (place,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, place)
    tags: dict[int, int] = {}
    for number in range(min(count, MOST_TAGS)):
        tag, kind, _ = struct.unpack_from(f"{order}HHI", data, place + 2 + 12 * number)
        if kind in (3, 4):
            (tags[tag],) = struct.unpack_from(order + NUMBERS[kind], data, place + 10 + 12 * number)
    return tags


def _turn(value: int | None) -> int:
    return value if value is not None and 1 <= value <= 8 else 1


PARSERS: tuple[tuple[bytes, int, Callable[[bytes], Header | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, _png),
    (b"GIF87a", 0, _gif),
    (b"GIF89a", 0, _gif),
    (b"RIFF", 0, _webp),
    (b"II*\0", 0, _tiff),
    (b"MM\0*", 0, _tiff),
    (b"II+\0", 0, _big_tiff),
    (b"MM\0+", 0, _big_tiff),
    (b"ftyp", 4, _iso),
    (b"\0\0\0\x0cjP  ", 0, _jpeg2000),
    (b"BM", 0, _bmp),
    (b"P", 0, _portable),
)
"""Signature, where it stands, and who reads the rest."""
