"""What V4L2 devices are there and which modes they offer, asked of the kernel directly.

Structures and numbers are those of ``linux/videodev2.h``; every answer is a fixed-size structure, packed little-endian
or big-endian as the machine is.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeface.sources.capture import fourcc_name

QUERYCAP = 0x80685600
ENUM_FMT = 0xC0405602
ENUM_FRAMESIZES = 0xC02C564A
ENUM_FRAMEINTERVALS = 0xC034564B
CAPTURE, CAPTURE_MPLANE = 0x1, 0x1000
DEVICE_CAPS = 0x80000000
DISCRETE = 1
MOST_ENTRIES = 256
"""No device offers more; a driver that never says "no more" must not hold us."""

Ioctl = Callable[[int, int, bytearray], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One picture size in one pixel format.

    ``width`` and ``height`` are ranges' largest where ``stepwise``; ``fps`` are the rates offered, highest first.
    """

    fourcc: str
    width: int
    height: int
    stepwise: bool
    fps: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One capture device; ``problem`` says why its modes could not be asked for."""

    path: str
    name: str
    driver: str
    links: tuple[str, ...]
    modes: tuple[Mode, ...]
    problem: str | None = None


def kernel_ioctl(fd: int, request: int, answer: bytearray) -> None:
    """Call the kernel; ``answer`` is changed in place."""
    fcntl.ioctl(fd, request, answer, True)


def list_devices(dev: Path = Path("/dev"), *, ioctl: Ioctl = kernel_ioctl) -> list[Device]:
    """Capture devices by number; nodes that give no pictures (metadata, encoders, radios) are left out."""
    paths = [path for path in dev.glob("video*") if path.name[5:].isdecimal()]
    links = _links(dev / "v4l")
    devices = (_device(path, links, ioctl) for path in sorted(paths, key=lambda path: int(path.name[5:])))
    return [device for device in devices if device is not None]


def modes_of(path: Path, *, ioctl: Ioctl = kernel_ioctl) -> tuple[Mode, ...]:
    """Modes of one device; none where it cannot be asked."""
    device = _device(path, {}, ioctl)
    return () if device is None else device.modes


def nearest_size(modes: Sequence[Mode], wanted_wh: tuple[int, int], fourcc: str | None) -> tuple[int, int]:
    """Offered size nearest to the one wanted, of one pixel format if it is offered; as wanted where none is known.

    Distance is counted on a logarithmic scale: half the width is as far away as twice.
    """
    own = [mode for mode in modes if mode.fourcc == fourcc] or list(modes)
    fits = [mode for mode in own if mode.stepwise and mode.width >= wanted_wh[0] and mode.height >= wanted_wh[1]]
    if fits or not own:
        return wanted_wh
    sizes = sorted({(mode.width, mode.height) for mode in own}, reverse=True)
    return min(sizes, key=lambda wh: sum(abs(math.log(a / b)) for a, b in zip(wh, wanted_wh, strict=True) if a))


def _links(folder: Path) -> dict[Path, list[str]]:
    """Lasting names by what they point to, by-id before by-path."""
    found: dict[Path, list[str]] = {}
    for kind in ("by-id", "by-path"):
        names = sorted((folder / kind).iterdir()) if (folder / kind).is_dir() else []
        for link in names:
            found.setdefault(link.resolve(), []).append(str(link))
    return found


def _device(path: Path, links: dict[Path, list[str]], ioctl: Ioctl) -> Device | None:
    names = tuple(links.get(path.resolve(), ()))
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        fix = "; add the user to the group video" if error.errno == errno.EACCES else ""
        return Device(path=str(path), name="", driver="", links=names, modes=(), problem=f"{error.strerror}{fix}")
    try:
        answer = bytearray(104)
        ioctl(fd, QUERYCAP, answer)
        driver, card = _text(answer[:16]), _text(answer[16:48])
        whole, node = struct.unpack_from("=II", answer, 84)
        kinds = node if whole & DEVICE_CAPS else whole
        if not kinds & (CAPTURE | CAPTURE_MPLANE):
            return None
        buffer = 1 if kinds & CAPTURE else 9
        modes = tuple(mode for code in _formats(fd, buffer, ioctl) for mode in _sizes(fd, code, ioctl))
        return Device(path=str(path), name=card, driver=driver, links=names, modes=modes)
    except OSError:
        # Not a V4L2 node at all.
        return None
    finally:
        os.close(fd)


def _each(fd: int, request: int, size: int, start: tuple[int, ...], ioctl: Ioctl) -> Iterator[bytearray]:
    """Every entry of an enumeration: the index counts up until the driver says EINVAL."""
    for index in range(MOST_ENTRIES):
        answer = bytearray(size)
        struct.pack_into(f"={1 + len(start)}I", answer, 0, index, *start)
        try:
            ioctl(fd, request, answer)
        except OSError:
            return
        yield answer


def _formats(fd: int, buffer: int, ioctl: Ioctl) -> Iterator[int]:
    for answer in _each(fd, ENUM_FMT, 64, (buffer,), ioctl):
        yield int(struct.unpack_from("=I", answer, 44)[0])


def _sizes(fd: int, code: int, ioctl: Ioctl) -> Iterator[Mode]:
    for answer in _each(fd, ENUM_FRAMESIZES, 44, (code,), ioctl):
        (kind,) = struct.unpack_from("=I", answer, 8)
        if kind == DISCRETE:
            width, height = struct.unpack_from("=II", answer, 12)
        else:
            _, width, _, _, height, _ = struct.unpack_from("=6I", answer, 12)
        rates = tuple(_rates(fd, code, width, height, ioctl))
        yield Mode(fourcc=fourcc_name(code), width=width, height=height, stepwise=kind != DISCRETE, fps=rates)
        if kind != DISCRETE:
            return


def _rates(fd: int, code: int, width: int, height: int, ioctl: Ioctl) -> list[float]:
    rates: set[float] = set()
    for answer in _each(fd, ENUM_FRAMEINTERVALS, 52, (code, width, height), ioctl):
        (kind,) = struct.unpack_from("=I", answer, 16)
        seconds, parts = struct.unpack_from("=II", answer, 20)
        if seconds:
            rates.add(round(parts / seconds, 2))
        if kind != DISCRETE:
            break
    return sorted(rates, reverse=True)


def _text(raw: bytearray) -> str:
    return bytes(raw).split(b"\0", 1)[0].decode("utf-8", "replace").strip()
