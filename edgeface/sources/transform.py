"""Turning and mirroring, before anything else sees the picture."""

from __future__ import annotations

import cv2

from edgeface.types import Image

ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def transform(image: Image, *, rotate: int = 0, mirror: bool = False) -> Image:
    """Rotate clockwise by 0, 90, 180 or 270 degrees, then swap left and right."""
    if rotate:
        image = cv2.rotate(image, ROTATIONS[rotate])
    if mirror:
        image = cv2.flip(image, 1)
    return image
