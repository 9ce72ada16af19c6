"""What was asked of a camera: its size, and turning and mirroring before anything else sees the picture."""

from __future__ import annotations

import cv2

from edgeface.config import Camera
from edgeface.types import Image

ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def transform(image: Image, *, rotate: int = 0, mirror: bool = False) -> Image:
    """Rotate clockwise by 0, 90, 180 or 270 degrees, then swap left and right."""
    if rotate:
        image = cv2.rotate(image, ROTATIONS[rotate])
    if mirror:
        image = cv2.flip(image, 1)
    return image


def wanted_size(camera: Camera, default_wh: tuple[int, int]) -> tuple[int, int]:
    """Width and height to ask a camera for, in pixels; where one is given, the other follows 16:9."""
    if camera.width is None and camera.height is not None:
        return round(camera.height * 16 / 9), camera.height
    if camera.height is None and camera.width is not None:
        return camera.width, round(camera.width * 9 / 16)
    return camera.width or default_wh[0], camera.height or default_wh[1]
