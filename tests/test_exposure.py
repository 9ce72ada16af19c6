"""Dark pictures: how bright a detector sees their parts, and that faces are found in them, in lamplight too."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_search import FPS, Watched, scene

from edgeface.detect.exposure import BRIGHTEST, averaged, exposure_of
from edgeface.detect.mosaic import Mosaic, Placed, compose, region_around
from edgeface.engine import networks
from edgeface.gain import GAIN_MOST, USUAL
from edgeface.types import F32, Image

NOISE = 6.0
HEAD = (100, 500, 200)
"""Height of the face in pixels of 1280x720; left and top of the head, which is 175 wide and 233 high."""
Light = Callable[[Image], F32]


def evenly(light: float) -> Light:
    return lambda picture: np.full(picture.shape[:2], light, np.float32)


def infrared(picture: Image) -> F32:
    """The camera's lamp lights who is near, and the yard behind not at all."""
    light = np.full(picture.shape[:2], 0.03, np.float32)
    cv2.ellipse(light, (587, 316), (90, 120), 0, 0, 360, 1.1, -1)
    return np.asarray(cv2.GaussianBlur(light, (0, 0), 8), np.float32)


def beside_a_lit_room(picture: Image) -> F32:
    light = np.full(picture.shape[:2], 0.06, np.float32)
    light[:, 760:] = 1
    return light


def between_bars(picture: Image) -> F32:
    """A telephone's upright video in a wide picture."""
    light = np.zeros(picture.shape[:2], np.float32)
    light[:, 400:780] = 1
    return light


def taken(light: Light, seed: int) -> Image:
    """Somebody in a share of a room's light, with noise."""
    picture = scene([HEAD], seed)
    share = light(picture)
    dark = cv2.multiply(picture, cv2.merge([share, share, share]), dtype=cv2.CV_16S)
    noise = cv2.randn(np.zeros(picture.shape, np.int16), 0, NOISE)
    return np.asarray(cv2.add(dark, noise, dtype=cv2.CV_8U), np.uint8)


def found(light: Light, *, seconds: int = 1) -> list[bool]:
    watched = Watched(motion=False)
    sightings = [watched.see(taken(light, index), index / FPS)[0] for index in range(seconds * FPS)]
    return [any(track.detection is not None for track in sighting.tracks) for sighting in sightings]


@pytest.mark.parametrize("light", [evenly(0.08), beside_a_lit_room])
def test_somebody_in_the_dark_is_found_and_without_more_light_is_not(
    light: Light, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert np.mean(found(light)[1:]) >= 0.95
    monkeypatch.setattr(networks, "exposure_of", lambda _: None)
    assert np.mean(found(light)) <= 0.2


@pytest.mark.parametrize("light", [infrared, between_bars])
def test_who_is_lit_in_a_dark_picture_is_found(light: Light) -> None:
    assert taken(light, 0).mean() / 255 < 0.2
    assert np.mean(found(light)[1:]) >= 0.95


def test_a_lamp_that_is_switched_on_blinds_nobody() -> None:
    watched = Watched(motion=False)
    for index in range(5):
        watched.see(taken(evenly(0.08), index), index / FPS)
    sighting, _ = watched.see(scene([HEAD], 9), 5 / FPS)
    assert [track.detection is not None for track in sighting.tracks] == [True]


def test_where_they_are_is_told_in_the_cameras_own_pixels() -> None:
    watched, boxes = Watched(motion=False), []
    for index in range(FPS):
        image = taken(evenly(0.08), index)
        boxes += [track.box for track in watched.see(image, index / FPS)[0].tracks if track.detection is not None]
    bright = Watched(motion=False)
    ((track,), *_) = [bright.see(scene([HEAD], 1), 0.0)[0].tracks]
    np.testing.assert_allclose(np.median(boxes, axis=0), track.box, atol=12)


@given(st.integers(32, 90), st.integers(32, 90), st.integers(0, 255), st.integers(0, 255))
def test_no_part_of_any_picture_is_made_too_bright(width: int, height: int, left: int, right: int) -> None:
    image = np.full((height, width, 3), left, np.uint8)
    image[:, width // 2 :] = right
    exposure = exposure_of(image)
    if min(left, right) >= USUAL * 255:
        assert exposure is None
    if exposure is None:
        return
    assert exposure.gains.min() >= 1
    assert exposure.gains.max() <= GAIN_MOST
    seen = exposure.apply(image)
    assert seen.shape == image.shape
    # Beside an edge of light cells are between.
    assert (seen.astype(int) <= np.maximum(image, BRIGHTEST * 255 + 25)).all()
    assert (seen >= image).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 5), (2160, 3840)])
def test_pictures_of_any_size_are_judged(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 10, np.uint8)
    exposure = exposure_of(image)
    assert exposure is not None
    np.testing.assert_allclose(exposure.apply(image), np.full_like(image, 76), atol=2)


def test_dusk_makes_no_step() -> None:
    gains = []
    for level in range(255, -1, -1):
        exposure = exposure_of(np.full((180, 320, 3), level, np.uint8))
        gains.append(1.0 if exposure is None else float(exposure.gains.mean()))
    assert gains == sorted(gains)
    assert max(after / before for before, after in pairwise(gains)) < 1.12
    assert (gains[0], gains[-1]) == (1.0, GAIN_MOST)


def test_the_dark_beside_what_a_lamp_lights_stays_dark() -> None:
    """Noise at the edge of what is lit would be taken for faces; farther away it is made brighter as everywhere."""
    picture = np.full((360, 640, 3), 5, np.uint8)
    picture[140:220, 40:120] = 160
    exposure = exposure_of(picture)
    assert exposure is not None
    row = exposure.gains[9]
    assert row[7:10].max() < 2.5
    assert row[20:].min() > 7


def test_a_black_picture_stays_black() -> None:
    black = np.zeros((180, 320, 3), np.uint8)
    exposure = exposure_of(black)
    assert exposure is not None
    assert not exposure.apply(black).any()


def test_a_region_is_as_bright_as_in_the_whole_picture() -> None:
    image = taken(beside_a_lit_room, 0)
    exposure = exposure_of(image)
    assert exposure is not None
    region = region_around((480, 300), (60, 50), 1.0, (1280, 720))
    mosaic = Mosaic((320, 192), [Placed(region, 32, 16, *region.drawn_wh)])
    canvas = compose(image, mosaic, exposure=exposure)
    width, height = region.drawn_wh
    whole = exposure.apply(image)[region.top : region.bottom, region.left : region.right]
    np.testing.assert_allclose(canvas[16 : 16 + height, 32 : 32 + width].astype(int), whole.astype(int), atol=2)
    assert whole.mean() > 2 * image[region.top : region.bottom, region.left : region.right].mean()


def test_the_mean_of_pixels_leaves_no_fewer_than_are_seen() -> None:
    image = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), np.uint8)
    mean = averaged(image, (320, 181))
    assert mean.shape == (240, 426, 3)
    assert averaged(image, (320, 180)).shape == (180, 320, 3)
    assert averaged(image, (641, 360)) is image
    assert mean.std() < 0.6 * image.std()
