"""Writing files so that a reader never sees half of one, and what reading what others wrote may raise."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from edgeface.errors import EdgefaceError, UsageError

T = TypeVar("T")
AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""Of linux/fcntl.h and linux/fs.h."""
OLD = ".edgeface-old-"
NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no message: a string that is no text and endless nesting are not its own."""


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


def glimpse(path: Path) -> Literal["folder", "file"] | None:
    """What is at a path, as `look` says; None too where it may not be looked at: it is another user's."""
    with suppress(UsageError):
        return look(path)
    return None


def write_atomic(
    path: Path, data: bytes, *, durable: bool = False, private: bool = False, public: bool = False
) -> None:
    """Write beside the target and rename; the old file stays whole until the new one is.

    ``durable``: wait for the disk, so that a power cut right after it takes nothing back. ``private``: for its owner
    alone, from its first byte on. ``public``: for everybody who may enter the folder, whatever the umask.

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
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            # mkstemp makes private files; a result is as readable as any other file of this user.
            if not private:
                Path(name).chmod(0o644 if public else 0o666 & ~_umask())
            Path(name).replace(path)
            if durable:
                flush_one(path.parent)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error) from None


def expect_writable(path: Path) -> None:
    """See that `write_atomic` can begin there; nothing stays of that but the folder.

    Raises
    ------
    EdgefaceError : the folder cannot be made or written
    """
    make_folder(path.parent)
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error) from None


def write_private(path: Path, data: bytes, *, durable: bool = False) -> bool:
    """`write_atomic` for its owner alone; a file that has these bytes already is not touched. Whether it was."""
    if path.exists() and path.read_bytes() == data:
        return False
    write_atomic(path, data, durable=durable, private=True)
    return True


def exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where kernel or file system cannot.

    Linux 3.15 on ext4, XFS, btrfs, F2FS, tmpfs; not on NFS.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number))


def swap_folder(new: Path, place: Path, *, exchange: Callable[[Path, Path], bool] = exchange) -> None:
    """Let a finished folder take a place, for good: who looks finds the old one or the new one, also after a power cut.

    Files and folders are on the disk before they can be seen. What stood there is gone afterwards, or still stands if
    it cannot be done. ``exchange`` does it in one step, or says that this kernel or file system cannot.

    Raises
    ------
    EdgefaceError : the folder above cannot be written, or the disk is full
    """
    try:
        flush(new)
        if not place.exists():
            new.rename(place)
        elif exchange(new, place):
            flush_one(place.parent)
            shutil.rmtree(new, ignore_errors=True)
        else:
            _swap_in_two(new, place)
        flush_one(place.parent)
    except OSError as error:
        raise _unwritable(place, error) from None


def restore_swapped(parent: Path) -> None:
    """Put back what `swap_folder` had out of the way when it was killed between its two steps."""
    for old in parent.glob(f"{OLD}*"):
        place = parent / old.name.removeprefix(OLD)
        if not place.exists():
            old.rename(place)


def flush(folder: Path) -> None:
    """Wait until every file and folder below, and the folder itself, is on the disk."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            flush_one(path)
    flush_one(folder)


def flush_one(path: Path) -> None:
    """Wait until a file, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _swap_in_two(new: Path, place: Path) -> None:
    old = place.with_name(f"{OLD}{place.name}")
    shutil.rmtree(old, ignore_errors=True)
    place.rename(old)
    try:
        new.rename(place)
    except OSError:
        old.rename(place)
        raise
    flush_one(place.parent)
    shutil.rmtree(old, ignore_errors=True)


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
