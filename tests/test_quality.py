"""How well a face can be seen: the score orders looks as a person would."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from astronaut import astronaut
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeface.people.quality import assess
from edgeface.types import Image, Quality

BOX = np.array([178, 63, 268, 176], np.float32)
POINTS = np.array([[200, 102], [247, 103], [224, 125], [201, 143], [243, 144]], np.float32)


def seen(image: Image | None = None, **values: Any) -> Quality:
    given: dict[str, Any] = {"box": BOX, "landmarks": POINTS, "score": 0.93, **values}
    return assess(astronaut() if image is None else image, given["box"], given["landmarks"], given["score"])


def scaled(factor: float) -> Quality:
    image = cv2.resize(astronaut(), None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return seen(image, box=BOX * np.float32(factor), landmarks=POINTS * np.float32(factor))


def turned(shift: float) -> Quality:
    points = POINTS.copy()
    points[2, 0] += shift
    return seen(landmarks=points)


def lit(factor: float, plus: float = 0) -> Quality:
    return seen(np.clip(astronaut() * np.float32(factor) + plus, 0, 255).astype(np.uint8))


def test_a_good_view() -> None:
    quality = seen()
    assert quality.size_px == pytest.approx(113)
    assert quality.score > 0.7
    assert quality.blur < 0.2
    assert quality.light > 0.9
    assert quality.cut_off == 0
    assert abs(quality.yaw) < 0.1


def test_sharp_before_blurred() -> None:
    views = [seen()] + [seen(cv2.GaussianBlur(astronaut(), (0, 0), sigma)) for sigma in (1.5, 3, 8)]
    assert [view.score for view in views] == sorted((view.score for view in views), reverse=True)
    assert views[-1].blur > 0.9
    assert views[-1].score < 0.5 * views[0].score


def test_big_before_small() -> None:
    views = [scaled(factor) for factor in (1.0, 0.5, 0.25)]
    assert views[0].score > views[1].score > views[2].score
    assert scaled(0.14).score == 0.0


@pytest.mark.parametrize("side", [1, -1], ids=["right", "left"])
def test_frontal_before_turned(side: int) -> None:
    views = [turned(side * shift) for shift in (0, 10, 20, 40)]
    assert [view.score for view in views] == sorted((view.score for view in views), reverse=True)
    assert [np.sign(view.yaw) for view in views[1:]] == [side] * 3
    assert abs(views[-1].yaw) == 1.0


def test_lit_before_dark_and_burnt_out() -> None:
    assert lit(1).light > lit(0.3).light > lit(0.1).light == 0.0
    assert lit(1).score > lit(0.3).score
    assert lit(1, 230).light < 0.5
    assert lit(1, 230).score < lit(1).score


def test_whole_before_cut_off() -> None:
    image = np.ascontiguousarray(astronaut()[:, 220:])
    shift = np.array([220, 0], np.float32)
    inside = np.array([0, 63, 48, 176], np.float32)
    cut = seen(image, box=inside, landmarks=POINTS - shift)
    assert cut.cut_off == pytest.approx(0.4)
    assert cut.score < seen().score
    touching = seen(np.ascontiguousarray(astronaut()[63:]), box=BOX - np.array([0, 63, 0, 63], np.float32),
                    landmarks=POINTS - np.array([0, 63], np.float32))  # fmt: skip
    assert touching.cut_off == pytest.approx(0.1)
    assert seen().score > touching.score > cut.score


def test_surer_before_less_sure() -> None:
    assert seen(score=0.9).score > seen(score=0.5).score > seen(score=0.1).score


def test_without_landmarks() -> None:
    quality = seen(landmarks=None)
    assert quality.yaw == 0
    assert quality.score > 0.7


def test_eyes_in_one_place() -> None:
    points = POINTS.copy()
    points[:3] = points[0]
    assert seen(landmarks=points).yaw == 1.0


SIDES = st.floats(0, 40, width=32)


@settings(max_examples=60)
@given(SIDES, SIDES, SIDES, SIDES, st.floats(0, 1), st.booleans(), st.integers(0, 2**32 - 1))
def test_any_box_has_a_quality(
    x1: float, y1: float, x2: float, y2: float, score: float, points: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (30, 40, 3), np.uint8)
    box = np.clip(np.array([min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)], np.float32), 0, (40, 30, 40, 30))
    if box[2] <= box[0] or box[3] <= box[1] or box[0] >= 40 or box[1] >= 30:
        return
    landmarks = rng.uniform(-50, 90, (5, 2)).astype(np.float32) if points else None
    quality = assess(image, box.astype(np.float32), landmarks, score)
    for name in ("blur", "light", "cut_off", "score"):
        assert 0 <= getattr(quality, name) <= 1, name
    assert -1 <= quality.yaw <= 1
