"""Composed pictures for the calibration of detectors: any shape, the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from converters.quantization.scenes import scenes
from edgeface.types import Image

FACES: list[Image] = [np.full((40, 40, 3), 7, np.uint8)]


@pytest.mark.parametrize(
    "size_wh",
    [(640, 480), (480, 640), (96, 320), (320, 96), (128, 128), (32, 32)],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
def test_scenes_fill_any_shape(size_wh: tuple[int, int]) -> None:
    made = list(scenes(16, size_wh, FACES))
    assert {(scene.shape, scene.dtype) for scene in made} == {((size_wh[1], size_wh[0], 3), np.dtype(np.uint8))}
    # Faces of one colour: the rest is noise, a ramp or a photograph.
    with_faces = sum(int((scene == 7).all(axis=2).sum()) >= 16 * 16 for scene in made)
    assert with_faces > 8


def test_scenes_are_those_of_their_seed() -> None:
    first, again, other = (list(scenes(4, (96, 160), FACES, seed=seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not any(np.array_equal(one, two) for one, two in zip(first, other, strict=True))
