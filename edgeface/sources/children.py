"""Ending child processes with everything that they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

KILL_S = 1.0
"""What a child gets to end by itself once it was asked to."""
POLL_S = 0.01


def end_group(child: subprocess.Popen[bytes], *, patience_s: float = KILL_S) -> None:
    """End a child that leads a group of its own, and the group: a wrapper may end and leave behind what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        if number == signal.SIGTERM:
            exit_code(child, patience_s=patience_s)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(patience_s)


def exit_code(child: subprocess.Popen[bytes], *, patience_s: float = KILL_S) -> int | None:
    """Exit code of a child as `subprocess` gives it, None where it still runs.

    A child that ended is left as it is: while it is there, nobody else gets its number, which is that of its group.
    """
    end_s = time.monotonic() + patience_s
    while child.returncode is None:
        try:
            found = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        except ChildProcessError:
            # Another thread has just taken its code.
            return child.returncode
        if found is not None:
            return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        if time.monotonic() >= end_s:
            return None
        time.sleep(POLL_S)
    return child.returncode
