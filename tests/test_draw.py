"""Labels that hide nobody, and videos at the rates that cameras really have."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeface.errors import EdgefaceError
from edgeface.offline.draw import Drawing, DrawnVideo, draw_faces


def face(x: float, y: float, side: float, *lines: str) -> Drawing:
    return Drawing(box=np.array([x, y, x + side, y + side], np.float32), landmarks=None, lines=lines, number=0)


def test_the_picture_itself_is_left_alone() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    drawn = draw_faces(image, [face(50, 50, 60, "30 years")])
    assert not image.any()
    assert drawn.any()
    assert (draw_faces(image, []) == image).all()


@pytest.mark.parametrize("below", [True, False])
def test_a_label_gives_way_to_a_neighbour(below: bool) -> None:
    """A face right below (or above) another keeps its pixels."""
    image = np.zeros((400, 400, 3), np.uint8)
    first, other = face(150, 150, 80, "30 years (20-40)", "female 97%"), face(140, 236 if below else 60, 84)
    drawn = draw_faces(image, [first, other])
    x1, y1, x2, y2 = (round(edge) for edge in other.box.tolist())
    assert not drawn[y1 + 4 : y2 - 4, x1 + 4 : x2 - 4].any()


@pytest.mark.parametrize("box", [(0, 0, 40), (260, 160, 40), (-20, -20, 400)])
def test_a_label_stays_inside_the_picture(box: tuple[float, float, float]) -> None:
    drawn = draw_faces(np.zeros((200, 300, 3), np.uint8), [face(*box, "30 years (20-40)", "neutral 51%")])
    assert (drawn == np.array([64, 190, 250])).all(axis=2).sum() > 500


@pytest.mark.parametrize("step_s", [1 / 26.4339, 1001 / 30000, 1 / 24, 1 / 7.000001, 0.0, 3600.0])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_videos_of_any_rate_are_written_whole(tmp_path: Path, step_s: float, count: int) -> None:
    path = tmp_path / "new" / "drawn.mp4"
    video = DrawnVideo(path)
    for index in range(count):
        video.write(np.full((64, 96, 3), 40 * index, np.uint8), index * step_s)
    assert not path.exists(), "not before it is finished"
    video.finish()
    capture = cv2.VideoCapture(str(path))
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == count
    assert [item.name for item in path.parent.iterdir()] == ["drawn.mp4"]


def test_no_frame_makes_no_video(tmp_path: Path) -> None:
    DrawnVideo(tmp_path / "drawn.mp4").finish()
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    video = DrawnVideo(tmp_path / "drawn.mp4")
    (tmp_path / ".edgeface-drawn.mp4").mkdir()
    video.write(np.zeros((64, 96, 3), np.uint8), 0.0)
    with pytest.raises(EdgefaceError, match=r"drawn\.mp4 cannot be written; check permissions"):
        video.write(np.zeros((64, 96, 3), np.uint8), 0.04)
    video.finish()
