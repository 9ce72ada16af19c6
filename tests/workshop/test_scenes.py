"""Scenes for calibration are made in any size, portrait ones and tiny ones, too."""

from __future__ import annotations

import numpy as np
import pytest

from converters.quantization.scenes import scenes


@pytest.mark.parametrize("size", [(320, 192), (192, 320), (48, 400), (12, 12), (9, 31), (1, 5)])
def test_any_size(size: tuple[int, int]) -> None:
    faces = [np.full((64, 64, 3), 200, np.uint8)]
    made = list(scenes(12, size, faces))
    assert [scene.shape for scene in made] == [(size[1], size[0], 3)] * 12
    assert all(np.array_equal(a, b) for a, b in zip(made, scenes(12, size, faces), strict=True))
