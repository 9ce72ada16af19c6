"""What a path is: a picture, a video, a folder, or something that must not be opened as a file at all.

A FIFO that nobody writes to would hold whoever opens it, a device would never end: only regular files are read.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edgeface.errors import SourceError, UsageError
from edgeface.files import look
from edgeface.sources import jpeg
from edgeface.sources.header import sniff

HEAD_BYTES = 1 << 16
JPEG_MOST = 8 << 20
"""Bytes looked through for a second JPEG behind the first."""
PICTURES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic", ".heif"))
OTHER_PICTURES = frozenset((".jp2", ".pbm", ".pgm", ".ppm", ".pnm", ".pxm", ".sr", ".ras", ".hdr", ".exr", ".dib"))
VIDEOS = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".divx", ".mpg", ".mpeg", ".mpe"),
        *(".vob", ".m2v", ".ts", ".mts", ".m2ts", ".asf", ".wmv", ".flv", ".f4v", ".ogv", ".ogm", ".nut", ".mxf"),
        *(".dv", ".y4m", ".mjpeg", ".mjpg", ".rm", ".rmvb", ".wtv", ".ivf", ".h264", ".264", ".h265", ".hevc"),
    )
)
JPEG_VIDEOS = frozenset((".mjpeg", ".mjpg"))
"""Many JPEGs one after the other: the first bytes are a picture's."""
CONTAINERS = (
    (b"\x1aE\xdf\xa3", 0),  # Matroska, WebM
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0),  # ASF, WMV
    (b"nut/multimedia container", 0),
    (b"AVI ", 8),
    (b"FLV", 0),
    (b"OggS", 0),
    (b"YUV4MPEG2", 0),
    (b"\0\0\1\xba", 0),  # MPEG programme stream
    (b"\0\0\1\xb3", 0),  # MPEG video
    (b"\0\0\0\1", 0),  # H.264, H.265
    (b"\x06\x0e\x2b\x34", 0),  # MXF
    (b".RMF", 0),
    (b"DKIF", 0),
    *((name, 4) for name in (b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")),  # QuickTime before `ftyp`
)
"""Signatures of videos and where they stand; those of the MP4 family and transport streams are asked for below."""
IRREGULAR = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)


def irregular(path: Path) -> str | None:
    """What a path is that is no regular file, in words; None for a file and for what is not there."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    return next((name for test, name in IRREGULAR if test(mode)), None)


def is_folder(path: Path, *, fix: str = "give a file, a folder, a camera number or an address") -> bool:
    """Whether a path that somebody gave is a folder.

    Raises
    ------
    UsageError : nothing is there, or it may not be looked at
    """
    there = look(path)
    if there is None:
        what = "leads nowhere" if path.is_symlink() else "does not exist"
        raise UsageError(f"{path} {what}", fix=fix)
    return there == "folder"


def expect_file(path: Path, error: type[SourceError] = SourceError) -> int:
    """Size of a regular file that is there and not empty, else an error; nothing else is ever opened.

    Raises
    ------
    SourceError : or the given kind of it: missing, no permission, empty, or no regular file
    """
    what = irregular(path)
    if what == "a folder":
        raise error(f"{path} is a folder, not a picture", fix="give its files")
    if what is not None:
        raise error(f"{path} is {what}, not a file", fix="give a picture, a video or an address")
    try:
        size = path.stat().st_size
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror}", fix="check path and permissions") from None
    if size == 0:
        raise error(f"{path} is empty", fix="copy it again")
    return size


def is_image(path: Path) -> bool:
    """Whether a file is a still picture, by its first bytes, else by its name (a broken picture is still one)."""
    head = _head(path, HEAD_BYTES)
    if _is_container(head):
        return False
    suffix = path.suffix.lower()
    header = sniff(head)
    if header is None:
        return is_picture_name(path)
    return header.kind != "jpeg" or suffix in PICTURES or not _is_jpeg_video(path, head)


def is_picture_name(path: Path) -> bool:
    """Whether something has the name of a picture."""
    return path.suffix.lower() in PICTURES | OTHER_PICTURES


def is_video_name(path: Path) -> bool:
    """Whether a file is a video, by its name; only the decoder knows better."""
    return path.suffix.lower() in VIDEOS


def is_video(path: Path) -> bool:
    """Whether a file in a folder is a video, by its first bytes or its name."""
    return is_video_name(path) or _is_container(_head(path, HEAD_BYTES))


def _head(path: Path, count: int) -> bytes:
    if irregular(path) is not None:
        return b""
    try:
        # Somebody may put a FIFO there between the look and the opening.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    with os.fdopen(handle, "rb") as file:
        try:
            return file.read(count)
        except OSError:
            return b""


def _is_container(head: bytes) -> bool:
    if any(head.startswith(signature, at) for signature, at in CONTAINERS):
        return True
    if head[4:8] == b"ftyp":
        return sniff(head) is None
    # MPEG transport stream: packets of 188 bytes, in files of disc recorders with 4 bytes before each.
    return any(
        len(head) > at + 2 * size and {head[at], head[at + size], head[at + 2 * size]} == {0x47}
        for at, size in ((0, 188), (4, 192))
    )


def _is_jpeg_video(path: Path, head: bytes) -> bool:
    """Whether JPEGs follow each other: a dump of a webcam, bare or between the lines of a multipart answer.

    One picture with a second one in it (MPO, gain maps) says so in a segment; what stands before the first is text,
    or the picture was found by chance.
    """
    if path.suffix.lower() in JPEG_VIDEOS:
        return True
    start = head.find(jpeg.START, 0, jpeg.WITHIN)
    if any(byte > 0x7E or (byte < 0x20 and byte not in b"\r\n\t") for byte in head[:start]):
        return True
    data = _head(path, JPEG_MOST)
    scan = jpeg.find_scan(data, start)
    if scan < 0 or b"MPF\0" in data[start:scan]:
        return False
    end = data.find(jpeg.END, scan)
    return end >= 0 and data.find(jpeg.START, end + 2, end + 2 + jpeg.WITHIN) >= 0
