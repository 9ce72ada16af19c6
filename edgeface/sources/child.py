"""A supervised child process that writes pictures to a pipe: started, listened to, ended with all it started."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgeface.config import child_environ
from edgeface.errors import SourceError
from edgeface.sources.children import end_group, exit_code
from edgeface.sources.live import REOPENED

CHUNK = 1 << 20
"""Bytes read at once, and the size asked for the pipe: the usual 64 kB would wake both sides 20 times a picture."""
CHATTER = 4096
OWN_WORDS = "edgeface: "
"""With this a child of our own begins the line that says what is wrong and what to do."""
LAST_WORDS_S = 0.1
"""So long the end of a child is waited for what it may still have said."""
COMPLAINT = re.compile(r"\bERROR\b\S* \S+ \S+:\d+ (.+)")
"""Libcamera's: level, category, file and line before the words."""
F_SETPIPE_SZ = 1031
"""Linux; Python 3.10 has no name for it everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a child is started.

    Attributes
    ----------
    programs : names to look for on PATH, or paths; the first that is there is used
    arguments : the rest of the command line, given the number of the file descriptor to write to
    stdout : whether the pictures come on standard output; some programs write their chatter there
    missing : what to do where no program is found
    full_range : whether brightness goes from 0 to 255 (else 16 to 235) where the program does not say
    """

    name: str
    programs: tuple[str, ...]
    arguments: Callable[[int], list[str]]
    stdout: bool
    missing: str
    width: int
    height: int
    fps: float
    full_range: bool = False

    @property
    def frame_bytes(self) -> int:
        """Size of one I420 picture."""
        return self.width * self.height * 3 // 2

    @property
    def program(self) -> str | None:
        """Path of the program, None where none is installed."""
        return next((found for name in self.programs if (found := shutil.which(name))), None)


class Child:
    """A process and both its pipes; a device (`edgeface.sources.live`) but for `read`.

    Attributes
    ----------
    ended : whether the pipe of pictures has been closed at its other end

    Parameters
    ----------
    patience_s : how long a child that was asked to end may take
    """

    def __init__(self, recipe: Recipe, *, patience_s: float = 1.0) -> None:
        self.description = f"{recipe.name} {recipe.width}x{recipe.height} at {recipe.fps:g} fps"
        self.ended = False
        self._recipe = recipe
        self._patience_s = patience_s
        self._child: subprocess.Popen[bytes] | None = None
        self._pictures = self._chatter = -1
        self._words = b""
        self._stopped = False

    def open(self) -> None:
        """Start the child."""
        recipe = self._recipe
        program = recipe.program
        if program is None:
            raise SourceError(f"{recipe.name} needs {recipe.programs[0]}, which is not installed", fix=recipe.missing)
        self._pictures, write = os.pipe()
        with contextlib.suppress(OSError):
            fcntl.fcntl(write, F_SETPIPE_SZ, CHUNK)
        try:
            # A session of its own: Ctrl-C in the terminal is ours to handle, and all it starts dies with it.
            self._child = subprocess.Popen(
                [program, *recipe.arguments(write)],
                stdin=subprocess.DEVNULL,
                stdout=write if recipe.stdout else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=() if recipe.stdout else (write,),
                start_new_session=True,
                env=child_environ(os.environ),
            )
        except OSError as error:
            raise SourceError(f"{program} cannot be started: {error.strerror}", fix=recipe.missing) from None
        finally:
            os.close(write)
        assert self._child.stderr is not None
        self._chatter = self._child.stderr.fileno()

    def interrupt(self) -> None:
        """Kill the child and wait for its end; the read then sees the pipe close."""
        self._stopped = True
        child = self._child
        if child is None:
            return
        end_group(child, patience_s=self._patience_s)

    def release(self) -> None:
        """Kill the child and close both pipes."""
        self.interrupt()
        if self._pictures >= 0:
            os.close(self._pictures)
            self._pictures = -1
        if self._child is not None and self._child.stderr is not None:
            self._child.stderr.close()

    def receive(self, into: memoryview) -> int | None:
        """Wait for half a frame's time for what the child writes.

        Returns
        -------
        bytes that came, 0 when it said something instead or has `ended`, None for a pause

        Raises
        ------
        SourceError : it was closed meanwhile
        """
        watched = [self._pictures, self._chatter] if self._chatter >= 0 else [self._pictures]
        ready, _, _ = select.select(watched, [], [], 0.5 / self._recipe.fps)
        if self._stopped:
            raise SourceError(f"{self.description} was closed", fix=REOPENED)
        if self._chatter in ready:
            self._read_chatter()
        if self._pictures not in ready:
            # Only the kernel's own timeout counts as a pause, not the time that this thread waited for its turn.
            return 0 if ready else None
        count = os.readv(self._pictures, [into[:CHUNK]])
        self.ended = count == 0
        return count

    def heard(self, words: bytes) -> None:
        """Take in the end of what the child has said so far, after each piece of it."""

    def forget_words(self) -> None:
        """Let what was said so far explain nothing: opening a camera is full of complaints that mean nothing."""
        self._words = b""

    def death(self) -> SourceError:
        """Say why the child ended: what it says itself, else its last words."""
        assert self._child is not None
        while True:
            # rpicam-vid says a line for every picture, which starts with its number.
            said = (line.strip() for line in reversed(self._words.decode("utf-8", "replace").splitlines()))
            lines = [line for line in said if line and not line.startswith("#")]
            if (own := own_words(lines)) is not None:
                return SourceError(f"{self.description}: {own[0]}{_libcamera(lines)}", fix=own[1])
            if self._chatter < 0 or not select.select([self._chatter], [], [], LAST_WORDS_S)[0]:
                break
            self._read_chatter()
        code = exit_code(self._child, patience_s=self._patience_s)
        if code is None:
            return SourceError(f"{self.description}: the program closed its output", fix=REOPENED)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        words = f" ({lines[0][:200]})" if lines else ""
        return SourceError(f"{self.description}: {self._recipe.programs[0]} {how}{words}", fix=REOPENED)

    def _read_chatter(self) -> None:
        """Keep the end of what the child said; the rest is thrown away so that it never fills its pipe."""
        text = os.read(self._chatter, CHATTER)
        self._words = (self._words + text)[-CHATTER:]
        if not text:
            self._chatter = -1
        self.heard(self._words)


def own_words(latest: Iterable[str]) -> tuple[str, str] | None:
    """What a child of ours says is wrong, and what to do, from its lines, the latest first; None where it does not."""
    line = next((line.removeprefix(OWN_WORDS) for line in latest if line.startswith(OWN_WORDS)), None)
    if line is None:
        return None
    what, _, fix = line.rpartition("; ")
    return (what, fix) if what else (fix, REOPENED)


def _libcamera(lines: list[str]) -> str:
    """Return libcamera's latest complaint in brackets, without time, thread and place; nothing where it has none."""
    found = next((match for line in lines if (match := COMPLAINT.search(line))), None)
    return f" (libcamera: {found[1][:160]})" if found else ""
