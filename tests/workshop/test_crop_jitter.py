"""The measure of a detector's jitter: what is known to have moved is told, what moved with the picture is not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.crop_jitter import CHANGES, jitter

POINTS = np.array([[210, 220], [290, 212], [255, 262], [222, 305], [296, 298]], np.float32)
TARGET = np.array([[0.3, 0.3], [0.68, 0.3], [0.49, 0.51], [0.32, 0.7], [0.66, 0.7]], np.float32)


@pytest.mark.parametrize("name", CHANGES)
def test_points_that_move_with_the_picture_do_not_jitter(name: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    copy, moved = CHANGES[name](picture, np.random.default_rng(1))
    assert copy.dtype == np.uint8
    after = (POINTS @ moved[:, :2].T + moved[:, 2]).astype(np.float32)
    assert jitter(POINTS, after, moved, TARGET) == pytest.approx((0, 0, 0, 0), abs=0.01)


def test_size_shift_and_turn_are_those_of_the_crop() -> None:
    still = np.eye(2, 3)
    middle = POINTS.mean(axis=0)
    larger = ((POINTS - middle) * 1.25 + middle).astype(np.float32)
    assert jitter(POINTS, larger, still, TARGET)[0] == pytest.approx(-20, abs=0.1)
    angle = np.radians(3)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = ((POINTS - middle) @ turn.T + middle).astype(np.float32)
    assert abs(jitter(POINTS, turned, still, TARGET)[3]) == pytest.approx(3, abs=0.01)
    # A crop has the size of its target's unit: the shift is a share of that.
    side = np.linalg.norm(POINTS[1] - POINTS[0]) / np.linalg.norm(TARGET[1] - TARGET[0])
    shifted = POINTS + np.array([0.05 * side, 0], np.float32)
    _, right, down, _ = jitter(POINTS, shifted, still, TARGET)
    assert np.hypot(right, down) == pytest.approx(5, rel=0.1)
