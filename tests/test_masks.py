"""What is painted over before anything looks, and the sources that do it."""

from __future__ import annotations

import random
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from astronaut import write_film, write_picture
from bundles import networks
from hypothesis import given, settings
from hypothesis import strategies as st
from test_live import Script

from edgeface.config import Camera, Config, Limits, load_config
from edgeface.engine.turn import Worker
from edgeface.errors import ConfigError
from edgeface.people.quality import brightness
from edgeface.sources import open_source
from edgeface.sources.live import LiveSource
from edgeface.sources.masks import Painter, blocks, cover
from edgeface.types import Image

STARTED = datetime(2026, 3, 14, 12, tzinfo=timezone.utc)
SHARES = st.floats(0, 1, width=32)


def white(height: int = 60, width: int = 80) -> Image:
    return np.full((height, width, 3), 255, np.uint8)


def painted(image: Image, **shapes: object) -> Image:
    painter = Painter(shapes.get("masks", ()), shapes.get("regions", ()))  # type: ignore[arg-type]
    painter.paint(image)
    return image


def test_a_mask_is_black_and_the_rest_is_as_it_was() -> None:
    image = painted(white(), masks=((0.25, 0.5, 0.75, 1.0),))
    assert not image[30:, 20:60].any()
    image[30:, 20:60] = 255
    assert (image == 255).all()


def test_outside_of_all_regions_is_black_and_a_mask_within_one_is_too() -> None:
    image = painted(white(), regions=((0, 0, 0.25, 1), (0.5, 0, 1, 1)), masks=((0.75, 0, 1, 0.5),))
    seen = image[..., 0] > 0
    assert seen[:, :20].all() and seen[:, 40:60].all() and seen[30:, 60:].all()
    assert not seen[:, 20:40].any() and not seen[:30, 60:].any()


def test_a_polygon_covers_all_that_it_touches_and_shows_only_what_it_holds() -> None:
    triangle = (0.1, 0.1, 0.9, 0.1, 0.1, 0.9)
    rows, columns = np.mgrid[0:60, 0:80]
    inside = ((columns + 0.5) / 80 > 0.1) & ((rows + 0.5) / 60 > 0.1) & ((columns + 0.5) / 80 + (rows + 0.5) / 60 < 1.0)
    masked = painted(white(), masks=(triangle,))[..., 0] == 0
    assert masked[inside].all()
    assert masked.sum() < 1.35 * inside.sum()
    shown = painted(white(), regions=(triangle,))[..., 0] > 0
    assert inside[shown].all()
    assert shown.sum() > 0.65 * inside.sum()


@given(st.lists(st.tuples(SHARES, SHARES, SHARES, SHARES), max_size=3), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_blocks_are_exactly_what_is_covered(shapes: list[tuple[float, ...]], height: int, width: int) -> None:
    covered = cover(shapes, (), height=height, width=width)
    again = np.zeros_like(covered)
    for block in blocks(covered):
        assert not again[block].any()
        again[block] = 1
    assert (again == covered).all()


def test_another_size_of_picture_is_painted_anew() -> None:
    painter = Painter(((0, 0, 0.5, 1),), ())
    for height, width in ((60, 80), (30, 20), (60, 80)):
        image = white(height, width)
        painter.paint(image)
        assert not image[:, : width // 2].any() and image[:, width // 2 :].all()
        assert painter.share == 0.5


def test_without_masks_no_pixel_is_touched() -> None:
    image = white()
    image.flags.writeable = False
    assert (painted(image) == 255).all()


def test_brightness_is_that_of_the_rest() -> None:
    image = np.full((100, 100, 3), 120, np.uint8)
    painter = Painter(((0, 0, 0.6, 1),), ())
    painter.paint(image)
    assert brightness(image, painted=painter.share) == pytest.approx(120 / 255, abs=0.02)
    assert brightness(np.zeros((4, 4, 3), np.uint8), painted=1.0) == 0.0


def test_what_comes_from_a_camera_was_turned_mirrored_and_then_painted() -> None:
    camera = Camera(source=0, rotate=90, mirror=True, masks=((0, 0, 1, 0.5),), open_timeout=5.0)
    frames = LiveSource("door", camera, Script(200)).frames()
    frame = next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert frame.image.shape == (6, 4, 3)
    assert not frame.image[:3].any() and (frame.image[3:] == 200).all()
    assert frame.painted == 0.5


@pytest.mark.parametrize("still", [False, True])
def test_what_comes_from_a_file_was_painted(tmp_path: Path, still: bool) -> None:
    path = write_picture(tmp_path / "one.png") if still else write_film(tmp_path / "film.mp4")
    camera = Camera(source=str(path), masks=((0, 0, 0.5, 1),))
    for frame in open_source("main", camera, limits=Limits(), started_at=STARTED).frames():
        half = frame.image.shape[1] // 2
        assert not frame.image[:, :half].any() and frame.image[:, half:].any()


def visits(film: Path, **shapes: object) -> int:
    camera = Camera(source=str(film), **shapes)  # type: ignore[arg-type]
    ids = random.Random(7)
    worker = Worker(
        networks("onnx", still=False),
        Config(cameras={"main": camera}),
        ["main"],
        new_id=lambda: f"{ids.getrandbits(32):08x}",
        clock=lambda: 0.0,
    )
    source = open_source("main", camera, limits=Limits(), started_at=STARTED)
    bodies = [body for frame in source.frames() for body in worker.turn([frame])]
    return sum(body.event == "start" for body in bodies)


def test_nobody_is_found_behind_a_mask_or_outside_of_the_region(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4")
    assert visits(film) == 1
    assert visits(film, masks=((0, 0, 1, 1),)) == 0
    assert visits(film, regions=((0, 0.9, 0.1, 1.0),)) == 0


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("[[0.5, 0, 0.2, 1]]", "cameras.main.masks[0] is no rectangle"),
        ("[[0, 0, 1, 1], [0, 0, 1, 0, 1]]", "cameras.main.masks[1] has 5 numbers"),
        ("[[0, 0, 0.5, 0.5, 1, 1]]", "cameras.main.masks[0] has no inside"),
        ("[[0, 0, 640, 360]]", "shares of width and height"),
        ("[[0, 0, 1]]", "shares of width and height"),
        ("[0, 0, 1, 1]", "each shape in its own brackets"),
    ],
)
def test_a_shape_that_cannot_be_is_one_line(tmp_path: Path, value: str, words: str) -> None:
    path = tmp_path / "edgeface.toml"
    path.write_text(f"[cameras.main]\nmasks = {value}\n")
    with pytest.raises(ConfigError, match=r"cameras\.(main|<id>)\.masks") as caught:
        load_config(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_masks_come_from_the_command_line_too() -> None:
    config = load_config(overrides={"cameras.main.masks": [[0, 0, 0.5, 1], [0, 0, 1, 0, 1, 1]]})
    assert config.cameras["main"].masks == ((0, 0, 0.5, 1), (0, 0, 1, 0, 1, 1))
