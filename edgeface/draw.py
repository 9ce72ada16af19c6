"""Faces drawn on a picture: box, five points, and what was estimated."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edgeface.types import F32, Image

FONT = cv2.FONT_HERSHEY_SIMPLEX
PALETTE = ((64, 190, 250), (140, 200, 60), (240, 160, 70), (190, 110, 240), (80, 220, 220), (230, 200, 90))
"""BGR, distinguishable from each other and from skin; a face keeps its colour by its number."""
INK = (20, 20, 20)


def draw_face(image: Image, box: F32, landmarks: F32 | None, lines: Sequence[str], *, number: int = 0) -> None:
    """Draw one face in place.

    Parameters
    ----------
    image : uint8 (H, W, 3), BGR, writable
    box : float32 (4,), pixels
    landmarks : float32 (5, 2) or None
    lines : text, one line each, below the box or wherever there is room
    number : chooses the colour
    """
    colour = PALETTE[number % len(PALETTE)]
    height, width = image.shape[:2]
    stroke = max(1, round(min(width, height) / 300))
    x1, y1, x2, y2 = (round(float(value)) for value in box)
    cv2.rectangle(image, (x1, y1), (x2, y2), colour, stroke, cv2.LINE_AA)
    if landmarks is not None:
        for x, y in landmarks:
            centre = (round(float(x)), round(float(y)))
            cv2.circle(image, centre, stroke + 1, colour, -1, cv2.LINE_AA)
    if lines:
        _label(image, (x1, y1, x2, y2), lines, colour, stroke)


def _label(
    image: Image,
    box: tuple[int, int, int, int],
    lines: Sequence[str],
    colour: tuple[int, int, int],
    stroke: int,
) -> None:
    height, width = image.shape[:2]
    scale = float(np.clip(min(width, height) / 900, 0.35, 2.0))
    weight = max(1, round(scale * 1.5))
    sizes = [cv2.getTextSize(line, FONT, scale, weight)[0] for line in lines]
    step = max(size[1] for size in sizes) + round(10 * scale)
    wide, tall = max(size[0] for size in sizes) + round(12 * scale), step * len(lines) + round(6 * scale)
    x = int(np.clip(box[0] - stroke, 0, max(0, width - wide)))
    below, above = box[3] + stroke, box[1] - stroke - tall
    y = below if below + tall <= height else max(0, above)
    cv2.rectangle(image, (x, y), (x + wide, y + tall), colour, -1)
    for row, line in enumerate(lines):
        foot = (x + round(6 * scale), y + step * (row + 1) - round(2 * scale))
        cv2.putText(image, line, foot, FONT, scale, INK, weight, cv2.LINE_AA)
