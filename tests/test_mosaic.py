"""Regions of a picture side by side on one canvas, and the way back: exact, each face once, no face cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.detect.mosaic import Mosaic, Placed, Region, Sheet, compose, in_picture, joined, merged, region_around
from edgeface.types import Detections

PICTURE = (1280, 720)
CANVAS = (320, 192)


@st.composite
def regions(draw: st.DrawFn) -> Region:
    left, top = draw(st.integers(0, PICTURE[0] - 8)), draw(st.integers(0, PICTURE[1] - 8))
    right, bottom = draw(st.integers(left + 8, PICTURE[0])), draw(st.integers(top + 8, PICTURE[1]))
    return Region(left, top, right, bottom, draw(st.floats(0.05, 1)))


def detections(*boxes: tuple[float, float, float, float], score: float = 0.9) -> Detections:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(
        boxes=array, scores=np.full(len(array), score, np.float32), landmarks=np.zeros((len(array), 5, 2), np.float32)
    )


@given(st.lists(regions(), max_size=20))
def test_what_is_put_lies_on_the_canvas_and_on_nothing_else(many: list[Region]) -> None:
    sheet = Sheet(CANVAS)
    for region in many:
        sheet.put(region)
    taken = np.zeros((CANVAS[1], CANVAS[0]), int)
    for place in sheet.placed:
        assert (place.width, place.height) == place.region.drawn_wh
        part = taken[place.top : place.top + place.height, place.left : place.left + place.width]
        assert part.shape == (place.height, place.width)
        part += 1
    assert taken.max(initial=0) <= 1
    width, height = sheet.used_wh
    assert taken[:height, :width].sum() == taken.sum()
    assert (width, height) <= CANVAS


@given(regions(), st.floats(0.2, 0.8), st.floats(0.2, 0.8), st.floats(0.05, 0.15))
def test_a_face_comes_back_to_where_it_is_in_the_picture(
    region: Region, across: float, down: float, half: float
) -> None:
    sheet = Sheet(CANVAS)
    if not sheet.put(region):
        return
    (place,) = sheet.placed
    wide, tall = region.right - region.left, region.bottom - region.top
    box = (
        region.left + (across - half) * wide,
        region.top + (down - half) * tall,
        region.left + (across + half) * wide,
        region.top + (down + half) * tall,
    )
    to_x, to_y = place.width / wide, place.height / tall
    drawn = tuple(
        (value - (region.left, region.top)[i % 2]) * (to_x, to_y)[i % 2] + (place.left, place.top)[i % 2]
        for i, value in enumerate(box)
    )
    found = Detections(
        boxes=np.array([drawn], np.float32),
        scores=np.array([0.9], np.float32),
        landmarks=np.array([[drawn[:2], drawn[2:], drawn[:2], drawn[2:], drawn[:2]]], np.float32),
    )
    back = in_picture(found, sheet.placed, PICTURE)
    assert back.boxes[0] == pytest.approx(box, abs=0.02 + 1e-3 / min(to_x, to_y))
    assert back.landmarks is not None
    assert back.landmarks[0, 1] == pytest.approx(box[2:], abs=0.02 + 1e-3 / min(to_x, to_y))


def test_a_face_that_a_region_cuts_is_none_but_at_the_pictures_own_edge() -> None:
    region = Region(0, 100, 200, 300, 0.5)
    placed = [Placed(region, 50, 20, 100, 100)]
    whole, over_right, at_left, over_top, elsewhere = (
        (80.0, 50.0, 100.0, 75.0),
        (130.0, 50.0, 150.0, 75.0),
        (48.0, 50.0, 70.0, 75.0),
        (80.0, 19.0, 100.0, 45.0),
        (200.0, 50.0, 220.0, 75.0),
    )
    back = in_picture(detections(whole, over_right, at_left, over_top, elsewhere), placed, PICTURE)
    assert back.boxes.tolist() == [[60, 160, 100, 210], [0, 160, 40, 210]]


@given(st.lists(regions(), max_size=8))
def test_merged_regions_hold_all_that_the_single_ones_held_and_take_no_more_room(many: list[Region]) -> None:
    fewer = merged(many, CANVAS)
    area = sum(np.prod(region.drawn_wh) for region in fewer)
    assert area <= sum(np.prod(region.drawn_wh) for region in many)
    for one in many:
        assert any(
            region.left <= one.left
            and region.top <= one.top
            and region.right >= one.right
            and region.bottom >= one.bottom
            and region.scale >= one.scale
            for region in fewer
        )


def test_two_faces_side_by_side_share_a_region_and_two_far_apart_do_not() -> None:
    near = [region_around((x, 300), (60, 60), 0.5, PICTURE) for x in (300, 330)]
    far = [region_around((x, 300), (60, 60), 0.5, PICTURE) for x in (300, 700)]
    assert [len(merged(near, CANVAS)), len(merged(far, CANVAS))] == [1, 2]


def test_a_face_seen_in_two_passes_is_told_once() -> None:
    coarse, fine = detections((100, 100, 140, 150), score=0.7), detections((102, 103, 139, 149), (300, 300, 330, 340))
    both = joined([coarse, fine])
    assert both.boxes.tolist() == [[102, 103, 139, 149], [300, 300, 330, 340]]
    twice = detections((307, 250, 339, 290), (307, 250, 341, 291), score=0.9)
    assert joined([twice]).boxes.tolist() == [[307, 250, 339, 290]], "two regions of one pass may overlap"


def test_a_region_is_seen_on_the_canvas_as_it_is_in_the_picture() -> None:
    image = np.zeros((720, 1280, 3), np.uint8)
    image[200:300, 400:500] = (10, 120, 240)
    sheet = Sheet(CANVAS)
    assert sheet.put(Region(380, 180, 520, 320, 0.5))
    assert sheet.put(Region(0, 0, 100, 100, 0.2))
    canvas = compose(image, Mosaic(sheet.used_wh, sheet.placed))
    assert canvas.shape[:2] == sheet.used_wh[::-1]
    assert canvas[12:58, 12:58].tolist() == [[[10, 120, 240]] * 46] * 46
    assert canvas[:, 72:].max() == 0
