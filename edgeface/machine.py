"""What this machine says of itself: an id of its own, memory, processor."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from math import ceil
from pathlib import Path

from edgeface.config import Config


def node_id(config: Config, *, hostname: Callable[[], str] = socket.gethostname) -> str:
    """Return the configured id, else host name and four hex digits of a hash of the machine id.

    Every board is called ``raspberrypi`` by its maker's image, and equal client ids throw each other out for ever.
    """
    if config.node.id is not None:
        return config.node.id
    host = re.sub(r"[^a-zA-Z0-9_-]+", "-", hostname().split(".")[0]).strip("-") or "node"
    machine = next((text for path in _MACHINE_IDS if (text := _read(path))), host)
    digits = hashlib.sha256(machine.encode()).hexdigest()[:4]
    # The card's image names a host that was given no name in the same way.
    return host if host.endswith(f"-{digits}") and len(host) <= 53 else f"{host[:48]}-{digits}"


_MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


def resident_mb() -> float | None:
    """Resident memory of this process in megabytes (10^6 bytes), None where the kernel does not say."""
    fields = _read(Path("/proc/self/statm")).split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if len(fields) > 1 else None


def peak_mb() -> float | None:
    """Largest resident memory of this process so far, in megabytes (10^6 bytes)."""
    line = next((line for line in _read(Path("/proc/self/status")).splitlines() if line.startswith("VmHWM")), None)
    return round(int(line.split()[1]) * 1024 / 1e6, 1) if line else None


def boot_id() -> str:
    """Id of the machine's own boot, new after each power cut; empty where the kernel does not say."""
    return _read(Path("/proc/sys/kernel/random/boot_id"))


def give_back_memory() -> None:
    """Let the kernel have what was freed: networks leave holes in the heap, and each reload would add new ones.

    glibc's ``malloc_trim``; another C library has none, and is asked nothing.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def processor(*, cpuinfo: Path = Path("/proc/cpuinfo"), model: Path = Path("/proc/device-tree/model")) -> str:
    """Name of the processor as the kernel gives it, else of the board; empty where neither is said.

    Jetson's kernel names no model in ``/proc/cpuinfo``; the device tree does, with a NUL at its end.
    """
    fields = (line.split(":", 1) for line in _read(cpuinfo).splitlines() if ":" in line)
    names = (value.strip() for key, value in fields if key.strip() in ("model name", "Model"))
    return next((name for name in names if name), "") or _read(model).strip("\0 \n") or platform.processor()


def multiplies_bytes_exactly(*, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether products of bytes are summed in 32 bits: on anything but x86, and on x86 with VNNI.

    Older x86 processors sum two such products in 16 bits, which unsigned times signed can overflow.
    """
    if platform.machine() not in ("x86_64", "AMD64", "i686"):
        return True
    flags = next((line for line in _read(cpuinfo).splitlines() if line.startswith("flags")), "").split()
    return "avx512_vnni" in flags or "avx_vnni" in flags


INSTRUCTIONS = re.compile(
    r"(sse|ssse|avx|amx|fma|f16c|asimd|neon|vfp|sve|sme(?!p$))\w*|i8mm|bf16|fphp|fp|aes|crc32|atomics|dotprod|bmi[12]|popcnt"
)
"""Flags of a processor by which runtimes choose their kernels; the rest changes with the kernel of the system."""
SERVICE_STATE = Path("var/lib/edgeface")


def instruction_sets(*, cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """What the processor can compute with, in the kernel's words, sorted."""
    lines = (line.split(":", 1) for line in _read(cpuinfo).splitlines() if ":" in line)
    flags = next((value.split() for key, value in lines if key.strip() in ("flags", "Features")), [])
    return tuple(sorted(flag for flag in set(flags) if INSTRUCTIONS.fullmatch(flag)))


def cores(*, root: Path = Path("/")) -> int:
    """How many cores this process may keep busy, at least 1: those it may run on, and no more than its time is worth.

    A container, or a unit with ``CPUQuota=``, sees all cores and gets the time of a few (cgroups 2 and 1): with more
    threads than that they all stand still together for most of each period.
    """
    allowed = len(os.sched_getaffinity(0))
    return max(1, min([allowed, *(ceil(share - 0.01) for share in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Cores whose time the groups of this process get, from its own group up to the root; none that have no limit."""
    mounted = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        base = mounted if number == "0" else mounted / controllers
        own = base / path.lstrip("/")
        for folder in (own, *own.parents):
            if number == "0":
                words = _read(folder / "cpu.max").split()
            else:
                words = [_read(folder / f"cpu.cfs_{part}_us") for part in ("quota", "period")]
            if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]):
                yield int(words[0]) / int(words[1])
            if folder == base:
                break


def memory_mb(*, meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Memory of the machine in megabytes (10^6 bytes), to a hundred; None where the kernel does not say."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", _read(meminfo), re.MULTILINE)
    return None if found is None else round(int(found[1]) * 1024 / 1e8) * 100


def in_chroot(root: Path = Path("/")) -> bool:
    """Whether this process sees the root of an image, not that of the machine it runs on.

    As systemd-detect-virt(1) does it: the root of the first process is another one. Who may not look at that compares
    what is mounted there. A service whose manager hides the first process is in no image.
    """
    process = root / "proc"
    if not (process / "self").exists():
        # Every system that runs has it; what a bare chroot lacks first is this.
        return True
    try:
        own, first = root.stat(), (process / "1/root/.").stat()
        return (own.st_dev, own.st_ino) != (first.st_dev, first.st_ino)
    except FileNotFoundError:
        return False
    except OSError:
        here, there = (_root_mount(process / name / "mountinfo") for name in ("self", "1"))
        return there is not None and here != there


def _root_mount(mountinfo: Path) -> tuple[str, str] | None:
    """Device and folder of what is mounted at a process's root; None where nothing is, or nobody says."""
    lines = (line.split() for line in _read(mountinfo).splitlines())
    found = [(fields[2], fields[3]) for fields in lines if len(fields) > 4 and fields[4] == "/"]
    return found[-1] if found else None


def node_state(environ: Mapping[str, str], root: Path = Path("/")) -> Path:
    """Where the node's daemon keeps its state: the service's folder where there is one, else the user's."""
    service = root / SERVICE_STATE
    # systemd makes it a link into a folder that is closed to all but root.
    there = os.path.lexists(service)
    return service if there and not environ.get("STATE_DIRECTORY") else state_folder(environ)


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where state is kept: systemd's ``StateDirectory``, else the user's own (XDG base directories)."""
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    own = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME") or "/nonexistent") / ".local" / "state")
    return Path(own) / "edgeface"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
