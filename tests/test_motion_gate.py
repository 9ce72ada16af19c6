"""What is motion and what is not: noise, light, flicker and key frames are none, a small face that moves is."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edgeface.people.motion_gate import MotionGate, grid, grid_wh
from edgeface.types import Image

WIDTH, HEIGHT, FPS = 640, 360, 15
WARM_S = 6.0


def room(seed: int = 1) -> Image:
    rng = np.random.default_rng(seed)
    picture = cv2.resize(rng.integers(30, 200, (12, 20, 3), dtype=np.uint8), (WIDTH, HEIGHT))
    return np.asarray(picture, np.uint8)


def noisy(picture: Image, rng: np.random.Generator, deviation: float = 3.0) -> Image:
    return np.clip(picture + rng.normal(0, deviation, picture.shape), 0, 255).astype(np.uint8)


def changed_after_warming(
    change: Callable[[Image, float], Image], seconds: float = 3.0, deviation: float = 3.0
) -> list[int]:
    """Changed cells of each picture once the gate knows the scene; ``change`` makes them from the room."""
    gate, rng, still = MotionGate(), np.random.default_rng(2), room()
    counts = []
    for index in range(round((WARM_S + seconds) * FPS)):
        time_s = index / FPS
        cells = gate.see(noisy(change(still, time_s), rng, deviation), time_s)
        if time_s >= WARM_S:
            counts.append(int(cells.sum()))
    return counts


def share(counts: list[int]) -> float:
    """Share of pictures in which at least two cells have changed: one is no face."""
    return float(np.mean([count >= 2 for count in counts]))


@pytest.mark.parametrize("deviation", [0.0, 3.0, 12.0])
def test_noise_is_no_motion(deviation: float) -> None:
    assert share(changed_after_warming(lambda still, _: still, deviation=deviation)) <= 0.02


def test_light_that_changes_slowly_or_by_one_factor_is_no_motion() -> None:
    dusk = changed_after_warming(lambda still, time_s: (still * (1 - 0.05 * time_s)).astype(np.uint8))
    lamp = changed_after_warming(lambda still, time_s: (still * (0.9 + 0.1 * np.sin(7 * time_s))).astype(np.uint8))
    assert [share(dusk) <= 0.05, share(lamp) <= 0.05] == [True, True]


def test_a_lamp_that_flickers_in_a_corner_becomes_noise() -> None:
    def lamp(still: Image, time_s: float) -> Image:
        lit: Image = still.copy()
        lit[:80, :80] = np.clip(still[:80, :80] + 12.0 * (round(time_s * FPS) % 2), 0, 255).astype(np.uint8)
        return lit

    assert share(changed_after_warming(lamp)) <= 0.05


def test_a_small_face_that_moves_is_motion_where_it_is() -> None:
    """Fifteen pixels in 640x360, thirty in 1280x720; a walk."""

    def passes(still: Image, time_s: float) -> Image:
        shown: Image = still.copy()
        if time_s >= WARM_S:
            x = 100 + int(30 * (time_s - WARM_S))
            cv2.ellipse(shown, (x, 200), (6, 8), 0, 0, 360, (150, 170, 210), -1)
        return shown

    assert share(changed_after_warming(passes)) >= 0.9


def test_what_has_come_and_stays_is_no_motion_after_a_while() -> None:
    def stays(still: Image, time_s: float) -> Image:
        shown: Image = still.copy()
        if time_s >= WARM_S:
            shown[150:250, 300:360] = 220
        return shown

    counts = changed_after_warming(stays, seconds=30)
    assert counts[0] >= 20
    assert share(counts[-5 * FPS :]) <= 0.05


def test_another_picture_as_a_whole_is_told_and_learnt_at_once() -> None:
    gate, rng = MotionGate(), np.random.default_rng(3)
    for index in range(30):
        gate.see(noisy(room(), rng), index / FPS)
    before = gate.anew
    assert gate.see(noisy(room(9), rng), 2.0).mean() > 0.7
    assert (before, gate.anew) == (False, True)
    assert gate.see(noisy(room(9), rng), 2.0 + 1 / FPS).sum() <= 2


def test_what_is_painted_over_is_still_whatever_the_light_does() -> None:
    def painted(still: Image, time_s: float) -> Image:
        shown: Image = (still * (1 - 0.05 * time_s)).astype(np.uint8)
        shown[:, 400:] = 0
        return shown

    assert share(changed_after_warming(painted, deviation=0.5)) <= 0.05


@pytest.mark.parametrize("size_wh", [(640, 360), (360, 640), (1920, 1080), (320, 240), (17, 3)])
def test_the_grid_has_square_cells_for_pictures_of_any_shape(size_wh: tuple[int, int]) -> None:
    cells = grid(np.full((size_wh[1], size_wh[0], 3), 77, np.uint8))
    assert cells.shape == grid_wh(size_wh)[::-1]
    assert max(cells.shape) == 80
    assert np.allclose(cells, 77)


def test_a_camera_that_changes_its_size_begins_anew() -> None:
    gate = MotionGate()
    gate.see(room(), 0.0)
    assert gate.see(np.ascontiguousarray(room()[:, :400]), 0.1).all()
