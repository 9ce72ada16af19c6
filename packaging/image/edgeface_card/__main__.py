"""The boot-time step: read the card, write what the boot needs, say what was wrong. A node comes up all the same."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from edgeface_card import clock
from edgeface_card.applying import SAID, Judge, apply, keep_ssh_keys, make_users, partition_troubles, unblock_wifi
from edgeface_card.card import Card

CARD, DATA, ROOT = Path("/boot/firmware"), Path("/data"), Path("/")
MOUNTED = Path("/run/edgeface-boot/data")
IN_MEMORY = Path("/run/edgeface-card/ssh")
PROGRAM = "/usr/bin/edgeface"
JUDGED_S = 180.0


def remount(how: str) -> None:
    """Let the card be written, or not; where that fails, its files say so one by one."""
    subprocess.run(["mount", "-o", f"remount,{how}", CARD], capture_output=True, check=False)


def main() -> int:
    """Run it on the node."""
    clock.set_forward(DATA, time.time(), lambda to_s: time.clock_settime(time.CLOCK_REALTIME, to_s))
    judge = Judge(PROGRAM, Path("/run/edgeface-card"), os.environ, JUDGED_S)
    card = Card(CARD, DATA / "card", lambda: remount("rw"))
    try:
        found = card.read(judge)
    finally:
        remount("ro")
    if found.choice.text is not None and found.choice.problem is None:
        card.keep_good(found.choice.text)
    room = os.statvfs(DATA)
    found.complaints += partition_troubles(MOUNTED.read_text(), room.f_bavail * room.f_frsize)
    found.complaints += make_users(found.settings.users or ())
    try:
        keep_ssh_keys(DATA / "ssh")
    except (OSError, subprocess.CalledProcessError):
        found.complaints.append("the data partition does not take this node's SSH host key: the next boot has another")
        keep_ssh_keys(IN_MEMORY)
    apply(found, ROOT)
    socket.sethostname((ROOT / "etc/hostname").read_text().strip())
    if found.settings.wifi is not None:
        unblock_wifi()
    for line in (ROOT / SAID).read_text().splitlines():
        print(f"edgeface-card: {line}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
