"""Power, heat, clock, memory and disks of the board."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime, timezone

from edgeface import board
from edgeface.diagnosis.finding import Finding, bad, good, skipped, warning
from edgeface.diagnosis.node import Node, ask
from edgeface.errors import UsageError
from edgeface.files import look

HOT_C = 80.0
"""From here on boards slow down: the Raspberry Pi at 80 to 85 degrees."""
OLDEST_YEAR = 2026
"""A clock before this program was made is wrong."""
LEAST_DISK_MB, FEW_DISK_MB = 10.0, 200.0
FEW_MEMORY_MB = 100.0
POWER = "use the maker's power supply and a short cable"
NTP = (
    "sudo timedatectl set-ntp true, and let it reach a time server (`NTP not supported`: apt install systemd-timesyncd)"
)
COOL = "give it a heat sink, a fan or a cooler place"


def power_and_heat(node: Node) -> Iterator[Finding]:
    """Under-voltage, throttling, temperature."""
    troubles = _firmware() or board.throttled(node.root)
    if troubles is None:
        yield skipped("this board says nothing of its voltage")
    else:
        now, since = troubles
        fix = POWER if "under-voltage" in since else COOL
        if now:
            yield bad(f"the board suffers: {', '.join(now)}", fix=fix)
        elif since:
            yield warning(f"since it was switched on the board had: {', '.join(since)}", fix=fix)
        else:
            yield good("voltage and speed are as they should be")
    degrees = board.temperatures(node.root)
    if degrees:
        name, most = max(degrees.items(), key=lambda item: item[1])
        text = f"{name} has {most:.0f} degrees Celsius"
        yield warning(text, fix=COOL) if most >= HOT_C else good(text)


def clock(_: Node) -> Iterator[Finding]:
    """The year is likely, and something sets the clock."""
    now = datetime.now(timezone.utc)
    if now.year < OLDEST_YEAR:
        yield bad(f"the clock says {now:%Y-%m-%d}", fix=NTP)
        return
    synchronised = board.clock_synchronised()
    if synchronised is None:
        yield skipped("the kernel does not say whether the clock is set by the network")
    elif synchronised:
        yield good("the clock is set by the network")
    else:
        yield warning("nothing sets the clock", fix=NTP)


def memory(node: Node) -> Iterator[Finding]:
    """Some memory is left."""
    free_mb = board.free_memory_mb(node.root)
    if free_mb is None:
        yield skipped("the kernel does not say how much memory is free")
    elif free_mb < FEW_MEMORY_MB:
        yield warning(f"{free_mb:.0f} MB of memory are free", fix="end other programs, or take a smaller bundle")
    else:
        yield good(f"{free_mb:.0f} MB of memory are free")


def disk(node: Node) -> Iterator[Finding]:
    """There is room where state is kept, and it can be written."""
    try:
        place = next(path for path in (node.state, *node.state.parents) if look(path) is not None)
        state = os.statvfs(place)
    except (OSError, UsageError) as error:
        why = error.what if isinstance(error, UsageError) else f"{node.state}: {error.strerror}"
        yield warning(why, fix="run this as root, or let this user into the folder")
        return
    free_mb = state.f_bavail * state.f_frsize / 1e6
    text = f"{free_mb:.0f} MB are free for {node.state}"
    if state.f_flag & os.ST_RDONLY:
        yield warning(f"{place} is mounted read-only, nothing survives a restart", fix="mount a writable disk there")
    elif not os.access(place, os.W_OK | os.X_OK):
        yield warning(
            f"this user may not write {place}, nothing survives a restart",
            fix=f"run this as the daemon's user or as root, or let it write: sudo chown $USER {place}",
        )
    elif free_mb < LEAST_DISK_MB or state.f_favail == 0 < state.f_files:
        yield bad(f"the disk is full: {text}", fix="delete what is not needed; journalctl --vacuum-size=50M")
    elif free_mb < FEW_DISK_MB:
        yield warning(text, fix="delete what is not needed; journalctl --vacuum-size=50M")
    else:
        yield good(text)


def _firmware() -> tuple[list[str], list[str]] | None:
    """What the Raspberry Pi's own program says; the kernel's word for it is not true in every kernel."""
    found = re.search(r"throttled=0x([0-9a-fA-F]+)", ask("vcgencmd", "get_throttled") or "")
    if found is None:
        return None
    now, since = board.decode_throttled(int(found[1], 16))
    return list(now), list(since)
