"""OpenCV's VideoCapture as far as sources use it, so that tests can stand in for it, and what its frames become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from edgeface.types import Image

BAD_READS = 10
"""Reads that fail in a row before a camera counts as gone; a torn picture is normal on long cables and by radio."""
STRANGEST_PIXEL = 8.0
"""Pixels more oblong than this are a mistake of the file."""
NEARLY_SQUARE = 0.02


class Capture(Protocol):
    """`cv2.VideoCapture`."""

    def isOpened(self) -> bool: ...  # noqa: N802, D102

    def open(self, name: str, api: int, options: Sequence[int], /) -> bool: ...  # noqa: D102

    def read(self) -> tuple[bool, Any]: ...  # noqa: D102

    def get(self, prop: int, /) -> float: ...  # noqa: D102

    def set(self, prop: int, value: float, /) -> bool: ...  # noqa: D102

    def release(self) -> None: ...  # noqa: D102


OpenCapture = Callable[[str, int, Sequence[int]], Capture]


def open_capture(name: str, api: int, options: Sequence[int]) -> Capture:
    """Open a device or an address through one of OpenCV's backends; ``options`` are pairs of property and value."""
    capture: Capture = cv2.VideoCapture(name, api, list(options))
    return capture


def fourcc_name(code: int) -> str:
    """``MJPG`` for its number; a question mark for what is not printable."""
    letters = (chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in letters)


def fourcc_code(name: str) -> int:
    """Return the number of a four-letter pixel format."""
    return int.from_bytes(name.encode("ascii"), "little")


def as_bgr(image: npt.NDArray[Any]) -> Image:
    """Three channels of eight bits, also from a grey or a deep video."""
    if image.dtype != np.uint8:
        image = (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else cv2.convertScaleAbs(image)
    if image.ndim == 2 or image.shape[2] == 1:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return image


def pixel_shape(capture: Capture) -> float:
    """Width of a shown pixel by its height, of frames as they are handed out (a rotation has been applied); else 1."""
    across, down = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    if not (across > 0 and down > 0):
        return 1.0
    shape = across / down
    if not 1 / STRANGEST_PIXEL <= shape <= STRANGEST_PIXEL or abs(shape - 1) < NEARLY_SQUARE:
        return 1.0
    turned = round(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 180 == 90
    return 1 / shape if turned else shape


def square(image: Image, shape: float) -> Image:
    """Stretch a frame until its pixels are square, as players do: never smaller, so that no detail is lost."""
    if shape == 1:
        return image
    height, width = image.shape[:2]
    size = (round(width * shape), height) if shape > 1 else (width, round(height / shape))
    stretched: Image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return stretched
