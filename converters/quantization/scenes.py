"""Pictures for calibration: faces of FairFace's training part, never one that anything is evaluated on.

Detectors see
scenes: the same faces in many sizes, pasted into noise, gradients and skimage's free photographs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from converters.datasets.labelled import chips, data_folder
from edgeface.types import Image

SAMPLES = 128
SCENES = 16
"""Per input size: 64 in all."""
SEED = 20251
FACE_PX = (16, 200)
FACES_PER_SCENE = (0, 7)
PHOTOGRAPHS = ("coffee", "chelsea", "rocket", "brick", "gravel", "grass", "hubble_deep_field")
STRIDE = 37
"""Every so many-th face is taken, so that all ages and groups of the balanced part are met."""


def training_faces(count: int, *, data: Path | None = None) -> Iterator[Image]:
    """Chips of FairFace ``train``, spread over the part, BGR."""
    folder = data_folder(str(data) if data else None)
    for number, chip in enumerate(chips(folder, "fairface", "train", limit=count * STRIDE)):
        if number % STRIDE == 0:
            yield chip.image


def scenes(count: int, size_wh: tuple[int, int], faces: Sequence[Image], *, seed: int = SEED) -> Iterator[Image]:
    """Composed pictures of exactly the given size, uint8 (H, W, 3) BGR; the same for the same seed."""
    dice = np.random.default_rng([seed, *size_wh])
    for number in range(count):
        scene = _background(number, size_wh, dice)
        for _ in range(int(dice.integers(*FACES_PER_SCENE))):
            _paste(scene, faces[int(dice.integers(len(faces)))], dice)
        yield scene


def _paste(scene: Image, face: Image, dice: np.random.Generator) -> None:
    height, width = scene.shape[:2]
    largest = min(FACE_PX[1], height - 1, width - 1)
    if largest < 1:
        return
    side = int(np.exp(dice.uniform(np.log(min(FACE_PX[0], largest)), np.log(largest))))
    x, y = int(dice.integers(0, width - side)), int(dice.integers(0, height - side))
    if dice.random() < 0.5:
        face = face[:, ::-1]
    scene[y : y + side, x : x + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)


def _background(number: int, size_wh: tuple[int, int], dice: np.random.Generator) -> Image:
    width, height = size_wh
    kind = number % 4
    if kind == 0:
        noise: Image = dice.integers(0, 256, (height, width, 3), dtype=np.uint8)
        return noise
    if kind == 1:
        ends = dice.uniform(0, 255, (2, 3))
        ramp = np.linspace(0, 1, width)[None, :, None]
        gradient: Image = np.broadcast_to(ends[0] + (ends[1] - ends[0]) * ramp, (height, width, 3)).astype(np.uint8)
        return gradient
    photograph = np.asarray(getattr(skimage.data, PHOTOGRAPHS[int(dice.integers(len(PHOTOGRAPHS)))])())
    if photograph.ndim == 2:
        photograph = np.repeat(photograph[..., None], 3, axis=2)
    bgr = np.ascontiguousarray(photograph[..., 2::-1])
    stretched: Image = cv2.resize(bgr, size_wh, interpolation=cv2.INTER_AREA)
    return stretched
