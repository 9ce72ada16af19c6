"""Cameras behind a child process that writes raw pictures: ``rpicam-vid`` and, on Jetson, ``gst-launch-1.0``.

Raw pictures have no marks between them. A pause longer than half a frame is taken for the gap between two pictures:
what came before it and is not whole is a torn picture and is dropped, and the next byte starts the next one. A wrong
guess costs two pictures and heals at the next gap.

Nor do they say how long their rows are. What comes between two gaps does: where it is again and again the same, and not
one picture of the size that was asked for, rows are padded, and are cut from then on. Nothing is handed out before the
first gap came where it should.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from fractions import Fraction

import numpy as np

from edgeface.config import Camera
from edgeface.sources.child import Child, Recipe
from edgeface.sources.planes import Bursts, cut_rows, says_full_range, yuv_to_bgr
from edgeface.sources.transform import camera_number, wanted_size
from edgeface.types import Image

logger = logging.getLogger(__name__)

DEFAULT_WH = (1280, 720)
DEFAULT_FPS = 15.0
WIDTH_STEP = 128
"""The Pi 5's image processor pads rows to 128 bytes, that of older ones to 64; other widths would come out sheared."""
COLOUR_SPACE = re.compile(rb"configuring streams: [^\n]*?\(0\) \d+x\d+-\w+/(\S+)")
"""How libcamera says on standard error what its first stream's colours mean."""


def picamera(camera: Camera) -> Recipe:
    """Raspberry Pi's camera stack, from any Python environment."""
    width, height, fps = _mode(camera)
    number = camera_number(camera)
    chosen = [] if number is None else ["--camera", str(number)]
    return Recipe(
        name="picamera",
        programs=("rpicam-vid", "libcamera-vid"),
        arguments=lambda _: [
            *("-n", "-t", "0", "--codec", "yuv420", *chosen),
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
    number = camera_number(camera)
    chosen = [] if number is None else [f"sensor-id={number}"]
    rate = Fraction(fps).limit_denominator(1001)
    caps = f"width={width},height={height},framerate={rate.numerator}/{rate.denominator}"
    return Recipe(
        name="csi",
        programs=("gst-launch-1.0",),
        arguments=lambda fd: [
            *("-q", "nvarguscamerasrc", *chosen, "!", f"video/x-raw(memory:NVMM),{caps}"),
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


class ChildPipe(Child):
    """A child that writes raw pictures and nothing else: stalls, torn pictures and death are noticed."""

    def __init__(self, recipe: Recipe, *, patience_s: float = 1.0) -> None:
        super().__init__(recipe, patience_s=patience_s)
        self.torn = 0
        self._stride = recipe.width
        self._bytes = bytearray(recipe.frame_bytes)
        self._got = 0
        self._bursts = Bursts(recipe.frame_bytes)
        self._held: deque[Image] = deque()
        self._full_range = recipe.full_range

    def read(self) -> Image | None:
        """Next whole picture, or None when half a frame's time went by without a byte."""
        if self._bursts.trusted and len(self._held) > 0:
            return self._held.popleft()
        count = self.receive(memoryview(self._bytes)[self._got :])
        if count is None:
            return self._gap()
        if self.ended:
            if self._held:
                return self._held.popleft()
            raise self.death()
        self._got += count
        self._bursts.add(count)
        if self._got < len(self._bytes):
            return None
        self._got = 0
        self._held.append(self._image())
        return self._held.popleft() if self._bursts.trusted else None

    def heard(self, words: bytes) -> None:
        """Listen for what libcamera says of the colours."""
        if found := COLOUR_SPACE.search(words):
            self._full_range = says_full_range(found[1].decode("ascii", "replace"))

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
        return yuv_to_bgr(planes.reshape(recipe.height * 3 // 2, recipe.width), full_range=self._full_range)
