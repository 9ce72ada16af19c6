"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeVar

from edgeface.errors import EdgefaceError, UsageError

T = TypeVar("T")


def look(path: Path) -> Literal["folder", "file"] | None:
    """What is at a path, None for nothing; whatever is no folder is a file.

    Raises
    ------
    UsageError : it may not be looked at, or no path can be like that
    """
    try:
        return "folder" if stat.S_ISDIR(path.stat().st_mode) else "file"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be looked at: {why}", fix="check the path and its permissions") from None


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
        raise _unwritable(path, error) from None


def swap_folder(new: Path, place: Path) -> None:
    """Let a finished folder take a place; what stood there is gone afterwards, or still stands if it cannot be done.

    Raises
    ------
    EdgefaceError : the folder above cannot be written
    """
    old = place.with_name(f".edgeface-old-{place.name}")
    try:
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)
            place.rename(old)
        try:
            new.rename(place)
        except OSError:
            if old.exists():
                old.rename(place)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _unwritable(place, error) from None


class Growing:
    """A text file that grows beside its target, line by line, and takes its place when it is finished.

    Raises
    ------
    EdgefaceError : from every method, as `write_atomic` does
    """

    def __init__(self, path: Path) -> None:
        make_folder(path.parent)
        self._path = path
        self._part = path.with_name(f".edgeface-{path.name}")
        self._file = self._tried(lambda: self._part.open("w", encoding="utf-8", errors="surrogateescape"))

    def write(self, line: str) -> None:
        """Add one line."""
        self._tried(lambda: self._file.write(f"{line}\n"))

    def finish(self) -> None:
        """Close, and take the target's place."""
        self._tried(self._file.close)
        self._tried(lambda: self._part.replace(self._path))

    def discard(self) -> None:
        """Let go of what is unfinished; nothing where it has taken its place."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._part.unlink()

    def _tried(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except OSError as error:
            raise _unwritable(self._path, error) from None


def make_folder(path: Path) -> None:
    """Make a folder and those above it; EdgefaceError where that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgefaceError(f"{path} cannot be made: {error.strerror}", fix="give another folder") from None


def _unwritable(path: Path, error: OSError) -> EdgefaceError:
    return EdgefaceError(f"{path} cannot be written: {error.strerror}", fix="check permissions and free space")


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
