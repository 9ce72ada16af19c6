"""Cameras behind a child process that writes raw pictures: ``rpicam-vid`` and, on Jetson, ``gst-launch-1.0``.

Raw pictures have no marks between them. A pause longer than half a frame is taken for the gap between two pictures:
what came before it and is not whole is a torn picture and is dropped, and the next byte starts the next one. A wrong
guess costs two pictures and heals at the next gap.

Nor do they say how long their rows are. What comes between two gaps does: where it is again and again the same, and not
one picture of the size that was asked for, rows are padded, and are cut from then on. Nothing is handed out before the
first gap came where it should.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import select
import shutil
import subprocess
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from edgeface.config import Camera
from edgeface.errors import SourceError
from edgeface.sources.children import end_group, exit_code
from edgeface.sources.live import REOPENED
from edgeface.sources.planes import Bursts, cut_rows, i420_to_bgr, says_full_range
from edgeface.sources.transform import wanted_size
from edgeface.types import Image

logger = logging.getLogger(__name__)

DEFAULT_WH = (1280, 720)
DEFAULT_FPS = 15.0
WIDTH_STEP = 128
"""The Pi 5's image processor pads rows to 128 bytes, that of older ones to 64; other widths would come out sheared."""
COLOUR_SPACE = re.compile(rb"configuring streams: [^\n]*?\(0\) \d+x\d+-\w+/(\S+)")
"""How libcamera says on standard error what its first stream's colours mean."""
CHUNK = 1 << 20
"""Bytes read at once, and the size asked for the pipe: the usual 64 kB would wake both sides 20 times a picture."""
CHATTER = 4096
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
    full_range: bool

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
        # For this codec rpicam-vid asks for `ColorSpace::Sycc`: BT.601, full range.
        full_range=True,
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
        full_range=False,
        width=width,
        height=height,
        fps=fps,
    )


def _mode(camera: Camera) -> tuple[int, int, float]:
    """Size and rate to ask for: the width a multiple of 128, the height even; one side alone means 16:9."""
    width, height = wanted_size(camera, DEFAULT_WH)
    rounded = max(WIDTH_STEP, width // WIDTH_STEP * WIDTH_STEP), max(2, height // 2 * 2)
    if rounded != (width, height):
        logger.warning("%s: %dx%d becomes %dx%d", camera.source, width, height, *rounded)
    return *rounded, camera.fps or DEFAULT_FPS


class ChildPipe:
    """A supervised child: stalls, torn pictures and death are noticed; closing kills it and all it started.

    ``patience_s`` is how long a child that was asked to end may take.
    """

    def __init__(self, recipe: Recipe, *, patience_s: float = 1.0) -> None:
        self.description = f"{recipe.name} {recipe.width}x{recipe.height} at {recipe.fps:g} fps"
        self.torn = 0
        self._recipe = recipe
        self._patience_s = patience_s
        self._child: subprocess.Popen[bytes] | None = None
        self._pictures = self._chatter = -1
        self._stride = recipe.width
        self._bytes = bytearray(recipe.frame_bytes)
        self._got = 0
        self._bursts = Bursts(recipe.frame_bytes)
        self._held: deque[Image] = deque()
        self._full_range = recipe.full_range
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
        if self._bursts.trusted and len(self._held) > 0:
            return self._held.popleft()
        watched = [self._pictures, self._chatter] if self._chatter >= 0 else [self._pictures]
        ready, _, _ = select.select(watched, [], [], 0.5 / self._recipe.fps)
        if self._stopped:
            raise SourceError(f"{self.description} was closed", fix=REOPENED)
        if self._chatter in ready:
            self._read_chatter()
        if self._pictures not in ready:
            # Only the kernel's own timeout counts as a pause, not the time that this thread waited for its turn.
            return self._gap() if not ready else None
        count = os.readv(self._pictures, [memoryview(self._bytes)[self._got : self._got + CHUNK]])
        if count == 0:
            if self._held:
                return self._held.popleft()
            raise self._death()
        self._got += count
        self._bursts.add(count)
        if self._got < len(self._bytes):
            return None
        self._got = 0
        self._held.append(self._image())
        return self._held.popleft() if self._bursts.trusted else None

    def _gap(self) -> Image | None:
        """Take the pause between two pictures as their border."""
        if self._got:
            self.torn += 1
            logger.debug("%s: torn picture dropped", self.description)
            self._got = 0
        padded = self._bursts.gap()
        if padded is not None:
            self._take_stride(padded)
        return self._held.popleft() if self._bursts.trusted and self._held else None

    def _take_stride(self, burst_bytes: int) -> None:
        """Read rows as long as bursts say; where they cannot be rows of this picture, say so."""
        rows = self._recipe.height * 3 // 2
        stride, rest = divmod(burst_bytes, rows)
        self._held.clear()
        if rest or stride < self._recipe.width or stride % 2:
            logger.warning(
                "%s: pictures of %d bytes come instead of %d, and none can be read",
                self.description,
                burst_bytes,
                self._recipe.frame_bytes,
            )
            return
        logger.info("%s: rows are padded to %d bytes", self.description, stride)
        self._stride = stride
        self._bytes = bytearray(burst_bytes)

    def _image(self) -> Image:
        recipe = self._recipe
        planes = np.frombuffer(self._bytes, np.uint8)
        if self._stride != recipe.width:
            planes = cut_rows(planes, recipe.width, recipe.height, self._stride)
        return i420_to_bgr(planes.reshape(recipe.height * 3 // 2, recipe.width), full_range=self._full_range)

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

    def _read_chatter(self) -> None:
        """Keep the end of what the child said; the rest is thrown away so that it never fills its pipe."""
        text = os.read(self._chatter, CHATTER)
        self._words = (self._words + text)[-CHATTER:]
        if not text:
            self._chatter = -1
        if found := COLOUR_SPACE.search(self._words):
            self._full_range = says_full_range(found[1].decode("ascii", "replace"))

    def _death(self) -> SourceError:
        """Say why the child ended, in its own last words."""
        assert self._child is not None
        while self._chatter >= 0 and select.select([self._chatter], [], [], 0.1)[0]:
            self._read_chatter()
        code = exit_code(self._child, patience_s=self._patience_s)
        if code is None:
            return SourceError(f"{self.description}: the program closed its output", fix=REOPENED)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        # rpicam-vid says a line for every picture, which starts with its number.
        lines = (line.strip() for line in reversed(self._words.decode("utf-8", "replace").splitlines()))
        words = next((f" ({line[:200]})" for line in lines if line and not line.startswith("#")), "")
        return SourceError(f"{self.description}: {self._recipe.programs[0]} {how}{words}", fix=REOPENED)
