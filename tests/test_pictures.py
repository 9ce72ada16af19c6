"""A folder of pictures as a source, and what counts as a picture in it."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.config import Camera, Limits
from edgeface.errors import ImageError, SourceError, UsageError
from edgeface.sources import Source, files_in, open_source
from edgeface.sources.pictures import natural

STARTED = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def write(path: Path, value: int = 0) -> Path:
    done, data = cv2.imencode(".png", np.full((6, 8, 3), value, np.uint8))
    assert done
    path.write_bytes(data.tobytes())
    return path


def source_of(path: Path, **options: object) -> Source:
    camera = Camera(source=str(path), **options)  # type: ignore[arg-type]
    return open_source("door", camera, limits=Limits(), started_at=STARTED)


def test_natural_order() -> None:
    names = [
        "a10.png",
        "a2.png",
        "A1.png",
        "b.png",
        "10.png",
        "9.png",
        "a2b10.png",
        "a2b9.png",
        "\u00e4.png",
        "a02.png",
    ]
    wanted = [
        "9.png",
        "10.png",
        "A1.png",
        "a02.png",
        "a2.png",
        "a2b9.png",
        "a2b10.png",
        "a10.png",
        "b.png",
        "\u00e4.png",
    ]
    assert [path.name for path in sorted(map(Path, names), key=natural)] == wanted


@given(st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), max_size=8))
def test_any_names_can_be_ordered(names: list[str]) -> None:
    paths = [Path("folder") / name for name in names]
    backwards = paths[::-1]
    assert sorted(paths, key=natural) == sorted(backwards, key=natural)


def test_only_pictures_and_videos_count(tmp_path: Path) -> None:
    for name in ("2.png", "10.png", ".hidden.png", "no_suffix"):
        write(tmp_path / name)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "broken.jpg").write_bytes(b"")
    (tmp_path / "dangling.png").symlink_to("nowhere.png")
    (tmp_path / "link.png").symlink_to("2.png")
    (tmp_path / "edgeface-out").mkdir()
    write(tmp_path / "edgeface-out" / "2.faces.png")
    found = {path.name: still for path, still in files_in(tmp_path)}
    assert list(found) == ["2.png", "10.png", "broken.jpg", "clip.mp4", "dangling.png", "link.png", "no_suffix"]
    assert [name for name, still in found.items() if not still] == ["clip.mp4"]
    with pytest.raises(UsageError, match="edgeface-out holds no pictures or videos"):
        files_in(tmp_path / "edgeface-out")


def test_pictures_come_one_second_apart(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        write(tmp_path / f"{number}.png", number)
    source = source_of(tmp_path, rotate=90)
    seen = list(source.frames())
    assert not source.live
    assert [int(frame.image[0, 0, 0]) for frame in seen] == [1, 2, 10]
    assert [(frame.index, frame.time_s) for frame in seen] == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert [frame.captured_at for frame in seen] == [STARTED + timedelta(seconds=n) for n in range(3)]
    assert seen[0].image.shape == (8, 6, 3)
    assert all(frame.still for frame in seen)


def test_a_bad_picture_is_told_and_the_rest_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 3):
        write(tmp_path / f"{number}.png", number)
    (tmp_path / "2.png").write_bytes(b"")
    seen: list[int] = []
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(SourceError, match="1 of 3 pictures of .* could not be read; see the lines above"),
    ):
        seen.extend(int(frame.image[0, 0, 0]) for frame in source_of(tmp_path).frames())
    assert seen == [1, 3]
    assert "2.png is empty; copy it again" in caplog.text


def test_one_bad_picture_alone(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ImageError, match="a.png is empty"):
        list(source_of(tmp_path / "a.png").frames())


def test_an_empty_folder_is_a_wrong_argument(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="holds no pictures or videos; give a folder with pictures or videos, or a file"
    ):
        source_of(tmp_path)


def test_close_stops_after_the_current_picture(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write(tmp_path / f"{number}.png")
    source = source_of(tmp_path)
    frames = source.frames()
    next(frames)
    source.close()
    assert list(frames) == []
