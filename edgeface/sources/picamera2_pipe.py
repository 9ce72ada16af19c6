"""A Raspberry Pi's camera through picamera2, which lives in a child of the system's Python: `picamera2_child`.

picamera2 hangs where a cable is loose, and is built for the system's numpy: in a process of its own it can be killed,
and meets no other library. The child writes one line that says how its pictures lie in memory, and then pictures: each
in full size, and the same view made small by the camera's own hardware, in which faces are looked for.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
from math import gcd
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from edgeface.config import Camera, child_environ
from edgeface.errors import SourceError
from edgeface.sources import picamera2_child
from edgeface.sources.child import Child, Recipe, own_words
from edgeface.sources.planes import Bytes, cut_rows, yuv_to_bgr
from edgeface.sources.transform import camera_number, wanted_size
from edgeface.types import Image

logger = logging.getLogger(__name__)

PYTHON = "/usr/bin/python3"
"""The system's, which alone has the system's picamera2."""
PACKAGE = Path("/usr/lib/python3/dist-packages/picamera2")
SCRIPT = Path(picamera2_child.__file__)
DEFAULT_WH = (1280, 720)
DEFAULT_FPS = 15.0
SMALL_SIDE = 640
"""Long side of the small picture: what a detector sees of a larger one is averaged from two pixels for each."""
PATIENCE_SHARE = 0.8
"""The child gives up after this part of the read timeout, so that what it says comes before its silence is noticed."""
LIST_S = 20.0
PICTURE_MOST = 256 << 20
FORMATS = {"YUV420": False, "NV12": True}
"""Whether the two colours lie interleaved. Others are not asked for, and are what a camera on USB gives."""

Side = Annotated[int, Meta(ge=2, le=16384, multiple_of=2)]


class Layout(msgspec.Struct, frozen=True):
    """How pictures of one stream lie in memory: ``stride`` bytes for a row of ``size[0]`` pixels."""

    format: str
    size: tuple[Side, Side]
    stride: Annotated[int, Meta(ge=2, le=65536, multiple_of=2)]

    @property
    def bytes(self) -> int:
        """Bytes of a picture, padding included."""
        return self.stride * self.size[1] * 3 // 2


class Head(msgspec.Struct, frozen=True):
    """What the child says before its first picture.

    Attributes
    ----------
    range : "full" where brightness goes from 0 to 255, "limited" where it goes from 16 to 235
    model : name of the sensor
    """

    main: Layout
    lores: Layout | None
    range: Literal["full", "limited"]
    model: str = ""


def picamera2(camera: Camera) -> Recipe:
    """The system's Python with the program that owns picamera2."""
    wanted = wanted_size(camera, DEFAULT_WH)
    width, height = (max(2, side // 2 * 2) for side in wanted)
    if (width, height) != wanted:
        logger.warning("%s: %dx%d becomes %dx%d", camera.source, *wanted, width, height)
    small, fps = small_size((width, height)), camera.fps or DEFAULT_FPS
    number = camera_number(camera)

    def arguments(fd: int) -> list[str]:
        words = ["-I", "-B", str(SCRIPT), "--fd", str(fd), "--main", f"{width}x{height}", "--fps", f"{fps:g}"]
        words += ["--wait", f"{camera.read_timeout * PATIENCE_SHARE:g}"]
        words += [] if number is None else ["--camera", str(number)]
        return words if small is None else [*words, "--lores", f"{small[0]}x{small[1]}"]

    return Recipe(
        name="picamera2",
        programs=(PYTHON,),
        arguments=arguments,
        stdout=False,
        missing=picamera2_child.PACKAGE,
        width=width,
        height=height,
        fps=fps,
    )


def small_size(main_wh: tuple[int, int]) -> tuple[int, int] | None:
    """Size of the small picture of a large one: even, and of the same shape; None where the large one is small enough.

    Where no even size has exactly the same shape, the nearest: the camera stretches the whole view to it, so each axis
    has its own scale.
    """
    longest = max(main_wh)
    if longest <= SMALL_SIDE:
        return None
    unit = gcd(*main_wh)
    step_w, step_h = main_wh[0] // unit, main_wh[1] // unit
    even = 2 if step_w % 2 or step_h % 2 else 1
    times = SMALL_SIDE // (max(step_w, step_h) * even) * even
    if times * max(step_w, step_h) * 4 >= SMALL_SIDE * 3:
        return step_w * times, step_h * times
    near_w, near_h = (max(2, round(side * SMALL_SIDE / longest / 2) * 2) for side in main_wh)
    return near_w, near_h


class Picamera2Pipe(Child):
    """Pictures of the child, each with the same view made small."""

    def __init__(self, recipe: Recipe, *, patience_s: float = 1.0) -> None:
        super().__init__(recipe, patience_s=patience_s)
        self._head: Head | None = None
        self._bytes = bytearray(picamera2_child.HEAD_BYTES)
        self._got = 0

    def read(self) -> Image | tuple[Image, Image] | None:
        """Next picture in full size and small, or None while it is not whole."""
        count = self.receive(memoryview(self._bytes)[self._got :])
        if self.ended:
            raise self.death()
        self._got += count or 0
        if self._got < len(self._bytes):
            return None
        self._got = 0
        if self._head is None:
            self._head = self._take_head()
            self.forget_words()
            return None
        return self._pictures_of(self._head)

    def _take_head(self) -> Head:
        try:
            head = msgspec.json.decode(bytes(self._bytes), type=Head)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SourceError(f"{self.description}: no head came ({error})", fix="install edgeface again") from None
        layouts = [head.main] if head.lores is None else [head.main, head.lores]
        for layout in layouts:
            if layout.format not in FORMATS:
                raise SourceError(
                    f"{self.description}: pictures come as {layout.format}, not YUV420",
                    fix="for a camera on USB set source to its number, see `edgeface cameras`",
                )
            if layout.stride < layout.size[0] or layout.bytes > PICTURE_MOST:
                raise SourceError(f"{self.description}: no picture is like {layout}", fix="install picamera2 again")
        asked = (self._recipe.width, self._recipe.height)
        granted = ["{}x{} {}".format(*layout.size, layout.format) for layout in layouts]
        logger.info("%s: %s gives %s, %s range", self.description, head.model, " and ".join(granted), head.range)
        if head.main.size != asked:
            logger.warning("%s: the camera gives %dx%d instead", self.description, *head.main.size)
        self._bytes = bytearray(sum(layout.bytes for layout in layouts))
        return head

    def _pictures_of(self, head: Head) -> Image | tuple[Image, Image]:
        planes = np.frombuffer(self._bytes, np.uint8)
        full = head.range == "full"
        image = to_bgr(planes[: head.main.bytes], head.main, full_range=full)
        if head.lores is None:
            return image
        return image, to_bgr(planes[head.main.bytes :], head.lores, full_range=full)


def to_bgr(planes: Bytes, layout: Layout, *, full_range: bool) -> Image:
    """One picture as it lay in the camera's memory, uint8 (stride * height * 3 / 2,), as BGR, uint8 (H, W, 3)."""
    width, height = layout.size
    interleaved = FORMATS[layout.format]
    if layout.stride != width:
        rows = planes.reshape(-1, layout.stride)[:, :width]
        planes = np.ascontiguousarray(rows) if interleaved else cut_rows(planes, width, height, layout.stride)
    return yuv_to_bgr(planes.reshape(height * 3 // 2, width), full_range=full_range, interleaved=interleaved)


def list_cameras() -> list[str]:
    """Cameras that picamera2 finds, in words; nothing is opened.

    Raises
    ------
    SourceError : there is no such Python, no picamera2 in it, or no answer
    """
    words = [PYTHON, "-I", "-B", str(SCRIPT), "--list"]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            timeout=LIST_S,
            check=False,
            stdin=subprocess.DEVNULL,
            env=child_environ(os.environ),
        )
    except FileNotFoundError:
        raise SourceError(f"{PYTHON} is not installed", fix=picamera2_child.PACKAGE) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceError(f"picamera2 does not answer: {error}", fix="see `rpicam-hello --list-cameras`") from None
    own = own_words(reversed(done.stderr.decode("utf-8", "replace").splitlines()))
    if own is not None:
        raise SourceError(own[0], fix=own[1])
    try:
        found = json.loads(done.stdout.splitlines()[-1])
        return [f"{camera.get('Model', 'camera')} ({camera.get('Id', '')})" for camera in found]
    except (IndexError, ValueError, AttributeError):
        raise SourceError(f"picamera2 ended with {done.returncode}", fix="see `rpicam-hello --list-cameras`") from None
