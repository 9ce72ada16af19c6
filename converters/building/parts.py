"""Files that libraries write themselves: written beside their place, which they take when they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeface.errors import EdgefaceError

PART_OF = ".edgeface-"
"""Begins the name of a file that is being written: the process that writes it, then the name it will have."""


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A name to write to that takes its place at the end: libraries that write files themselves write them there."""
    part = path.with_name(f"{PART_OF}{os.getpid()}-{path.name}")
    _sweep(path.parent)
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise EdgefaceError(f"{path} cannot be written: {error.strerror}", fix="free some room") from None
    finally:
        part.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Take away what builds left half-written that were ended from outside."""
    for part in folder.glob(f"{PART_OF}[0-9]*-*"):
        pid = part.name.removeprefix(PART_OF).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            part.unlink(missing_ok=True)
