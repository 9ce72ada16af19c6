"""What the board says of itself: its name, temperatures, throttling, clock, and room on disks; read, never changed.

Everything is a file of the kernel or one system call: no child is started, so that `health` may ask every minute.
``root`` is for tests, which lay out such files below a folder.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path("/")
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
TROUBLES: Mapping[int, str] = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "temperature limit",
}
"""Bits of the Raspberry Pi firmware's word; 16 higher stands the same for some time since the boot."""
TIME_ERROR = 5
"""What adjtimex(2) returns while nothing has set the clock."""
LIKELY_C = (-40.0, 150.0)
"""What sensors that are not there say lies outside."""


def model(root: Path = ROOT) -> str | None:
    """Name of the board: from the device tree, or what a PC's firmware calls it; None where neither is said."""
    vendor, product = (_text(root, f"sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name"))
    return _text(root, "proc/device-tree/model") or " ".join(filter(None, (vendor, product))) or None


def serial(root: Path = ROOT) -> str | None:
    """Serial number of the board; None where it has none, or only the superuser may read it."""
    return (
        _text(root, "proc/device-tree/serial-number")
        or _text(root, "sys/firmware/devicetree/base/serial-number")
        or _text(root, "sys/class/dmi/id/product_serial")
        or None
    )


def temperatures(root: Path = ROOT) -> dict[str, float]:
    """Degrees Celsius by the kernel's name of the sensor; empty where there is none."""
    found: dict[str, float] = {}
    for zone in _children(root, "sys/class/thermal", "thermal_zone"):
        milli = _number(zone / "temp")
        if milli is not None and LIKELY_C[0] < milli / 1000 < LIKELY_C[1]:
            found[_free(found, _text(zone, "type") or zone.name)] = round(milli / 1000, 1)
    return found


def throttled(root: Path = ROOT) -> tuple[Sequence[str], Sequence[str]] | None:
    """What a Raspberry Pi suffers from now, and what it did since the boot; None where nobody says.

    Some kernels offer the firmware's word and leave it at 0 (raspberrypi/linux 2367); the alarm of the voltage sensor
    is asked as well.
    """
    word = _text(root, THROTTLED)
    alarm = _low_voltage(root)
    if not word and alarm is None:
        return None
    return decode_throttled(int(word or "0", 16) | (1 if alarm else 0))


def decode_throttled(word: int) -> tuple[Sequence[str], Sequence[str]]:
    """Read the firmware's word: what is wrong now, and what was since the boot."""
    now = [name for bit, name in TROUBLES.items() if word >> bit & 1]
    since = [name for bit, name in TROUBLES.items() if word >> bit & 1 or word >> (bit + 16) & 1]
    return now, since


def clock_synchronised() -> bool | None:
    """Whether something sets this machine's clock by the network; None where the kernel does not say.

    ``adjtimex`` of the C library with nothing to change; struct timex has at most 208 bytes.
    """
    ask = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
    if ask is None:
        return None
    state = ask(ctypes.create_string_buffer(512))
    return None if state < 0 else state != TIME_ERROR


def load() -> float | None:
    """Processes that ran or waited, mean of the last minute; None where the system does not say."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def free_memory_mb(root: Path = ROOT) -> float | None:
    """What programs may still take without swapping, in megabytes (10^6 bytes)."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text(root, "proc/meminfo"), re.MULTILINE)
    return None if found is None else round(int(found[1]) * 1024 / 1e6, 1)


def free_disk_mb(path: Path) -> float | None:
    """Room for us on the file system of a path, or of its nearest parent that is there, in megabytes."""
    for place in (path, *path.parents):
        try:
            state = os.statvfs(place)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return round(state.f_bavail * state.f_frsize / 1e6, 1)
    return None


def gpu(root: Path = ROOT) -> str | None:
    """NVIDIA's GPU and its driver: on a Jetson the board and its Linux for Tegra, else card and driver; None: no such.

    Engines of TensorRT run on that GPU alone, and driver and libraries of a Jetson come with its system.
    """
    found = re.search(r"R(\d+) .*REVISION: ([\d.]+)", _text(root, "etc/nv_tegra_release"))
    if found is not None:
        return f"{model(root) or 'Jetson'} L4T {found[1]}.{found[2]}"
    cards = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    names = [named[1] for card in cards if (named := re.search(r"Model:\s*(.+)", _text(card.parent, card.name)))]
    version = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", _text(root, "proc/driver/nvidia/version"))
    return f"{names[0]} driver {version[0] if version else 'unknown'}" if names else None


def tensorrt(root: Path = ROOT) -> str:
    """Version of the system's TensorRT, by the name of its library; empty where none is found."""
    found = sorted(root.glob("usr/lib/*/libnvinfer.so.*")) + sorted(root.glob("usr/lib*/libnvinfer.so.*"))
    return max((path.name.partition(".so.")[2] for path in found), key=len, default="")


def _low_voltage(root: Path) -> bool | None:
    for sensor in _children(root, "sys/class/hwmon", "hwmon"):
        if _text(sensor, "name") == "rpi_volt":
            return _number(sensor / "in0_lcrit_alarm") == 1
    return None


def _children(root: Path, folder: str, stem: str) -> list[Path]:
    """Numbered entries in the order of their numbers."""
    try:
        found = [path for path in (root / folder).iterdir() if path.name.removeprefix(stem).isdecimal()]
    except OSError:
        return []
    return sorted(found, key=lambda path: int(path.name.removeprefix(stem)))


def _free(taken: Mapping[str, float], name: str) -> str:
    """The name, or with a number where another sensor has it."""
    return name if name not in taken else next(f"{name}-{n}" for n in range(2, 1000) if f"{name}-{n}" not in taken)


def _number(path: Path) -> int | None:
    text = _text(path.parent, path.name)
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def _text(root: Path, name: str) -> str:
    """A small file without the NUL that ends texts of the device tree; empty where it cannot be read."""
    try:
        return (root / name).read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return ""
