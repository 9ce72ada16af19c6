"""Sequences of frames: made of still faces by a course, or cut out of real labelled ones; and whom they show.

A set whose table has the columns ``sequence`` and ``seconds`` holds real frames: those of one sequence, in the order
of time, are cut into windows, and nothing is simulated. Every other set holds still faces. A still face of whom nothing
is known (`converters.train.people`) is a person of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import cv2
import numpy as np

from converters.datasets.camera import share_seen, spoilt
from converters.train.batches import Crops
from converters.train.courses import F64, Moving, make_course
from converters.train.people import Row, person_of
from converters.train.view import View
from converters.train.warp import STILL, Motion, coloured, in_grey, warp
from edgeface.errors import UsageError
from edgeface.people.quality import SIZE_PX, assess
from edgeface.types import F32, Image

NEAR_PX = SIZE_PX[1]
"""Height of a simulated face that is near, in pixels of the camera."""
FRAME: Image = np.broadcast_to(np.uint8(0), (480, 640, 3))
"""Stands for the camera's picture where only its size is asked for."""
LEAST = 1e-3
"""Least weight of a frame: of nothing but worthless ones there is a mean, too."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """One window of T frames.

    Attributes
    ----------
    pixels : uint8 (T, H, W, C), in the network's colours
    quality : float32 (T,), as `edgeface.people.quality` scores a view, above 0
    seconds : float64 (T,), from 0
    """

    pixels: Image
    quality: F32
    seconds: F64


class Clips:
    """Windows of one part of a set.

    Parameters
    ----------
    set_name, part : as in the recipe
    faces : stored crops of the part

    Attributes
    ----------
    rows, people : labels of each window (of real ones those of the last frame), and whom it shows
    real : whether they were filmed; left_out : real frames that fill no window

    Raises
    ------
    UsageError : real frames without a time, or too few for a window
    """

    def __init__(self, set_name: str, part: str, faces: Crops, moving: Moving, frames: int) -> None:
        self.name, self.faces = f"{set_name} {part}".strip(), faces
        self._moving, self._frames = moving, frames
        self.real = any(row.get("sequence") for row in faces.rows)
        self._members = windows(faces.rows, frames, self.name) if self.real else [[n] for n in range(len(faces.rows))]
        self.left_out = len(faces.rows) - sum(map(len, self._members))
        if not self._members:
            raise UsageError(f"{self.name} has no sequence of {frames} frames", fix="lower [memory] frames")
        self.ends = [members[-1] for members in self._members]
        self.rows = [faces.rows[end] for end in self.ends]
        self.people = [_person(set_name, part, faces.rows[end], end) for end in self.ends]

    def __len__(self) -> int:
        return len(self._members)

    def frames(self, number: int, rng: np.random.Generator) -> Frames:
        """One window; the same state of ``rng`` gives the same."""
        members, view = self._members[number], self.faces.view
        if not self.real:
            return simulated(self.faces.pixels[members[0]], view, self._moving, self._frames, rng)
        crops = [warp(self.faces.pixels[member], view) for member in members]
        seconds = np.array([float(self.faces.rows[member]["seconds"]) for member in members], np.float64)
        return Frames(
            pixels=np.stack([coloured(crop, view) for crop in crops]),
            quality=np.array([_quality(crop, view, STILL, 1.0) for crop in crops], np.float32),
            seconds=seconds - seconds[0],
        )


def simulated(pixels: Image, view: View, moving: Moving, frames: int, rng: np.random.Generator) -> Frames:
    """Frames of one still face, uint8 (S, S, 3) or (S, S), that moves and is lit and filmed as ``moving`` says."""
    course = make_course(moving, frames, rng)
    crops, quality = [], []
    for frame, motion in enumerate(course.motions):
        throws, normals = course.throws[frame].tolist(), course.normals[frame].tolist()
        crop = warp(pixels, view, motion)
        crop = spoilt(in_grey(crop) if view.color == "grey" else crop, moving, throws, normals)
        quality.append(_quality(crop, view, motion, share_seen(moving, throws)))
        crops.append(coloured(crop, view))
    return Frames(pixels=np.stack(crops), quality=np.array(quality, np.float32), seconds=course.seconds)


def windows(rows: Sequence[Row], frames: int, name: str) -> list[list[int]]:
    """Numbers of the rows of each window: sequences in the order of time, cut into windows that share no frame."""
    found: dict[str, list[tuple[float, int]]] = {}
    for number, row in enumerate(rows):
        try:
            seconds = float(row.get("seconds", ""))
        except ValueError:
            seconds = float("nan")
        if not row.get("sequence") or not isfinite(seconds):
            raise UsageError(
                f"{name}, face {number}: a frame needs sequence and seconds", fix="complete the row or take it out"
            )
        found.setdefault(row["sequence"], []).append((seconds, number))
    numbers = [[number for _, number in sorted(own)] for own in found.values()]
    return [own[at : at + frames] for own in numbers for at in range(0, len(own) - frames + 1, frames)]


def _person(set_name: str, part: str, row: Row, number: int) -> str:
    return f"{set_name} {person_of(row) or f'{part} face {number}'}"


def _quality(crop: Image, view: View, motion: Motion, share: float) -> float:
    """Score of a view that fills the crop, in which the face is ``share`` of a near one's size.

    Blur and light are seen in the crop at the size that it had in the camera: it has about as many pixels as a device
    looks at. How large the face is there only counts.
    """
    size = (max(1, round(crop.shape[1] * share)), max(1, round(crop.shape[0] * share)))
    seen = crop if share == 1 else cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(seen, cv2.COLOR_GRAY2BGR if seen.ndim == 2 else cv2.COLOR_RGB2BGR)
    inside = _middle(size, size[1] / (1 + 2 * view.padding) / motion.scale)
    like = assess(bgr, inside, None, 1.0)
    box = _middle((FRAME.shape[1], FRAME.shape[0]), NEAR_PX * share / motion.scale)
    return max(LEAST, assess(FRAME, box, None, 1.0, like=like).score)


def _middle(size: tuple[int, int], side: float) -> F32:
    """Square in the middle of a picture, no larger than it is."""
    middle, half = np.array(size) / 2, side / 2
    return np.concatenate([np.maximum(middle - half, 0), np.minimum(middle + half, size)]).astype(np.float32)
