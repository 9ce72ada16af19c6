"""A camera whose picture goes dark, is covered or shows another scene is told of; light and people are not."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.config import Camera
from edgeface.service.inbox import Inbox
from edgeface.service.reader import Reader
from edgeface.sources.tampering import BUSY_S, HOLD_S, TELL_S, Tampering, correlation, shrunk, texture
from edgeface.sources.transform import Preparation
from edgeface.types import Frame, Image

STARTED = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
H, W = 180, 320


def _world() -> Image:
    """Shapes of all sizes on a plain ground, larger than any view of it."""
    chance = np.random.default_rng(3)
    image = np.full((400, 900, 3), 120, np.uint8)
    for number in range(150):
        x, y, width, height = (int(chance.integers(0, most)) for most in (900, 400, 120, 90))
        colour = chance.integers(0, 256, 3).tolist()
        if number % 2:
            cv2.rectangle(image, (x, y), (x + width + 4, y + height + 4), colour, -1)
        else:
            cv2.circle(image, (x, y), width // 2 + 3, colour, -1)
    blurred: Image = cv2.GaussianBlur(image, (0, 0), 1.0).astype(np.uint8)
    return blurred


WORLD = _world()


def view(
    x: int = 30, y: int = 30, *, gain: float = 1.0, gamma: float = 1.0, noise: float = 5.0, seed: int = 0
) -> Image:
    seen = 255 * (WORLD[y : y + H, x : x + W] / 255) ** gamma * gain
    seen = seen + np.random.default_rng(seed).normal(0, noise, seen.shape)
    image: Image = np.clip(seen, 0, 255).astype(np.uint8)
    return image


def infrared(seed: int) -> Image:
    """Grey, flatter, bright in the middle, noisy: as a camera sees by its own lamp."""
    grey = view(gamma=0.6, noise=10, seed=seed).mean(-1)
    rows, columns = np.mgrid[:H, :W]
    lamp = 1.2 - 1.1 * np.hypot((columns - W / 2) / W, (rows - H / 2) / H)
    image: Image = np.repeat(np.clip(grey * lamp, 0, 255).astype(np.uint8)[..., None], 3, -1)
    return image


def plain(level: float, seed: int) -> Image:
    image: Image = np.clip(np.random.default_rng(seed).normal(level, 8, (H, W, 3)), 0, 255).astype(np.uint8)
    return image


def crowd(seed: int) -> Image:
    """Six people close to the lens, each of them elsewhere a second later."""
    image = view(seed=seed)
    for person in range(6):
        x = (seed * 37 * (person + 1) + person * 53) % W
        image[25:, max(0, x - 35) : x + 35] = (40 * person, 80, 90)
    return image


def seconds(make: Callable[[int], Image], count: int) -> list[Image]:
    return [make(seed) for seed in range(count)]


def frames(images: Sequence[Image], *, begin_s: float = 0.0, painted: float = 0.0) -> list[Frame]:
    return [
        Frame(image=image, camera="door", index=i, time_s=begin_s + i, captured_at=STARTED, painted=painted)
        for i, image in enumerate(images)
    ]


def told(*scenes: Sequence[Image], watch: Tampering | None = None) -> list[tuple[str, int]]:
    """What is said, and for how many pictures, one a second."""
    watch = Tampering() if watch is None else watch
    views = [watch.look(frame) for frame in frames([image for scene in scenes for image in scene])]
    return [(said, len(list(run))) for said, run in itertools.groupby(views)]


USUAL = seconds(lambda seed: view(seed=seed), 30)
HOLD, TELL = round(HOLD_S), round(TELL_S)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda seed: view(gain=0.02, seed=seed), "dark"),
        (lambda _: np.zeros((H, W, 3), np.uint8), "dark"),
        (lambda seed: plain(120, seed), "covered"),
        (lambda seed: cv2.GaussianBlur(view(seed=seed), (0, 0), 40), "covered"),
    ],
)
def test_dark_or_covered_until_the_scene_is_back(make: Callable[[int], Image], said: str) -> None:
    assert told(USUAL, seconds(make, 30), USUAL) == [("clear", 30 + HOLD), (said, 30 - HOLD), ("clear", 30)]


def test_a_camera_that_was_moved_is_told_for_a_minute_and_then_has_another_scene() -> None:
    there = seconds(lambda seed: view(500, 200, seed=seed), 120)
    first = 30 + HOLD
    assert told(USUAL, there) == [("clear", first), ("moved", TELL), ("clear", 150 - first - TELL)]
    assert told(USUAL, there[:40], USUAL)[1:] == [("moved", 40 - HOLD), ("clear", 30)]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(infrared, id="its lamp goes on"),
        pytest.param(lambda seed: view(gain=0.25, seed=seed), id="a lamp goes off"),
        pytest.param(lambda seed: view(gain=0.15, noise=1, seed=seed), id="a lamp goes off and little light is left"),
        pytest.param(lambda seed: view(gamma=2.0, seed=seed), id="another exposure"),
        pytest.param(lambda seed: view(noise=20, seed=seed), id="noise"),
        pytest.param(lambda seed: view(30 + seed % 3, 30 + seed % 2, seed=seed), id="it shakes in the wind"),
        pytest.param(crowd, id="people"),
    ],
)
def test_what_is_no_tampering(make: Callable[[int], Image]) -> None:
    assert told(USUAL, seconds(make, 60), USUAL) == [("clear", 120)]


def test_what_passes_before_the_lens_is_none() -> None:
    passing = [*seconds(lambda seed: plain(120, seed), HOLD), *USUAL]
    assert told(USUAL, *[passing] * 3) == [("clear", 30 + 3 * (HOLD + 30))]


@pytest.mark.parametrize("stands_s", [1, 8])
def test_who_stands_before_a_camera_while_it_begins_is_no_scene(stands_s: int) -> None:
    near = seconds(lambda seed: view(500, 200, seed=seed), stands_s)
    assert told(near, USUAL, USUAL) == [("clear", stands_s + 60)]
    assert told(near, USUAL, USUAL, near * 30)[1][0] == "moved"


def busy(x: int, seed: int) -> Image:
    """Three people before a place, each of them elsewhere a second later."""
    image = view(x, 200, seed=seed)
    for person in range(3):
        left = (seed * 37 * (person + 1) + person * 91) % W
        image[25:, left : left + 50] = (40 * person, 80, 90)
    return image


def test_a_camera_that_was_moved_to_a_busy_place_is_told_when_minutes_show_what_lasts_there() -> None:
    busy_s = round(BUSY_S)
    there, here = ([busy(x, seed) for seed in range(40)] * 10 for x in (500, 30))
    assert told(USUAL, there) == [("clear", 30 + busy_s), ("moved", TELL), ("clear", 100 - TELL)]
    assert told(seconds(lambda seed: view(30, 200, seed=seed), 30), here) == [("clear", 430)]


def test_a_cover_is_gone_when_what_is_seen_then_is_another_place_that_never_stands_still() -> None:
    covered = seconds(lambda seed: plain(120, seed), 30)
    runs = told(USUAL, covered, seconds(lambda seed: busy(500, seed), 60))
    assert [said for said, _ in runs] == ["clear", "covered", "clear"]
    assert runs[1][1] <= 30


def test_a_blank_wall_is_a_scene_of_its_own() -> None:
    assert told(seconds(lambda seed: plain(120, seed), 60), USUAL) == [("clear", 90)]


def test_an_evening_is_followed() -> None:
    hours = [view(gain=1 - 0.8 * step / 600, gamma=1 + step / 1200, seed=step) for step in range(600)]
    assert told(USUAL, hours) == [("clear", 630)]


def test_what_is_painted_over_hides_no_other_scene() -> None:
    paint = Preparation(Camera(masks=((0.0, 0.0, 0.3, 0.6), (0.6, 0.5, 1.0, 1.0))))
    here, there = (paint(view(*place).copy()) for place in ((30, 30), (500, 200)))
    assert correlation(texture(shrunk(here))[0], texture(shrunk(there))[0]) < 0.2


def test_a_silence_begins_a_suspicion_anew_and_what_was_moved_meanwhile_is_told() -> None:
    watch = Tampering()
    for frame in [*frames(USUAL), *frames([view(500, 200)] * 5, begin_s=30)]:
        watch.look(frame)
    later = frames([view(500, 200)] * 12, begin_s=300)
    assert [watch.look(frame) for frame in later] == ["clear"] * HOLD + ["moved"] * 2


def test_another_size_is_another_scene_and_no_tampering() -> None:
    assert told(USUAL, [image[:, :200] for image in USUAL]) == [("clear", 60)]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 255))
def test_any_size_of_picture_is_looked_at(height: int, width: int, level: int) -> None:
    assert told([np.full((height, width, 3), level, np.uint8)] * 3)[0][0] == "clear"


class Watched:
    """A live source with a frame a second."""

    description = "rtsp://h/x"
    live = True
    dropped = 0

    def __init__(self, images: Sequence[Image]) -> None:
        self._images = images

    def frames(self) -> Iterator[Frame]:
        yield from frames(self._images)

    def close(self) -> None: ...


def test_a_reader_says_it_once_and_goes_on_reading(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    images = [*USUAL, *seconds(lambda seed: plain(120, seed), 15), *USUAL]
    images += seconds(lambda seed: view(500, 200, seed=seed), 80)
    feed = Inbox().feed("door")
    views: list[tuple[str, int]] = []
    reader = Reader("door", lambda: Watched(images), feed, threading.Event(), once=True)
    feed.put_newest = lambda frame: views.append((reader.view, frame.index))  # type: ignore[method-assign]
    reader.run()
    assert len(views) == len(images)
    assert [record.message for record in caplog.records][1:] == [
        "camera door is covered",
        "camera door shows its scene again",
        "camera door shows another scene: it was moved, or something large stands before it",
    ]
    assert [said for said, _ in itertools.groupby(said for said, _ in views)] == [
        "clear", "covered", "clear", "moved", "clear"
    ]  # fmt: skip
