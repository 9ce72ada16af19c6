"""Help for tests of live sources: waiting with a deadline, programs that stand in for a camera's."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

DEADLINE_S = 10.0


def wait_until(condition: Callable[[], bool], *, deadline_s: float = DEADLINE_S) -> None:
    """Poll until something is true; fail after the deadline."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, "waited too long"
        time.sleep(0.005)


def put_program(folder: Path, name: str, source: str) -> Path:
    """Write an executable Python program, to be found on PATH; -S and -I make it start fast."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!{sys.executable} -IS\n{source}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie counts, since somebody failed to reap it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
