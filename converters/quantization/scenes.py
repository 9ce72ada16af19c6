"""Pictures for calibration: faces of FairFace's training part, never one that anything is evaluated on.

Attribute networks see them as in service: padded, found by the default detector, cut by the manifest's rule. Detectors
see scenes: the same faces in many sizes, pasted into noise, gradients and skimage's free photographs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from converters.datasets.labelled import chips, data_folder
from edgeface.bundle import Input
from edgeface.crop import cut, reference_boxes
from edgeface.engine.networks import Networks
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


def found_faces(
    pictures: Iterator[Image], networks: Networks, inputs: Mapping[str, Input], *, min_score: float = 0.6
) -> dict[str, list[Image]]:
    """Crops by network of the best face of each padded chip; chips without a face are left out.

    Returns
    -------
    network to uint8 crops (H, W, C), in the same order for all networks.
    """
    from converters.evaluation.subject import padded  # a plain build needs nothing of the evaluation

    crops: dict[str, list[Image]] = {name: [] for name in inputs}
    for chip in pictures:
        image = padded(chip)
        faces = networks.detect(image, min_score=min_score)
        if not len(faces):
            continue
        found = networks.detector.network
        boxes = reference_boxes(faces.boxes, found.box_to_reference)
        points = None if faces.landmarks is None else faces.landmarks[0]
        for name, spec in inputs.items():
            crops[name].append(cut(image, boxes[0], points, spec, offsets=found.landmarks_to_reference))
    return crops


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
    side = int(np.exp(dice.uniform(np.log(FACE_PX[0]), np.log(largest))))
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
