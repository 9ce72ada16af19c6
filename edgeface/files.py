"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from edgeface.errors import EdgefaceError


def write_atomic(path: Path, data: bytes) -> None:
    """Write beside the target and rename; the old file stays whole until the new one is.

    Raises
    ------
    EdgefaceError : the folder cannot be made or written, or the disk is full
    """
    make_folder(path.parent)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".edgeface-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            # mkstemp makes private files; a result is as readable as any other file of this user.
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise EdgefaceError(
            f"{path} cannot be written: {error.strerror}", fix="check permissions and free space"
        ) from None


def make_folder(path: Path) -> None:
    """Make a folder and those above it; EdgefaceError where that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgefaceError(f"{path} cannot be made: {error.strerror}", fix="give another folder") from None


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
