"""CPU time of the shipped files, on record, and what kind of machine it was measured on."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

import msgspec

from converters.formats.json_files import write_json
from converters.paths import RESULTS
from edgeface.bundle import Closed, FileRuntime, Precision

SPEED = RESULTS / "speed.json"


class Speed(Closed, frozen=True, kw_only=True):
    """Median CPU milliseconds of one call on the stored input, batch 1, one thread, on a machine of this kind."""

    network: str
    runtime: FileRuntime
    precision: Precision
    size: str
    cpu_ms: float
    machine: str


def read_speeds() -> list[Speed]:
    """Give the figures on record, none where none are."""
    return msgspec.json.decode(SPEED.read_bytes(), type=list[Speed]) if SPEED.is_file() else []


def record(speeds: Sequence[Speed]) -> None:
    """Write the figures, replacing the old ones of the same networks."""
    new = {speed.network for speed in speeds}
    write_json(SPEED, [*(speed for speed in read_speeds() if speed.network not in new), *speeds])


def describe_machine() -> str:
    """Architecture, and whether an x86 processor has the instructions that int8 lives on."""
    machine = platform.machine()
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return machine
    known = [name for name, flag in (("AVX2", " avx2"), ("AVX-512", " avx512f"), ("VNNI", "vnni")) if flag in flags]
    return f"{machine} {' '.join(known)}".strip()
