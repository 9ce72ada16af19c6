"""Boxes, letterboxes, similarity transforms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeface.geometry import iou, letterbox, nms, share_of_box, shrink, similarity
from edgeface.types import F32

NO_BOXES = np.zeros((0, 4), np.float32)


def box(*edges: float) -> F32:
    return np.array([edges], np.float32)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param(box(0, 0, 10, 10), box(0, 0, 10, 10), [[1]], id="same"),
        pytest.param(box(0, 0, 10, 10), box(5, 0, 15, 10), [[1 / 3]], id="half over"),
        pytest.param(box(0, 0, 10, 10), box(10, 0, 20, 10), [[0]], id="edges touch"),
        pytest.param(box(3, 3, 3, 9), box(3, 3, 3, 9), [[0]], id="no area"),
        pytest.param(box(9, 9, 1, 1), box(0, 0, 10, 10), [[0]], id="inside out"),
        pytest.param(NO_BOXES, box(0, 0, 1, 1), np.zeros((0, 1)), id="nobody here"),
        pytest.param(box(0, 0, 1, 1), NO_BOXES, np.zeros((1, 0)), id="nobody there"),
    ],
)
def test_iou(a: F32, b: F32, expected: object) -> None:
    np.testing.assert_allclose(iou(a, b), np.array(expected), atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 1200])
def test_suppression_keeps_the_best_and_the_apart(count: int) -> None:
    rng = np.random.default_rng(count)
    corner = rng.uniform(0, 400, (count, 2)).astype(np.float32)
    boxes = np.concatenate([corner, corner + 60], axis=1)
    scores = rng.uniform(0, 1, count).astype(np.float32)
    kept = nms(boxes, scores, max_iou=0.4)
    assert list(scores[kept]) == sorted(scores[kept], reverse=True)
    overlaps = iou(boxes[kept], boxes[kept]) - np.eye(len(kept))
    assert (overlaps <= 0.4).all()
    dropped = sorted(set(range(count)) - set(kept.tolist()))
    for row in dropped:
        better = kept[scores[kept] >= scores[row]]
        assert iou(boxes[row : row + 1], boxes[better]).max() > 0.4


sizes = st.tuples(st.integers(1, 4000), st.integers(1, 4000))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(sizes, st.sampled_from([(320, 192), (320, 320), (640, 384), (640, 640)]))
def test_a_letterbox_shrinks_never_enlarges_and_finds_the_way_back(
    image_wh: tuple[int, int], size_wh: tuple[int, int]
) -> None:
    fit = letterbox(image_wh, size_wh)
    assert all(1 <= c <= s for c, s in zip(fit.content_wh, size_wh, strict=True))
    assert all(c <= i for c, i in zip(fit.content_wh, image_wh, strict=True))
    back = np.array(fit.content_wh) / np.array(fit.scale)
    np.testing.assert_allclose(back, image_wh, rtol=1e-6)
    if max(image_wh) / min(image_wh) < 20 and min(fit.content_wh) > 20:
        assert fit.scale[0] == pytest.approx(fit.scale[1], rel=0.06)


@pytest.mark.parametrize("factor", [1, 1.5, 2, 3, 4, 6])
def test_shrinking_keeps_the_picture_in_its_place(factor: float) -> None:
    width, height = 320, 180
    y, x = np.mgrid[0 : round(height * factor), 0 : round(width * factor)]
    ramp = np.stack([x / factor / width * 255, y / factor / height * 255, x * 0], axis=2)
    ramp = ramp.round().astype(np.uint8)
    small = shrink(ramp, (width, height))
    y, x = np.mgrid[0:height, 0:width] + 0.5 - 0.5 / factor
    np.testing.assert_allclose(small[..., 0], x / width * 255, atol=1.6)
    np.testing.assert_allclose(small[..., 1], y / height * 255, atol=1.6)


def test_shrinking_into_a_canvas_writes_there() -> None:
    canvas = np.zeros((192, 320, 3), np.uint8)
    image = np.full((540, 960, 3), 77, np.uint8)
    out = shrink(image, (320, 180), out=canvas[:180])
    assert (canvas[:180] == 77).all()
    assert (canvas[180:] == 0).all()
    assert np.shares_memory(out, canvas)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.floats(-3.1, 3.1), st.floats(0.05, 20), st.floats(-500, 500), st.floats(-500, 500))
def test_a_similarity_is_found_again(angle: float, scale: float, x: float, y: float) -> None:
    points = np.array([[30, 50], [65, 50], [48, 70], [33, 92], [62, 92]], np.float32)
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (points @ rotation.T + [x, y]).astype(np.float32)
    found = similarity(points, moved)
    np.testing.assert_allclose(found[:, :2], rotation, atol=1e-3 * scale + 1e-4)
    np.testing.assert_allclose(points @ found[:, :2].T + found[:, 2], moved, atol=2e-3 * max(scale, 1) * 100)


def test_a_similarity_of_one_point_does_not_fail() -> None:
    same = np.full((5, 2), 7, np.float32)
    assert np.isfinite(similarity(same, same)).all()


def test_shares_move_edges_outwards() -> None:
    moved = share_of_box(box(10, 20, 30, 60), (0.5, 0.25, 1.0, 0.0))
    np.testing.assert_allclose(moved, box(0, 10, 50, 60))
