"""What a picture's bytes say before decoding: format, size, orientation, whether it is whole, the memory it takes.

Sizes and orientations come from files of strangers: every read is bounded, and a header that does not make sense is
simply not understood (None). No library serves here: those that tell sizes know neither whether the picture is whole,
nor what decoding will cost, nor how OpenCV's decoders read the same bytes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgeface.sources import jpeg
from edgeface.sources.exif import orientation_of, tiff_tags

GIF_EXTENSION, GIF_PICTURE = 0x21, 0x2C
BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
CODESTREAM = b"\xff\x4f\xff\x51"
"""Start of a JPEG 2000 picture, with or without a file format around it."""
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")
PNG_CHANNELS = {0: 1, 2: 3, 3: 4, 4: 4, 6: 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Format and size of a picture as stored, and its EXIF orientation (1 upright to 8, TIFF 6.0 tag 274).

    Attributes
    ----------
    complete : False where the bytes end before the picture does, as far as that can be told
    pixel_bytes : memory per decoded pixel at the decoder's worst moment, measured with OpenCV 4.14
    kept_bytes : memory per stored pixel that a decoder needs also where it shrinks (progressive JPEG)
    """

    kind: str
    width: int = 0
    height: int = 0
    orientation: int = 1
    complete: bool = True
    pixel_bytes: float = 6.0
    kept_bytes: float = 0.0


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
    start = data.find(jpeg.START, 0, jpeg.WITHIN)
    return _jpeg(data, start) if start >= 0 else None


def _gif(data: bytes) -> Header:
    width, height = struct.unpack_from("<HH", data, 6)
    return Header(kind="gif", width=width, height=height, complete=_gif_is_complete(data), pixel_bytes=12.5)


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
    # OpenCV's TIFF reader turns the picture itself, whatever it is asked. Tiles are decoded whole, however small the
    # picture within them is said to be.
    tags = tiff_tags(data)
    width, height = (max(tags.get(side, 0), tags.get(tile, 0)) for side, tile in ((256, 322), (257, 323)))
    deep = max(1, tags.get(258, 8) // 8) * max(3, tags.get(277, 1))
    return Header(kind="tiff", width=width, height=height, pixel_bytes=2 * deep)


def _jpeg2000(data: bytes) -> Header:
    """The larger of what the box and the codestream say: OpenCV's decoder believes the latter."""
    width = height = 0
    at = data.find(b"ihdr", 0, 4096)
    if at >= 0:
        height, width = struct.unpack_from(">II", data, at + 4)
    at = data.find(CODESTREAM)
    components = 3
    if at >= 0:
        x, y, x0, y0 = struct.unpack_from(">4I", data, at + 8)
        width, height = max(width, x - x0), max(height, y - y0)
        (components,) = struct.unpack_from(">H", data, at + 40)
    return Header(kind="jp2", width=width, height=height, pixel_bytes=5.5 * max(3, components))


def _portable(data: bytes) -> Header | None:
    """PBM, PGM, PPM, PFM: numbers in words, between comments."""
    found = re.match(rb"P[1-6Ff](?:\s+#[^\n]*)*\s+(\d{1,9})(?:\s+#[^\n]*)*\s+(\d{1,9})\s", data[:4096])
    if found is None:
        return None
    deep = 24.0 if data[1:2] in b"Ff" else 12.0
    return Header(kind="pnm", width=int(found[1]), height=int(found[2]), pixel_bytes=deep)


def _pam(data: bytes) -> Header | None:
    head = data[:4096].split(b"ENDHDR", 1)[0]
    found = {key: int(value) for key, value in re.findall(rb"\n(WIDTH|HEIGHT|DEPTH)\s+(\d{1,9})", head)}
    if not {b"WIDTH", b"HEIGHT"} <= found.keys():
        return None
    deep = 4.0 * max(3, found.get(b"DEPTH", 3))
    return Header(kind="pnm", width=found[b"WIDTH"], height=found[b"HEIGHT"], pixel_bytes=deep)


def _radiance(data: bytes) -> Header | None:
    found = re.search(rb"\n[-+]Y (\d{1,9}) [-+]X (\d{1,9})\n", data[:4096])
    return None if found is None else Header(kind="hdr", width=int(found[2]), height=int(found[1]), pixel_bytes=24.5)


def _sun(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 4)
    return Header(kind="ras", width=width, height=height, pixel_bytes=8)


def _png(data: bytes) -> Header:
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    orientation, animated, whole = 1, False, False
    for name, body in _png_chunks(data):
        if name == b"eXIf":
            orientation = orientation_of(body)
        animated |= name == b"acTL"
        whole |= name == b"IEND"
    deep = 2 * PNG_CHANNELS.get(colour, 4) * (2 if depth == 16 else 1)
    return Header(
        kind="png",
        width=width,
        height=height,
        orientation=orientation,
        complete=whole,
        pixel_bytes=max(deep, 16) if animated else deep,
    )


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Chunks that are there to their end: the decoder reserves what a length says before it looks for the bytes."""
    place = 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        if place + 12 + length > len(data):
            return
        name = data[place + 4 : place + 8]
        yield name, data[place + 8 : place + 8 + length] if name == b"eXIf" else b""
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
            orientation = orientation_of(body)
        place += 8 + size + size % 2
    complete = len(data) >= length + 8 - 1
    return Header(kind="webp", width=width, height=height, orientation=orientation, complete=complete, pixel_bytes=12)


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
    complete = len(data) >= offset + stored
    return Header(kind="bmp", width=abs(width), height=abs(height), complete=complete, pixel_bytes=8)


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
    return Header(kind=kind, width=width, height=height, orientation=_iso_turn(head), pixel_bytes=24)


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
    width, height, orientation, complete, kept = 0, 0, 1, False, 0.0
    for marker, place in jpeg.segments(data, start):
        if marker in jpeg.SIZES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            kept = jpeg.coefficient_bytes(data, place) if marker in jpeg.PROGRESSIVE else 0.0
        elif marker == 0xE1 and data[place + 4 : place + 10] == b"Exif\0\0":
            (length,) = struct.unpack_from(">H", data, place + 2)
            orientation = orientation_of(data[place + 10 : place + 2 + length])
        elif marker == jpeg.SCAN:
            # Scan data escapes its 0xFF bytes, so an end marker behind it is a real one.
            complete = data.find(jpeg.END, place) > 0
    return Header(kind="jpeg", width=width, height=height, orientation=orientation, complete=complete, kept_bytes=kept)


PARSERS: tuple[tuple[bytes, int, Callable[[bytes], Header | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, _png),
    (b"GIF87a", 0, _gif),
    (b"GIF89a", 0, _gif),
    (b"RIFF", 0, _webp),
    (b"II*\0", 0, _tiff),
    (b"MM\0*", 0, _tiff),
    (b"II+\0", 0, _tiff),
    (b"MM\0+", 0, _tiff),
    (b"ftyp", 4, _iso),
    (b"\0\0\0\x0cjP  ", 0, _jpeg2000),
    (CODESTREAM, 0, _jpeg2000),
    (b"BM", 0, _bmp),
    (b"P7\n", 0, _pam),
    (b"P", 0, _portable),
    (b"#?RADIANCE\n", 0, _radiance),
    (b"#?RGBE\n", 0, _radiance),
    (b"\x59\xa6\x6a\x95", 0, _sun),
)
"""Signature, where it stands, and who reads the rest."""
