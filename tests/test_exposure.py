"""Dark pictures: how bright a detector sees them, and that faces are found in them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_search import FPS, Watched, scene

from edgeface.detect.exposure import DARK, GAIN_MOST, averaged, brightened, gain_for
from edgeface.engine import turn
from edgeface.types import Image

NOISE = 6.0


def dark(light: float, seed: int) -> Image:
    """Somebody whose face is 100 pixels high, in a share of a room's light, with noise."""
    picture = scene([(100, 500, 200)], seed).astype(np.float32) * light
    noise = np.random.default_rng(seed).normal(0, NOISE, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def found(light: float, *, seconds: int = 2) -> list[bool]:
    watched = Watched(motion=False)
    sightings = [watched.see(dark(light, index), index / FPS)[0] for index in range(seconds * FPS)]
    return [any(track.detection is not None for track in sighting.tracks) for sighting in sightings]


def test_somebody_in_the_dark_is_found_and_without_the_gain_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert np.mean(found(0.08)[1:]) >= 0.95
    monkeypatch.setattr(turn, "gain_for", lambda _: 1.0)
    assert np.mean(found(0.08)) <= 0.2


def test_where_they_are_is_told_in_the_cameras_own_pixels() -> None:
    watched, boxes = Watched(motion=False), []
    for index in range(2 * FPS):
        image = dark(0.08, index)
        boxes += [track.box for track in watched.see(image, index / FPS)[0].tracks if track.detection is not None]
    bright = Watched(motion=False)
    ((track,), *_) = [bright.see(scene([(100, 500, 200)], 1), 0.0)[0].tracks]
    np.testing.assert_allclose(np.median(boxes, axis=0), track.box, atol=12)


@given(st.floats(0, 1))
def test_a_gain_brings_no_picture_beyond_what_is_usual(brightness: float) -> None:
    gain = gain_for(brightness)
    assert 1 <= gain <= GAIN_MOST
    assert gain == 1 if brightness >= DARK else brightness * gain <= 0.3 + 1e-9
    assert gain_for(brightness + 0.01) <= gain


def test_before_anything_is_known_nothing_is_made_brighter() -> None:
    assert gain_for(None) == 1


def test_the_mean_of_pixels_leaves_no_fewer_than_are_seen() -> None:
    image = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), np.uint8)
    mean = averaged(image, (320, 192))
    assert mean.shape == (240, 426, 3)
    assert averaged(image, (640, 384)) is image
    assert mean.std() < 0.6 * image.std()
    assert (brightened(np.full((2, 2, 3), 90, np.uint8), 4.0) == 255).all()
    assert cv2.mean(brightened(np.full((2, 2, 3), 10, np.uint8), 4.0))[0] == 40
