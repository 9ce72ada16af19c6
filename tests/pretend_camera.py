"""A live camera that shows what it is told to: stands in for ``rpicam-vid``, the program behind ``picamera``."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from astronaut import astronaut
from scenes_live import put_program

from edgeface.types import Image

SIDE, FPS = 512, 4
CONFIG = f'source = "picamera"\nwidth = {SIDE}\nheight = {SIDE}\nfps = {FPS}\nread_timeout = 60.0\n'
"""Of a ``[cameras.<id>]`` table; so patient that a frozen picture is not noticed by the reader."""
PROGRAM = """
import sys, time
from pathlib import Path
folder = Path({folder!r})
given = 0
while True:
    scene = (folder / "scene").read_text()
    if scene == "unplugged":
        sys.exit("no cameras available")
    if scene != "frozen":
        picture = bytearray((folder / scene.removeprefix("same-")).read_bytes())
        if not scene.startswith("same-"):
            # A sensor never gives the same picture twice.
            given += 1
            picture[0] = 60 + given % 100
        sys.stdout.buffer.write(picture)
        sys.stdout.buffer.flush()
    time.sleep(1 / {fps})
"""


class PretendCamera:
    """Somebody before a camera, or nobody, or a camera that gives no more frames, or always the same."""

    def __init__(self, folder: Path, *, fps: float = FPS) -> None:
        self._folder = folder
        self.programs = folder / "programs"
        folder.mkdir(parents=True, exist_ok=True)
        grey = np.full((SIDE, SIDE, 3), 90, np.uint8)
        scenes = {"face": astronaut(), "empty": grey, "turned": astronaut()[::-1, ::-1]}
        for scene, picture in scenes.items():
            self._put(scene, picture)
        # Its pictures have the full range, and what OpenCV makes of black is 16.
        (folder / "dark").write_bytes(bytes(SIDE * SIDE) + bytes([128]) * (SIDE * SIDE // 2))
        self.show("empty")
        put_program(self.programs, "rpicam-vid", PROGRAM.format(folder=str(folder), fps=fps))

    def show(self, scene: str) -> None:
        """``face``, ``empty``, ``dark``, ``turned``: any with ``same-`` before it (each picture exactly the last).

        ``frozen`` gives no more pictures, ``unplugged`` ends the program; ``face+100``: so many pixels further right.
        """
        _, further, pixels = scene.partition("+")
        if further and not (self._folder / scene).exists():
            rolled = np.roll(astronaut(), int(pixels), axis=1)
            self._put(scene, np.ascontiguousarray(rolled))
        part = self._folder / "scene.part"
        part.write_text(scene)
        part.replace(self._folder / "scene")

    def _put(self, scene: str, picture: Image) -> None:
        (self._folder / scene).write_bytes(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).tobytes())
