"""Moving pictures made of nothing but a bundle's own stored inputs: what is timed where no file is given."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from math import ceil, sin, sqrt

import cv2
import numpy as np

from edgeface.bundle import Bundle, Network, chosen_detector
from edgeface.config import Config
from edgeface.selftest import stored_input
from edgeface.types import F32, Frame, Image

EPOCH = datetime.fromtimestamp(0, timezone.utc)
FPS = 25.0
SMALL_WH = (640, 360)
PATCH = 2.2
"""Side of what is cut around a face, in heights of its box."""
GREY = 96
"""Of the ground on which faces stand."""


def stored_scene(network: Network, bundle: Bundle, size_wh: tuple[int, int]) -> Image:
    """A network's stored picture as a BGR picture of a size."""
    picture = stored_input(bundle, network)[0]
    if network.input.color == "rgb":
        picture = picture[..., ::-1]
    elif network.input.color == "grey":
        picture = np.repeat(picture, 3, axis=2)
    scene: Image = cv2.resize(np.ascontiguousarray(picture), size_wh, interpolation=cv2.INTER_LINEAR)
    return scene


def single(bundle: Bundle, config: Config) -> Image:
    """The detector's stored picture, 640x360."""
    return stored_scene(chosen_detector(bundle, config), bundle, SMALL_WH)


def crowd(picture: Image, box: F32, faces: int, *, size_wh: tuple[int, int], most: int | None = None) -> Image:
    """One face of a picture, many times in a grid on grey.

    Parameters
    ----------
    picture : uint8 (H, W, 3), BGR
    box : float32 (4,), the face in it
    faces : how many
    size_wh : width and height of what is made, pixels
    most : faces for which the grid has room; None: as many as there are
    """
    x1, y1, x2, y2 = box.tolist()
    half = PATCH * (y2 - y1) / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    patch = picture[max(0, round(y - half)) : round(y + half), max(0, round(x - half)) : round(x + half)]
    columns = ceil(sqrt(most or max(1, faces)))
    width, height = size_wh[0] // columns, size_wh[1] // columns
    side = min(width, height)
    face = cv2.resize(patch, (side, side), interpolation=cv2.INTER_LINEAR)
    scene: Image = np.full((size_wh[1], size_wh[0], 3), GREY, np.uint8)
    for number in range(faces):
        top, left = number // columns * height, number % columns * width + (width - side) // 2
        scene[top : top + side, left : left + side] = face
    return scene


def moving(still: Image, frames: int, *, camera: str = "main", start: int = 0) -> Iterator[Frame]:
    """A picture that goes to and fro, `FPS` frames a second from source time 0 on.

    Parameters
    ----------
    start : number of the first frame
    """
    reach = still.shape[1] // 16
    for index in range(start, start + frames):
        image = np.roll(still, round(reach * sin(index / FPS)), axis=1)
        yield Frame(image=image, camera=camera, index=index, time_s=index / FPS, captured_at=EPOCH)
