"""The cascade of three networks: its pure steps against a plain reading, and the whole with networks that are known."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
import pytest
from detectors import FakeRunner, entry
from hypothesis import given
from hypothesis import strategies as st

from edgeface.bundle import MtcnnHead, StageHead
from edgeface.detect import make_detector
from edgeface.detect.mtcnn import (
    WINDOWS,
    MtcnnDetector,
    cut_windows,
    drop_contained,
    move,
    prepared_sizes,
    proposals,
    pyramid_sizes,
    squares,
)
from edgeface.errors import BundleError, ConfigError
from edgeface.types import F32

SHIPPED = ((320, 192), (320, 320), (640, 384), (640, 640))
SIDES = st.integers(1, 40).map(lambda multiple: 32 * multiple)
SIZES = st.tuples(SIDES, SIDES)
RGB: dict[str, Any] = {"color": "rgb", "mean": (127.5,) * 3, "scale": 1 / 127.5}


def test_the_pyramid_as_published() -> None:
    """The sizes that the published code makes of 320x192 with faces from 20 pixels."""
    assert pyramid_sizes((320, 192), 20, 0.709) == (
        (192, 116), (137, 82), (97, 58), (69, 42), (49, 30), (35, 21), (25, 15)
    )  # fmt: skip
    assert pyramid_sizes((32, 16), 20, 0.709) == ()


@given(SIZES, st.integers(6, 80), st.floats(0.5, 0.9))
def test_every_level_holds_a_window(size_wh: tuple[int, int], smallest: int, factor: float) -> None:
    sizes = pyramid_sizes(size_wh, smallest, factor)
    assert all(min(size) >= 12 for size in sizes)
    for larger, smaller in pairwise(sizes):
        assert all(abs(b - a * factor) < 2 for a, b in zip(larger, smaller, strict=True))
    if sizes:
        assert min(sizes[-1]) * factor < 13
    else:
        assert min(size_wh) < smallest


@given(st.sets(SIZES, min_size=1, max_size=4), st.integers(6, 80))
def test_sizes_are_told_from_their_levels(sizes: set[tuple[int, int]], smallest: int) -> None:
    pyramids = [pyramid_sizes(size, smallest, 0.709) for size in sizes]
    found = prepared_sizes({level for pyramid in pyramids for level in pyramid}, smallest, 0.709)
    assert {size for size, pyramid in zip(sizes, pyramids, strict=True) if pyramid} <= set(found)
    known = {level for pyramid in pyramids for level in pyramid}
    assert all(known.issuperset(pyramid_sizes(size, smallest, 0.709)) for size in found)


def test_the_shipped_sizes_and_no_others_are_prepared() -> None:
    levels = {level for size in SHIPPED for level in pyramid_sizes(size, 20, 0.709)}
    assert prepared_sizes(levels, 20, 0.709) == SHIPPED
    assert prepared_sizes(levels - {(192, 116)}, 20, 0.709) == SHIPPED[1:]


@given(st.integers(12, 60), st.integers(12, 60), st.integers(0, 1000), st.sampled_from([0.0, 0.6, 1.1]))
def test_proposals_are_what_the_paper_says(width: int, height: int, seed: int, min_score: float) -> None:
    columns, rows = ceil((width - 2) / 2) - 4, ceil((height - 2) / 2) - 4
    dice = np.random.default_rng(seed)
    scores = dice.random((1, rows * columns), np.float32)
    offsets = dice.normal(0, 0.1, (1, rows * columns, 4)).astype(np.float32)
    size_wh = (2 * width, 3 * height)
    windows, kept, moved = proposals(
        {"scores": scores, "boxes": offsets}, (width, height), size_wh, min_score=min_score
    )
    expected = [
        ((2 * x * 2, 2 * y * 3, (2 * x + 12) * 2, (2 * y + 12) * 3), scores[0, y * columns + x], y * columns + x)
        for y in range(rows)
        for x in range(columns)
        if scores[0, y * columns + x] >= min_score
    ]
    assert windows.dtype == np.float32
    np.testing.assert_allclose(windows, np.array([e[0] for e in expected]).reshape(-1, 4))
    np.testing.assert_array_equal(kept, [e[1] for e in expected])
    np.testing.assert_array_equal(moved, offsets[0, [e[2] for e in expected]])


BOXES = st.lists(
    st.tuples(st.integers(-50, 200), st.integers(-50, 200), st.integers(1, 90), st.integers(1, 90)), max_size=12
).map(lambda rows: np.array([(x, y, x + w, y + h) for x, y, w, h in rows], np.float32).reshape(-1, 4))


@given(BOXES)
def test_squares_hold_their_windows(windows: F32) -> None:
    made = squares(windows)
    sides = made[:, 2:] - made[:, :2]
    np.testing.assert_array_equal(made, np.round(made))
    np.testing.assert_array_equal(sides[:, 0], sides[:, 1])
    np.testing.assert_array_equal(sides[:, 0], (windows[:, 2:] - windows[:, :2]).max(axis=1, initial=0))
    assert (np.abs((made[:, :2] + made[:, 2:]) / 2 - (windows[:, :2] + windows[:, 2:]) / 2) <= 0.5).all()


@given(BOXES, st.floats(-3, 3))
def test_moving_by_shares(windows: F32, share: float) -> None:
    offsets = np.tile(np.array([0, share, np.nan, np.inf], np.float32), (len(windows), 1))
    sides = windows[:, 2:] - windows[:, :2]
    moved = move(windows, offsets)
    np.testing.assert_array_equal(moved[:, [0, 2]], windows[:, [0, 2]])
    np.testing.assert_allclose(moved[:, 1], windows[:, 1] + min(max(share, -1), 1) * sides[:, 1], atol=1e-3)
    np.testing.assert_array_equal(moved[:, 3], windows[:, 3] + sides[:, 1])


@given(BOXES, st.integers(0, 100), st.sampled_from([0.3, 0.7]))
def test_of_contained_boxes_the_best_stays(boxes: F32, seed: int, most: float) -> None:
    scores = np.random.default_rng(seed).permutation(len(boxes)).astype(np.float32)
    kept: list[int] = []
    for row in sorted(range(len(boxes)), key=lambda row: -scores[row]):
        for other in kept:
            wide = min(boxes[row, 2], boxes[other, 2]) - max(boxes[row, 0], boxes[other, 0])
            high = min(boxes[row, 3], boxes[other, 3]) - max(boxes[row, 1], boxes[other, 1])
            smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (boxes[row], boxes[other]))
            if wide > 0 and high > 0 and wide * high > most * smaller:
                break
        else:
            kept.append(row)
    assert drop_contained(boxes, scores, most=most) == kept


def test_windows_are_black_beyond_the_picture() -> None:
    picture = np.random.default_rng(0).integers(1, 256, (40, 60, 3), np.uint8)
    wanted = np.array([[10, 5, 34, 29], [-12, -12, 12, 12], [48, 28, 72, 52], [500, 0, 524, 24]], np.float32)
    inside, corner, end, outside = cut_windows(picture, wanted, 24)
    np.testing.assert_array_equal(inside, picture[5:29, 10:34])
    np.testing.assert_array_equal(corner[12:, 12:], picture[:12, :12])
    np.testing.assert_array_equal(end[:12, :12], picture[28:, 48:])
    assert not corner[:12].any()
    assert not corner[:, :12].any()
    assert not end[12:].any()
    assert not outside.any()
    assert cut_windows(picture, np.zeros((0, 4), np.float32), 24).shape == (0, 24, 24, 3)


FACE = (96, 64, 144, 112)
"""Where the known networks see a face, in a picture of 320x192."""


def glow(x: F32) -> F32:
    """How much of each window is red, of tensors (N, 3, H, W) in RGB."""
    red: F32 = (x[:, 0] > 0.5).mean(axis=(1, 2), dtype=np.float32)
    return red


def known_proposals(x: F32) -> Mapping[str, F32]:
    """A window that holds all of something red is proposed, as it stands."""
    # An odd side has one window more, half a step beyond the edge.
    whole = np.pad(x[0, 0] > 0.5, ((0, 1), (0, 1)))
    red = np.lib.stride_tricks.sliding_window_view(whole, (12, 12))[::2, ::2]
    red = red[: ceil((x.shape[2] - 2) / 2) - 4, : ceil((x.shape[3] - 2) / 2) - 4]
    rim = red[..., [0, -1], :].any(axis=(2, 3)) | red[..., [0, -1]].any(axis=(2, 3))
    scores = np.where(rim, 0, 2 * red.mean(axis=(2, 3))).astype(np.float32).reshape(1, -1)
    return {"scores": scores, "boxes": np.zeros((1, scores.size, 4), np.float32)}


def known_refinement(x: F32) -> Mapping[str, F32]:
    """Edges move to where the red is."""
    offsets = []
    for window in x:
        rows, columns = np.nonzero(window[0] > 0.5)
        side = window.shape[1]
        edges = (columns.min(), rows.min(), columns.max() + 1 - side, rows.max() + 1 - side) if len(rows) else (0,) * 4
        offsets.append(np.array(edges, np.float32) / side)
    return {"scores": glow(x)[:, None] * 0.3 + 0.7, "boxes": np.array(offsets, np.float32)}


def known_output(x: F32) -> Mapping[str, F32]:
    points = np.tile(np.array([0.3, 0.7, 0.5, 0.35, 0.65, 0.4, 0.4, 0.6, 0.8, 0.8], np.float32), (len(x), 1))
    return {**known_refinement(x), "landmarks": points}


def known(
    *, sizes: tuple[tuple[int, int], ...] = (), size: str = "320x192", propose: Any = known_proposals, **head: Any
) -> tuple[MtcnnDetector, dict[str, FakeRunner]]:
    runners = {
        "mtcnn": FakeRunner(propose, sizes=sizes),
        "refine": FakeRunner(known_refinement, batches=(16,)),
        "output": FakeRunner(known_output, batches=(16,)),
    }
    first = entry("mtcnn", MtcnnHead(refine="refine", output="output", **head), multiple_of=1, **RGB)
    stages = [
        entry(name, StageHead(), task="stage", width=side, height=side, **RGB)
        for name, side in (("refine", 24), ("output", 48))
    ]
    detector = make_detector(first, runners, stages=stages, size=size)
    assert isinstance(detector, MtcnnDetector)
    return detector, runners


def red_square(scale: int = 1) -> Any:
    image = np.zeros((192 * scale, 320 * scale, 3), np.uint8)
    x1, y1, x2, y2 = (side * scale for side in FACE)
    image[y1:y2, x1:x2] = (0, 0, 255)
    return image


@pytest.mark.parametrize("scale", [1, 3], ids=["as it is", "shrunk"])
@pytest.mark.parametrize("prepared", [False, True], ids=["free", "a signature per level"])
def test_the_three_together(scale: int, prepared: bool) -> None:
    levels = pyramid_sizes((320, 192), 20, 0.709)
    detector, runners = known(sizes=levels if prepared else ())
    found = detector.detect(red_square(scale), min_score=0.5)
    assert len(found) == 1
    np.testing.assert_allclose(found.boxes[0] / scale, FACE, atol=2.5)
    assert found.landmarks is not None
    left, right, nose, *mouth = found.landmarks[0] / scale
    assert left[0] < nose[0] < right[0]
    assert left[1] < nose[1] < mouth[0][1]
    seen = [tuple(reversed(batch.shape[2:])) for batch in runners["mtcnn"].asked]
    assert seen == list(levels)
    for name, side in (("refine", 24), ("output", 48)):
        assert {batch.shape for batch in runners[name].asked} == {(16, 3, side, side)}


def test_nobody_is_zero_faces_with_landmarks() -> None:
    detector, runners = known()
    found = detector.detect(np.zeros((90, 160, 3), np.uint8), min_score=0.6)
    assert (found.boxes.shape, found.scores.shape) == ((0, 4), (0,))
    assert found.landmarks is not None
    assert found.landmarks.shape == (0, 5, 2)
    assert not runners["refine"].asked
    assert not runners["output"].asked


@pytest.mark.parametrize(("thresholds", "min_score", "count"), [
    pytest.param((0.6, 0.7, 0.7), 0.5, 1, id="as published"),
    pytest.param((1.1, 0.7, 0.7), 0.5, 0, id="nothing is proposed"),
    pytest.param((0.6, 1.1, 0.7), 0.5, 0, id="nothing is left"),
    pytest.param((0.6, 0.7, 1.1), 0.5, 0, id="nothing is sure"),
    pytest.param((0.6, 0.7, 0.7), 1.1, 0, id="not for the caller"),
])  # fmt: skip
def test_every_stage_has_its_threshold(thresholds: Any, min_score: float, count: int) -> None:
    detector, _ = known(thresholds=thresholds)
    assert len(detector.detect(red_square(), min_score=min_score)) == count


def test_a_picture_of_noise_has_an_end() -> None:
    """However many windows are proposed, so many are refined and no more."""

    def everything(x: F32) -> Mapping[str, F32]:
        count = known_count(x)
        return {"scores": np.ones((1, count), np.float32), "boxes": np.zeros((1, count, 4), np.float32)}

    detector, runners = known(propose=everything, size="640x640")
    detector.detect(np.zeros((640, 640, 3), np.uint8), min_score=0.5)
    assert len(runners["refine"].asked) == ceil(WINDOWS / 16)


def known_count(x: F32) -> int:
    height, width = x.shape[2:]
    return int((ceil((height - 2) / 2) - 4) * (ceil((width - 2) / 2) - 4))


def test_a_file_without_a_whole_pyramid_is_refused() -> None:
    with pytest.raises(BundleError, match="network mtcnn is prepared for no whole pyramid; build it again"):
        known(sizes=((192, 116), (137, 82)))


def test_a_size_that_is_not_prepared_is_refused() -> None:
    detector, _ = known(sizes=pyramid_sizes((320, 192), 20, 0.709), size="640x384")
    with pytest.raises(ConfigError, match="640x384 is not prepared in this file; choose one of: 320x192"):
        detector.detect(red_square(), min_score=0.5)
