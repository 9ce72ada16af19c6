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

import re
import sys
from collections.abc import Callable
from functools import partial

UNPRINTED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Line breaks, control characters, and bytes of file names that are no text."""


def one_line(text: str) -> str:
    """Return text as one line that does nothing to a terminal: control characters as Python writes them."""
    return UNPRINTED.sub(lambda found: ascii(found[0])[1:-1], text)


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
        return command()
    except EdgefaceError as error:
        print(f"edgeface: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`). Python would complain once more while closing stdout.
        sys.stderr.close()
        return 0
