"""What was asked of a camera: which, its size; turning, mirroring, painting over before anything sees the picture."""

from __future__ import annotations

from dataclasses import replace

import cv2

from edgeface.config import Camera, program_of
from edgeface.sources.image import Picture
from edgeface.sources.masks import Painter
from edgeface.types import Image

ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def transform(image: Image, *, rotate: int = 0, mirror: bool = False) -> Image:
    """Rotate clockwise by 0, 90, 180 or 270 degrees, then swap left and right."""
    if rotate:
        image = cv2.rotate(image, ROTATIONS[rotate])
    if mirror:
        image = cv2.flip(image, 1)
    return image


class Preparation:
    """Turns, mirrors and paints over the pictures of one camera, as it is configured; for one thread."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._painter = Painter(camera.masks, camera.regions)

    def __call__(self, image: Image) -> Image:
        """Prepare a picture that nobody has seen yet; it may be changed in place."""
        image = transform(image, rotate=self._camera.rotate, mirror=self._camera.mirror)
        self._painter.paint(image)
        return image

    @property
    def painted(self) -> float:
        """How much of the last picture was painted over, 0 to 1."""
        return self._painter.share


def camera_number(camera: Camera) -> int | None:
    """Which of several cameras of a program is meant; None: the first."""
    program = program_of(camera.source)
    return None if program is None else program[1]


def prepared(picture: Picture, camera: Camera) -> Picture:
    """A decoded file as a camera would see it."""
    wide = camera.rotate in (0, 180)
    original_wh = picture.original_wh if wide else (picture.original_wh[1], picture.original_wh[0])
    return replace(picture, image=Preparation(camera)(picture.image), original_wh=original_wh)


def wanted_size(camera: Camera, default_wh: tuple[int, int]) -> tuple[int, int]:
    """Width and height to ask a camera for, in pixels; where one is given, the other follows 16:9."""
    if camera.width is None and camera.height is not None:
        return round(camera.height * 16 / 9), camera.height
    if camera.height is None and camera.width is not None:
        return camera.width, round(camera.width * 9 / 16)
    return camera.width or default_wh[0], camera.height or default_wh[1]
