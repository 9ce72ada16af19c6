"""Cameras behind a child process that writes raw pictures: ``rpicam-vid`` and, on Jetson, ``gst-launch-1.0``.

Raw pictures have no marks between them. A pause longer than half a frame is taken for the gap between two pictures:
what came before it and is not whole is a torn picture and is dropped, and the next byte starts the next one. A wrong
guess costs two pictures and heals at the next gap.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from edgeface.config import Camera
from edgeface.errors import SourceError
from edgeface.sources.live import REOPENED
from edgeface.types import Image

logger = logging.getLogger(__name__)

DEFAULT_WH = (1280, 720)
DEFAULT_FPS = 15.0
WIDTH_STEP = 64
"""The Pi's image processor pads rows to 64 pixels; other widths would come out sheared."""
CHUNK = 1 << 20
"""Bytes read at once, and the size asked for the pipe: the usual 64 kB would wake both sides 20 times a picture."""
CHATTER = 4096
KILL_S = 1.0
F_SETPIPE_SZ = 1031
"""Linux; Python 3.10 has no name for it everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a child is started.

    Attributes
    ----------
    programs : names to look for on PATH, the first that is there is used
    arguments : the rest of the command line, given the number of the file descriptor to write to
    stdout : whether the pictures come on standard output; some programs write their chatter there
    missing : what to do where no program is found
    """

    name: str
    programs: tuple[str, ...]
    arguments: Callable[[int], list[str]]
    stdout: bool
    missing: str
    width: int
    height: int
    fps: float

    @property
    def frame_bytes(self) -> int:
        """Size of one I420 picture."""
        return self.width * self.height * 3 // 2


def picamera(camera: Camera) -> Recipe:
    """Raspberry Pi's camera stack, from any Python environment."""
    width, height, fps = _mode(camera)
    return Recipe(
        name="picamera",
        programs=("rpicam-vid", "libcamera-vid"),
        arguments=lambda _: [
            *("-n", "-t", "0", "--codec", "yuv420"),
            *("--width", str(width), "--height", str(height)),
            *("--framerate", f"{fps:g}", "--flush", "-o", "-"),
        ],
        stdout=True,
        missing="apt install rpicam-apps (Raspberry Pi OS)",
        width=width,
        height=height,
        fps=fps,
    )


def csi(camera: Camera) -> Recipe:
    """Jetson's CSI camera through GStreamer; OpenCV's wheel has none.

    NVIDIA's source element prints to standard output, so the pictures come through a descriptor of their own.
    """
    width, height, fps = _mode(camera)
    rate = Fraction(fps).limit_denominator(1001)
    caps = f"width={width},height={height},framerate={rate.numerator}/{rate.denominator}"
    return Recipe(
        name="csi",
        programs=("gst-launch-1.0",),
        arguments=lambda fd: [
            *("-q", "nvarguscamerasrc", "!", f"video/x-raw(memory:NVMM),{caps}"),
            *("!", "nvvidconv", "!", "video/x-raw,format=I420", "!", "fdsink", f"fd={fd}", "sync=false"),
        ],
        stdout=False,
        missing="apt install gstreamer1.0-tools (and NVIDIA's JetPack)",
        width=width,
        height=height,
        fps=fps,
    )


def _mode(camera: Camera) -> tuple[int, int, float]:
    """Size and rate to ask for: the width a multiple of 64, the height even; one side alone means 16:9."""
    width, height = camera.width or DEFAULT_WH[0], camera.height or DEFAULT_WH[1]
    if camera.width is None and camera.height is not None:
        width = round(height * 16 / 9)
    elif camera.height is None and camera.width is not None:
        height = round(width * 9 / 16)
    rounded = max(WIDTH_STEP, width // WIDTH_STEP * WIDTH_STEP), max(2, height // 2 * 2)
    if rounded != (width, height):
        logger.warning("%s: %dx%d becomes %dx%d", camera.source, width, height, *rounded)
    return *rounded, camera.fps or DEFAULT_FPS


class ChildPipe:
    """A supervised child: stalls, torn pictures and death are noticed; closing kills it and leaves no zombie."""

    def __init__(self, recipe: Recipe) -> None:
        self.description = f"{recipe.name} {recipe.width}x{recipe.height} at {recipe.fps:g} fps"
        self.torn = 0
        self._recipe = recipe
        self._child: subprocess.Popen[bytes] | None = None
        self._pictures = self._chatter = -1
        self._bytes = bytearray(recipe.frame_bytes)
        self._got = 0
        self._words = b""
        self._stopped = False

    def open(self) -> None:
        """Start the child."""
        recipe = self._recipe
        program = next((found for name in recipe.programs if (found := shutil.which(name))), None)
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
            )
        except OSError as error:
            raise SourceError(f"{program} cannot be started: {error.strerror}", fix=recipe.missing) from None
        finally:
            os.close(write)
        assert self._child.stderr is not None
        self._chatter = self._child.stderr.fileno()

    def read(self) -> Image | None:
        """Next whole picture, or None when half a frame's time went by without a byte."""
        watched = [self._pictures, self._chatter] if self._chatter >= 0 else [self._pictures]
        ready, _, _ = select.select(watched, [], [], 0.5 / self._recipe.fps)
        if self._stopped:
            raise SourceError(f"{self.description} was closed", fix=REOPENED)
        if self._chatter in ready:
            self._read_chatter()
        if self._pictures not in ready:
            # Only the kernel's own timeout counts as a pause, not the time that this thread waited for its turn.
            if not ready and self._got:
                self.torn += 1
                logger.debug("%s: torn picture dropped", self.description)
                self._got = 0
            return None
        count = os.readv(self._pictures, [memoryview(self._bytes)[self._got : self._got + CHUNK]])
        if count == 0:
            raise self._death()
        self._got += count
        if self._got < self._recipe.frame_bytes:
            return None
        self._got = 0
        planes = np.frombuffer(self._bytes, np.uint8).reshape(self._recipe.height * 3 // 2, self._recipe.width)
        image: Image = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)
        return image

    def interrupt(self) -> None:
        """Kill the child and wait for its end; the read then sees the pipe close."""
        self._stopped = True
        child = self._child
        if child is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(KILL_S)
                return

    def release(self) -> None:
        """Kill the child and close both pipes."""
        self.interrupt()
        if self._pictures >= 0:
            os.close(self._pictures)
            self._pictures = -1
        if self._child is not None and self._child.stderr is not None:
            self._child.stderr.close()

    def _read_chatter(self) -> None:
        """Keep the end of what the child said; the rest is thrown away so that it never fills its pipe."""
        text = os.read(self._chatter, CHATTER)
        self._words = (self._words + text)[-CHATTER:]
        if not text:
            self._chatter = -1

    def _death(self) -> SourceError:
        """Say why the child ended, in its own last words."""
        assert self._child is not None
        while self._chatter >= 0 and select.select([self._chatter], [], [], 0.1)[0]:
            self._read_chatter()
        try:
            code = self._child.wait(KILL_S)
        except subprocess.TimeoutExpired:
            return SourceError(f"{self.description}: the program closed its output", fix=REOPENED)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        # rpicam-vid says a line for every picture, which starts with its number.
        lines = (line.strip() for line in reversed(self._words.decode("utf-8", "replace").splitlines()))
        words = next((f" ({line[:200]})" for line in lines if line and not line.startswith("#")), "")
        return SourceError(f"{self.description}: {self._recipe.programs[0]} {how}{words}", fix=REOPENED)
