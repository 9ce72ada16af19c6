"""Boxes, letterboxes, similarity transforms."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeface.geometry import enlarge, iou, letterbox, nms, share_of_box, shrink, similarity
from edgeface.sources.picamera2_pipe import small_size
from edgeface.types import F32, Detections

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


@pytest.mark.parametrize("times", [1, 20])
def test_suppression_drops_what_lies_nowhere_and_it_alone(times: int) -> None:
    boxes = np.array([[0, 0, 9, 9], [0, 0, np.nan, 9], [50, 50, np.inf, 60], [1, 0, 10, 9], [20, 0, 29, 9]], np.float32)
    scores = np.array([0.5, 0.9, 0.8, 0.6, 0.0], np.float32)
    kept = nms(np.tile(boxes, (times, 1)), np.tile(scores, times), max_iou=0.4)
    assert kept.tolist() == [3, 4]


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
    a, b, *shift = similarity(points.tolist(), moved.tolist())
    found = np.array([[a, -b], [b, a]])
    np.testing.assert_allclose(found, rotation, atol=1e-3 * scale + 1e-4)
    np.testing.assert_allclose(points @ found.T + shift, moved, atol=2e-3 * max(scale, 1) * 100)


def test_a_similarity_of_one_point_does_not_fail() -> None:
    same = [[7.0, 7.0]] * 5
    assert np.isfinite(similarity(same, same)).all()


def test_shares_move_edges_outwards() -> None:
    moved = share_of_box(box(10, 20, 30, 60), (0.5, 0.25, 1.0, 0.0))
    np.testing.assert_allclose(moved, box(0, 10, 50, 60))


large_wh = st.tuples(*[st.integers(4, 2048).map(lambda half: 2 * half)] * 2).filter(lambda wh: max(wh) > 640)
share = st.floats(0, 1, width=32)


@given(large_wh, st.lists(st.tuples(share, share, share, share), max_size=4))
def test_faces_of_a_small_picture_lie_in_the_large_one_where_they_were(
    image_wh: tuple[int, int], shares: list[tuple[float, ...]]
) -> None:
    small_wh = small_size(image_wh)
    assert small_wh is not None
    corners = np.sort(np.array(shares, np.float64).reshape(-1, 2, 2), axis=1)
    boxes = (corners * small_wh).reshape(-1, 4).astype(np.float32)
    points = np.repeat(boxes.reshape(-1, 2, 2), 3, axis=1)[:, :5]
    found = Detections(boxes=boxes, scores=np.ones(len(boxes), np.float32), landmarks=points)
    seen = enlarge(found, small_wh, image_wh)
    assert seen.boxes.dtype == np.float32 and seen.landmarks is not None
    wanted = corners * image_wh
    np.testing.assert_allclose(seen.boxes.reshape(-1, 2, 2), wanted, rtol=0, atol=2e-3)
    np.testing.assert_allclose(seen.landmarks, np.repeat(wanted, 3, axis=1)[:, :5], rtol=0, atol=2e-3)
    # Inside; the whole picture is the whole picture, to the last bit.
    assert (seen.boxes >= 0).all() and (seen.boxes.reshape(-1, 2, 2) <= image_wh).all()
    whole = Detections(boxes=box(0, 0, *small_wh), scores=np.ones(1, np.float32))
    assert enlarge(whole, small_wh, image_wh).boxes.tolist() == [[0, 0, *image_wh]]
    assert enlarge(whole, small_wh, image_wh).landmarks is None


@settings(max_examples=40)
@given(st.sampled_from([(1280, 720), (1920, 1080), (1640, 1232), (1296, 730), (720, 1280)]), st.data())
def test_a_mark_that_the_hardware_made_small_is_found_again(image_wh: tuple[int, int], data: st.DataObject) -> None:
    """Nothing is shifted by half a pixel: the middle of a mark in the small picture is its middle in the large one."""
    small_wh = small_size(image_wh)
    assert small_wh is not None
    x1, y1 = (data.draw(st.integers(0, side - 41)) for side in image_wh)
    picture = np.zeros((image_wh[1], image_wh[0]), np.uint8)
    picture[y1 : y1 + 40, x1 : x1 + 40] = 255
    small = cv2.resize(picture, small_wh, interpolation=cv2.INTER_AREA).astype(np.float64)
    x = (small.sum(0) @ (np.arange(small_wh[0]) + 0.5)) / small.sum()
    y = (small.sum(1) @ (np.arange(small_wh[1]) + 0.5)) / small.sum()
    found = Detections(boxes=box(x, y, x, y), scores=np.ones(1, np.float32))
    np.testing.assert_allclose(enlarge(found, small_wh, image_wh).boxes[0, :2], (x1 + 20, y1 + 20), atol=0.1)
