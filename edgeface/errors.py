"""What can go wrong, in words for the person who reads it at night.

::

    EdgefaceError            exit 1   a run that failed
      UsageError             exit 2   a wrong argument, a missing path, an empty folder
      ConfigError            exit 2   a key that is unknown or a value out of range
      BundleError            exit 2   a manifest or a network file that cannot be trusted or is not there
      RuntimeMissingError    exit 2   onnxruntime or LiteRT is chosen and not installed
      SourceError            exit 1   a camera, stream or file that cannot be opened or read
        ImageError           exit 1   one picture that cannot be decoded
      BrokerError            exit 1   a finite run whose broker could not be reached

An error says what happened and where, then the fix, in one line. The exit code tells a supervisor whether trying
again may help: 1 may, 2 may not.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

LONGEST_LINE = 2000
UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ENXIO})
"""A write that failed for no mistake of ours: the disk is full, the quota is used up, the device is gone."""


class EdgefaceError(Exception):
    """Base of all errors that a user may see; ``str()`` is the one line, whatever the names in it."""

    exit_code = 1

    def __init__(self, what: str, *, fix: str) -> None:
        super().__init__(one_line(f"{what}; {fix}"))
        self.what = what
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        """Come out of another process as what went in: keyword arguments are not pickled by themselves."""
        return partial(type(self), fix=self.fix), (self.what,)


class UsageError(EdgefaceError):
    """A wrong argument, a path that does not exist, a folder with nothing in it."""

    exit_code = 2


class ConfigError(EdgefaceError):
    """A configuration that cannot hold: unknown key, value out of range, unreadable file."""

    exit_code = 2


class BundleError(EdgefaceError):
    """A bundle that cannot be trusted: schema, hash, missing file, failed self-test."""

    exit_code = 2


class RuntimeMissingError(EdgefaceError):
    """The chosen inference runtime is not installed in this environment."""

    exit_code = 2


class SourceError(EdgefaceError):
    """A camera, stream or file that cannot be opened or that stopped giving frames."""


class ImageError(SourceError):
    """One picture that cannot be decoded; a folder goes on without it."""


class BrokerError(EdgefaceError):
    """The broker could not be reached, or refused us, in a run that has an end."""


def run_command(command: Callable[[], int]) -> int:
    """Exit code of a command; a user's mistake never shows a traceback, a bug always does."""
    try:
        return _flushed(command)
    except EdgefaceError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`). Python would complain once more while closing stdout.
        _give_up(sys.stdout)
        _give_up(sys.stderr)
        return 0
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        what = "standard output" if error.filename is None else str(error.filename)
        complain(f"{what} cannot be written: {error.strerror}; check the free space")
        _give_up(sys.stdout)
        return EdgefaceError.exit_code


def _flushed(command: Callable[[], int]) -> int:
    """Flush standard output here: on a full disk that is where it fails, and Python would complain while it ends."""
    try:
        return command()
    except Exception as error:
        interrupt = _interrupt_behind(error)
        if interrupt is None:
            raise
        raise interrupt from None
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()


def _interrupt_behind(error: BaseException | None) -> BaseException | None:
    """The interrupt that an error hides: numpy and ONNX Runtime make one of theirs of what meets their import."""
    while error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
        error = error.__cause__ or error.__context__
    return error


def escaped(line: str) -> str:
    """Return text with all that a terminal would obey or hide written as JSON does: it may be a stranger's.

    JSON keeps its meaning: such characters stand within its texts only.
    """
    return "".join(sign if sign.isprintable() else _escape(sign) for sign in line)


def _escape(sign: str) -> str:
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def first_line(error: BaseException, *, otherwise: str = "") -> str:
    """First line of what a library says; ``otherwise``, or its error's name, where it says nothing."""
    words = str(error).strip()
    return words.splitlines()[0] if words else otherwise or type(error).__name__


def named_line(error: BaseException, *, otherwise: str = "") -> str:
    """The error's name before its `first_line`: for somebody's code, whose words alone often say too little."""
    name, line = type(error).__name__, first_line(error, otherwise=otherwise)
    return name if line == name else f"{name}: {line}"


def one_line(text: str) -> str:
    """The text `escaped` and cut: a sentence of ours has 300 characters, what a stranger wrote may have millions."""
    line = escaped(text)
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}..."


def complain(line: str) -> None:
    """One line on standard error, which may be closed or on a full disk itself."""
    if sys.stderr is None:
        return
    try:
        print(f"edgeface: {one_line(line)}", file=sys.stderr, flush=True)  # noqa: T201
    except OSError:
        _give_up(sys.stderr)


def _give_up(stream: TextIO | None) -> None:
    """Let what a stream still holds vanish, so that closing it cannot fail."""
    if stream is None:
        return
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
