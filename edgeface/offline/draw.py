"""Faces drawn on a picture: box, five points, and what was estimated, where it hides nobody."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgeface.config import Camera
from edgeface.errors import EdgefaceError
from edgeface.files import make_folder
from edgeface.people.places import corners_of
from edgeface.types import F32, Image

FONT = cv2.FONT_HERSHEY_SIMPLEX
PALETTE = ((64, 190, 250), (140, 200, 60), (240, 160, 70), (190, 110, 240), (80, 220, 220), (230, 200, 90))
"""BGR, distinguishable from each other and from skin; a face keeps its colour by its number."""
INK = (20, 20, 20)
MARK = (255, 255, 255)
"""Of lines and zones."""

Rectangle = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawing:
    """One face to draw.

    Attributes
    ----------
    box : float32 (4,), pixels
    landmarks : float32 (5, 2), or None
    lines : text, one line each
    number : chooses the colour
    """

    box: F32
    landmarks: F32 | None
    lines: Sequence[str]
    number: int


def draw_faces(image: Image, faces: Sequence[Drawing], camera: Camera | None = None) -> Image:
    """Return a copy of a picture (uint8 (H, W, 3), BGR) with the faces drawn, and the camera's lines and zones."""
    drawn: Image = image.copy()
    if camera is not None:
        draw_places(drawn, camera)
    stroke = max(1, round(min(image.shape[:2]) / 300))
    boxes = [_rectangle(face.box) for face in faces]
    taken: list[Rectangle] = []
    for face, box in zip(faces, boxes, strict=True):
        colour = PALETTE[face.number % len(PALETTE)]
        cv2.rectangle(drawn, box[:2], box[2:], colour, stroke, cv2.LINE_AA)
        if face.landmarks is not None:
            for x, y in face.landmarks.tolist():
                cv2.circle(drawn, (round(x), round(y)), stroke + 1, colour, -1, cv2.LINE_AA)
    for face, box in zip(faces, boxes, strict=True):
        if face.lines:
            others = [other for other in boxes if other is not box]
            taken.append(_label(drawn, box, face, [*others, *taken], stroke))
    return drawn


def draw_places(image: Image, camera: Camera) -> None:
    """Draw lines and zones into a picture, in place: a line as its arrow, with the words of both directions."""
    height, width = image.shape[:2]
    stroke = max(1, round(min(height, width) / 250))
    scale = max(0.4, min(height, width) / 900)

    def pixel(x: float, y: float) -> tuple[int, int]:
        return round(x * (width - 1)), round(y * (height - 1))

    def write(text: str, x: float, y: float) -> None:
        """With its middle at a point, or as near as the picture has room."""
        (wide, tall), _ = cv2.getTextSize(text, FONT, scale, stroke)
        left, foot = min(max(x - wide / 2, 2), width - wide - 2), min(max(y + tall / 2, tall + 2), height - 4)
        for colour, weight in ((INK, 3 * stroke), (MARK, stroke)):
            cv2.putText(image, text, (round(left), round(foot)), FONT, scale, colour, weight, cv2.LINE_AA)

    for zone in camera.zones:
        corners = np.array([pixel(x, y) for x, y in corners_of(zone).tolist()], np.int32)
        cv2.polylines(image, [corners], isClosed=True, color=MARK, thickness=stroke, lineType=cv2.LINE_AA)
        write(zone.name, *corners.mean(axis=0))
    for line in camera.lines:
        begin, end = pixel(*line.from_), pixel(*line.to)
        cv2.arrowedLine(image, begin, end, MARK, stroke, cv2.LINE_AA, tipLength=0.04)
        along = np.array(end, np.float64) - begin
        right = np.array((-along[1], along[0])) / max(1.0, float(np.hypot(*along)))
        middle = (np.array(begin, np.float64) + end) / 2
        write(line.name, *(begin + 0.15 * along))
        for way, side in ((line.to_right, 1), (line.to_left, -1)):
            write(way, *(middle + side * scale * (24 + 10 * len(way) * abs(right[0])) * right))


class DrawnVideo:
    """Drawn frames as MPEG-4; its rate is that of the first two frames.

    Raises
    ------
    EdgefaceError : the file cannot be made
    """

    def __init__(self, path: Path) -> None:
        make_folder(path.parent)
        self._path = path
        # OpenCV dies of a name that is no UTF-8.
        name = path.name if _is_text(path.name) else f"{os.fsencode(path.name).hex()[-64:]}{path.suffix}"
        self._part = path.with_name(f".edgeface-{name}")
        self._writer: cv2.VideoWriter | None = None
        self._first: tuple[Image, float] | None = None
        self._frames = 0

    def write(self, image: Image, time_s: float) -> None:
        """Add one frame of the given source time."""
        if self._first is None:
            self._first = (image, time_s)
            return
        if self._writer is None:
            self._writer = self._begin(1 / max(0.001, time_s - self._first[1]))
        self._writer.write(image)
        self._frames += 1

    def finish(self) -> None:
        """Close, and take the target's place; nothing where there was no frame."""
        if self._writer is None and self._first is not None:
            self._writer = self._begin(1.0)
        if self._writer is not None:
            self._writer.release()
            self._expect_whole()
            self._part.replace(self._path)

    def discard(self) -> None:
        """Let go of what is unfinished; nothing where it has taken its place."""
        if self._writer is not None:
            self._writer.release()
        self._part.unlink(missing_ok=True)

    def _expect_whole(self) -> None:
        """Raise EdgefaceError for a file that ends early: OpenCV does not say that the disk was full."""
        with _spelled(self._part) as name:
            capture = cv2.VideoCapture(name)
        frames = capture.get(cv2.CAP_PROP_FRAME_COUNT) if capture.isOpened() else 0
        capture.release()
        # One more than was counted is right: Ctrl-C may have come between the writing and the counting.
        if frames < self._frames:
            raise EdgefaceError(f"{self._path} cannot be written whole", fix="check permissions and free space")

    def _begin(self, fps: float) -> cv2.VideoWriter:
        assert self._first is not None
        image = self._first[0]
        code = cv2.VideoWriter.fourcc(*"mp4v")
        # MPEG-4 takes no finer fraction than 1/65535: a rate like 26.4339 would be refused.
        rate = round(min(120.0, max(0.1, fps)), 2)
        with _spelled(self._part) as name:
            writer = cv2.VideoWriter(name, code, rate, (image.shape[1], image.shape[0]))
        if not writer.isOpened():
            self._first = None
            raise EdgefaceError(f"{self._path} cannot be written", fix="check permissions and free space")
        writer.write(image)
        self._frames = 1
        return writer


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextlib.contextmanager
def _spelled(path: Path) -> Iterator[str]:
    """Spell a file's name for OpenCV: below the descriptor of its folder where the folder's name is no UTF-8."""
    if _is_text(str(path)):
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _label(image: Image, box: Rectangle, face: Drawing, avoid: Sequence[Rectangle], stroke: int) -> Rectangle:
    """Write the lines beside a box where they cover least of what is to be avoided; the place that was taken."""
    height, width = image.shape[:2]
    least = 0.35 if min(height, width) < 1500 else 0.0004 * min(height, width) - 0.25
    scale = float(np.clip((box[2] - box[0]) / 190, least, 3 * least))
    weight = max(1, round(scale * 1.5))
    sizes = [cv2.getTextSize(line, FONT, scale, weight)[0] for line in face.lines]
    step = max(size[1] for size in sizes) + round(10 * scale)
    wide, tall = max(size[0] for size in sizes) + round(12 * scale), step * len(face.lines) + round(6 * scale)
    x1, y1, x2, y2 = box
    corners = (
        (x1 - stroke, y2 + stroke),
        (x1 - stroke, y1 - stroke - tall),
        (x2 + stroke, y1),
        (x1 - stroke - wide, y1),
    )
    places = [_inside((x, y, x + wide, y + tall), (width, height)) for x, y in corners]
    # Pushed back into the picture, a label may cover its own face: that counts too.
    place = min(places, key=lambda at: sum(_shared(at, other) for other in (*avoid, box)))
    cv2.rectangle(image, place[:2], place[2:], PALETTE[face.number % len(PALETTE)], -1)
    for row, line in enumerate(face.lines):
        foot = (place[0] + round(6 * scale), place[1] + step * (row + 1) - round(2 * scale))
        cv2.putText(image, line, foot, FONT, scale, INK, weight, cv2.LINE_AA)
    return place


def _inside(place: Rectangle, image_wh: tuple[int, int]) -> Rectangle:
    x = max(0, min(place[0], image_wh[0] - (place[2] - place[0])))
    y = max(0, min(place[1], image_wh[1] - (place[3] - place[1])))
    return x, y, x + place[2] - place[0], y + place[3] - place[1]


def _shared(a: Rectangle, b: Rectangle) -> int:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0, width) * max(0, height)


def _rectangle(box: F32) -> Rectangle:
    x1, y1, x2, y2 = (round(value) for value in box.tolist())
    return x1, y1, x2, y2
