"""A known difference between two detectors' boxes and points is found again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.evaluation.boxes import common_faces, fit_box_to_reference, fit_landmarks_to_reference
from edgeface.crop import reference_boxes
from edgeface.engine.networks import Networks
from edgeface.errors import UsageError
from edgeface.types import F32, Detections, Image

SHARE = st.floats(-0.3, 0.3)
UPRIGHT = np.array([[-0.5, 0], [0.5, 0], [0, 0.6], [-0.4, 1.1], [0.4, 1.1]], np.float32)
"""Eyes, nose and mouth corners of an upright face, in distances between the eyes."""


def faces(count: int, rng: np.random.Generator) -> F32:
    corners = rng.uniform(0, 800, (count, 2))
    sizes = rng.uniform(40, 300, (count, 1)) * [1.0, 1.25]
    return np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)


@given(st.tuples(SHARE, SHARE, SHARE, SHARE), st.integers(1, 60))
def test_a_known_shift_of_boxes_is_found_and_undone(shares: tuple[float, float, float, float], count: int) -> None:
    boxes = faces(count, np.random.default_rng(4))
    reference = reference_boxes(boxes, shares)
    fitted = fit_box_to_reference(boxes, reference)
    assert fitted == pytest.approx(shares, abs=2e-4)
    np.testing.assert_allclose(reference_boxes(boxes, fitted), reference, atol=0.1)


def test_noise_and_a_tenth_of_strangers_move_the_median_little() -> None:
    rng = np.random.default_rng(8)
    shares = (-0.05, 0.12, 0.02, -0.08)
    boxes = faces(500, rng)
    reference = reference_boxes(boxes, shares) + rng.normal(0, 2, boxes.shape).astype(np.float32)
    reference[::10] += 150
    assert fit_box_to_reference(boxes, reference) == pytest.approx(shares, abs=0.01)


def turned(degrees: float, length: float, at: tuple[float, float]) -> F32:
    """Five points of a face with this line of eyes."""
    a = np.radians(degrees)
    rotation = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    points: F32 = (UPRIGHT @ rotation * length + at).astype(np.float32)
    return points


@pytest.mark.parametrize("noise_px", [0.0, 1.5])
def test_points_are_fitted_in_the_upright_face(noise_px: float) -> None:
    """However large a face is and however the head leans, the offset is the same in its own terms."""
    rng = np.random.default_rng(3)
    offsets = np.array([[0.05, -0.1], [-0.04, 0.02], [0, 0.15], [0.1, 0.1], [-0.2, 0]])
    own, reference = [], []
    for degrees, length in zip(rng.uniform(-60, 60, 400), rng.uniform(40, 120, 400), strict=True):
        theirs = turned(float(degrees), float(length), (300, 200))
        a = np.radians(degrees)
        rotation = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
        reference.append(theirs)
        own.append(theirs + offsets @ rotation * length + rng.normal(0, noise_px, (5, 2)))
    fitted = fit_landmarks_to_reference(np.array(own, np.float32), np.array(reference, np.float32))
    np.testing.assert_allclose(fitted, offsets, atol=1e-3 if noise_px == 0 else 0.01)


@pytest.mark.parametrize(
    "nobody",
    [
        pytest.param(np.array([], np.float32), id="an empty list"),
        pytest.param(np.zeros((0, 4), np.float32), id="no boxes"),
        pytest.param(np.zeros((0, 5, 2), np.float32), id="no points"),
    ],
)
def test_no_face_in_common_is_one_line(nobody: F32) -> None:
    for fit in (fit_box_to_reference, fit_landmarks_to_reference):
        with pytest.raises(UsageError) as caught:
            fit(nobody, nobody)
        assert str(caught.value) == (
            "both detectors found no face in common, so nothing can be fitted; take more pictures"
        )


class Finds:
    """A detector that finds what it is told, picture by picture."""

    def __init__(self, *found: Sequence[Sequence[float]]) -> None:
        self._found = iter(found)

    def detect(self, _: Image, *, min_score: float) -> Detections:
        boxes = np.array(next(self._found), np.float32).reshape(-1, 4)
        return Detections(boxes=boxes, scores=np.full(len(boxes), max(0.9, min_score), np.float32))


@pytest.mark.parametrize(
    ("own", "theirs", "pairs"),
    [
        pytest.param([], [], [], id="nobody"),
        pytest.param([[0, 0, 50, 50]], [], [], id="only one of them"),
        pytest.param([], [[0, 0, 50, 50]], [], id="only the other"),
        pytest.param([[0, 0, 50, 60]], [[300, 0, 350, 60], [2, 1, 52, 61]], [(0, 1)], id="the one that overlaps"),
        pytest.param([[0, 0, 50, 60]], [[40, 40, 90, 100]], [], id="hardly touching"),
        pytest.param([[0, 0, 39, 60]], [[0, 0, 39, 60]], [], id="too small to measure on"),
        pytest.param(
            [[0, 0, 50, 60], [200, 0, 260, 60]],
            [[200, 0, 260, 60], [0, 0, 50, 60]],
            [(0, 1), (1, 0)],
            id="two in another order",
        ),
    ],
)
def test_common_faces(own: list[list[float]], theirs: list[list[float]], pairs: list[tuple[int, int]]) -> None:
    image = np.zeros((100, 400, 3), np.uint8)
    mine, other = (cast(Networks, Finds(boxes)) for boxes in (own, theirs))
    (found,) = common_faces([image], mine, other)
    assert (found.number, found.pairs) == (0, pairs)
