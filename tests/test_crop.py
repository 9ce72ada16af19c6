"""Crop rules: what a network sees is where the rule says, pinned by pictures."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from edgeface.bundle import BoxCrop, CropRule, Input, LandmarkCrop, SquareCrop
from edgeface.crop import brightened, cut, reference_boxes
from edgeface.errors import BundleError
from edgeface.types import Image

TEMPLATE = ((0.3, 0.3), (0.7, 0.3), (0.5, 0.5), (0.35, 0.75), (0.65, 0.75))
BOX = np.array([100, 60, 180, 160], np.float32)


def spec(rule: CropRule, side: int = 64, color: str = "bgr") -> Input:
    return Input(color=color, mean=(0, 0, 0), scale=1, height=side, width=side, crop=rule)  # type: ignore[arg-type]


def ramp(width: int = 320, height: int = 240) -> Image:
    """Blue tells the column and green the row, so that any crop says where it came from."""
    y, x = np.mgrid[0:height, 0:width]
    shown: Image = np.stack([x * 255 / width, y * 255 / height, np.full_like(x, 128)], axis=2).round().astype(np.uint8)
    return shown


def place(chip: Image, row: int, column: int, width: int = 320, height: int = 240) -> tuple[float, float]:
    """Frame position that a chip's pixel shows."""
    return float(chip[row, column, 0]) * width / 255, float(chip[row, column, 1]) * height / 255


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(SquareCrop(), (90, 60, 190, 160), id="square of the box's height"),
        pytest.param(SquareCrop(scale=0.5), (115, 85, 165, 135), id="half of it"),
        pytest.param(BoxCrop(left=0.4, top=0.4, right=0.4, bottom=0.4), (68, 20, 212, 200), id="widened by shares"),
        pytest.param(BoxCrop(left=0, top=0, right=0, bottom=0), (100, 60, 180, 160), id="the bare box"),
    ],
)
def test_box_rules(rule: CropRule, expected: tuple[int, int, int, int]) -> None:
    chip = cut(ramp(), BOX, None, spec(rule))
    assert chip.shape == (64, 64, 3)
    x1, y1, x2, y2 = expected
    assert place(chip, 0, 0) == pytest.approx((x1, y1), abs=3)
    assert place(chip, 63, 63) == pytest.approx((x2, y2), abs=3)


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0, 7.0])
@pytest.mark.parametrize("angle", [-40, 0, 25])
def test_landmarks_come_to_lie_on_the_template(angle: float, scale: float) -> None:
    side, padding = 64, 0.2
    size = round(200 * max(1.0, scale))
    frame = np.zeros((size, size, 3), np.uint8)
    turn = cv2.getRotationMatrix2D((0, 0), angle, 1)[:, :2]
    points = ((np.array(TEMPLATE) - 0.5) * 50 * scale) @ turn.T + size / 2
    for x, y in points:
        cv2.circle(frame, (round(x - 0.5), round(y - 0.5)), max(1, round(3 * scale)), (255, 255, 255), -1)
    rule = LandmarkCrop(template=TEMPLATE, padding=padding)
    chip = cut(frame, BOX, points.astype(np.float32), spec(rule, side))
    expected = (np.array(TEMPLATE) + padding) / (1 + 2 * padding) * side
    count, _, _, centres = cv2.connectedComponentsWithStats((chip[..., 0] > 100).astype(np.uint8))
    assert count == 6
    found = sorted(map(tuple, centres[1:] + 0.5))
    np.testing.assert_allclose(found, sorted(map(tuple, expected)), atol=max(0.8, 0.7 / scale))


def test_offsets_of_another_detector_are_taken_back() -> None:
    """A detector whose points lie a tenth of an eye distance to the right gives the same chip with its offsets."""
    points = np.array(TEMPLATE, np.float32) * 100 + 60
    rule = spec(LandmarkCrop(template=TEMPLATE, padding=0.2))
    shifted = points + np.array([4, 0], np.float32)
    same = cut(ramp(), BOX, shifted, rule, offsets=((0.1, 0.0),) * 5)
    np.testing.assert_allclose(same.astype(int), cut(ramp(), BOX, points, rule).astype(int), atol=1)
    assert np.abs(cut(ramp(), BOX, shifted, rule).astype(int) - same).max() > 2


@pytest.mark.parametrize(
    "box",
    [
        pytest.param([-40, -50, 60, 50], id="over the upper left corner"),
        pytest.param([280, 200, 360, 300], id="over the lower right corner"),
        pytest.param([-100, -100, 420, 340], id="larger than the frame"),
        pytest.param([318, 238, 319, 239], id="one pixel"),
        pytest.param([5000, 5000, 5100, 5100], id="nowhere near"),
        pytest.param([10, 10, 10, 10], id="no area"),
    ],
)
@pytest.mark.parametrize("rule", [SquareCrop(), BoxCrop(left=0.4, top=0.4, right=0.4, bottom=0.4)])
def test_crops_beyond_the_frame_have_the_right_shape(rule: CropRule, box: list[float]) -> None:
    chip = cut(ramp(), np.array(box, np.float32), None, spec(rule))
    assert chip.shape == (64, 64, 3)
    assert chip.dtype == np.uint8


def test_a_border_repeats_the_edge_or_is_black() -> None:
    frame = np.full((240, 320, 3), 200, np.uint8)
    box = np.array([-50, 60, 50, 160], np.float32)
    assert (cut(frame, box, None, spec(SquareCrop())) == 200).all()
    black = cut(frame, box, None, spec(SquareCrop(fill="zero")))
    assert (black[:, :30] == 0).all()
    assert (black[:, 34:] == 200).all()


def test_colour_orders() -> None:
    frame = np.zeros((240, 320, 3), np.uint8)
    frame[..., 0] = 200
    assert cut(frame, BOX, None, spec(SquareCrop(), color="bgr"))[0, 0].tolist() == [200, 0, 0]
    assert cut(frame, BOX, None, spec(SquareCrop(), color="rgb"))[0, 0].tolist() == [0, 0, 200]
    grey = cut(frame, BOX, None, spec(SquareCrop(), color="grey"))
    assert grey.shape == (64, 64, 1)
    assert grey[0, 0, 0] == round(200 * 0.114)


@pytest.mark.parametrize("side", [40.0, 64.0, 90.0, 400.0])
@pytest.mark.parametrize("rule", [SquareCrop(), LandmarkCrop(template=TEMPLATE, padding=0.0)])
def test_a_grey_crop_is_the_coloured_one_without_its_colours(rule: CropRule, side: float) -> None:
    small = np.random.default_rng(1).integers(0, 256, (25, 25, 3), np.uint8)
    frame = cv2.resize(small, (500, 500))
    box = np.array([30, 30, 30 + side, 30 + side], np.float32)
    points = (30 + np.array(TEMPLATE) * side).astype(np.float32)
    grey = cut(frame, box, points, spec(rule, color="grey"))
    wanted = cv2.cvtColor(cut(frame, box, points, spec(rule, color="bgr")), cv2.COLOR_BGR2GRAY)
    assert np.abs(grey[..., 0].astype(int) - wanted).max() <= 2


@pytest.mark.parametrize("color", ["bgr", "rgb", "grey"])
def test_a_face_in_the_dark_is_cut_out_as_bright_as_by_day(color: str) -> None:
    frame = ramp()
    for level, wanted in ((10, 76), (18, 51), (26, 26), (120, 120)):
        flat = np.full_like(frame, level)
        chip = cut(flat, BOX, None, spec(SquareCrop(), color=color), light=0.5)
        assert abs(int(chip.mean()) - wanted) <= 6, level
        assert (cut(flat, BOX, None, spec(SquareCrop(), color=color)) == level).all()
    assert cut(np.zeros_like(frame), BOX, None, spec(SquareCrop(), color=color), light=0.5).max() == 0


def test_at_dusk_a_crop_gets_brighter_step_by_step() -> None:
    means = [brightened(np.full((8, 8), level, np.uint8)).mean() / level for level in range(40, 4, -1)]
    assert means == sorted(means)
    assert max(later / before for before, later in pairwise(means)) < 1.35


def test_a_rule_that_aligns_needs_landmarks() -> None:
    with pytest.raises(BundleError, match="needs landmarks"):
        cut(ramp(), BOX, None, spec(LandmarkCrop(template=TEMPLATE)))


def test_reference_boxes() -> None:
    boxes = np.array([[100, 100, 200, 300]], np.float32)
    np.testing.assert_allclose(reference_boxes(boxes, None), boxes)
    moved = reference_boxes(boxes, (-0.1, -0.2, 0.1, 0.05))
    np.testing.assert_allclose(moved, [[90, 60, 210, 310]])
    assert reference_boxes(np.zeros((0, 4), np.float32), (0.1, 0.1, 0.1, 0.1)).shape == (0, 4)
