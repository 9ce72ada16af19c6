"""OpenCV's VideoCapture as far as live sources use it, so that tests can stand in for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import cv2


class Capture(Protocol):
    """`cv2.VideoCapture`."""

    def isOpened(self) -> bool: ...  # noqa: N802, D102

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
