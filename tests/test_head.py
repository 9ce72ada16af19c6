"""Which way a head points: sign, monotony, and heads in space that a camera projects."""

from __future__ import annotations

import numpy as np
import pytest
from astronaut import astronaut
from bundles import networks
from hypothesis import given
from hypothesis import strategies as st

from edgeface.people.head import head_pose, nose_offset, off_camera
from edgeface.people.quality import assess
from edgeface.types import F32, Pose

FACE = np.array(
    [
        [-3.1512, 2.6246, 3.4657],
        [3.1512, 2.6246, 3.4657],
        [0, -1.1269, 7.4756],
        [-2.4562, -4.3426, 4.2839],
        [2.4562, -4.3426, 4.2839],
    ]
)
"""Left eye, right eye, nose, mouth of MediaPipe's canonical face, in about centimetres; x right, y up, z to us."""
BOX = np.array([176, 63, 268, 176], np.float32)
POINTS = np.array([[200, 102], [241, 102], [221, 128], [201, 143], [243, 144]], np.float32)
"""Of the astronaut."""
FAR = 1e6
angles = st.floats(-60, 60)


def rotation(yaw: float, pitch: float, roll: float) -> F32:
    y, p, r = np.radians([yaw, -pitch, roll])
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_x = [[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]]
    about_z = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    turned: F32 = np.array(about_z) @ np.array(about_x) @ np.array(about_y)
    return turned


def projected(
    yaw: float = 0,
    pitch: float = 0,
    roll: float = 0,
    *,
    distance: float = 150,
    face: F32 | None = None,
    at: tuple[float, float] = (300, 200),
    focal: float = 900,
) -> list[list[float]]:
    """Five points of a head that a pinhole camera sees, in pixels."""
    turned = (FACE if face is None else face) @ rotation(yaw, pitch, roll).T
    scale = focal / (distance - turned[:, 2])
    points: list[list[float]] = np.stack([at[0] + turned[:, 0] * scale, at[1] - turned[:, 1] * scale], axis=1).tolist()
    return points


def pose(points: list[list[float]]) -> Pose:
    found = head_pose(points)
    assert found is not None
    return found


@given(angles, st.floats(-45, 45), st.floats(-80, 80))
def test_a_head_far_away_points_where_it_was_turned(yaw: float, pitch: float, roll: float) -> None:
    seen = pose(projected(yaw, pitch, roll, distance=FAR, focal=1e7))
    assert (seen.yaw, seen.pitch, seen.roll) == pytest.approx((yaw, pitch, roll), abs=0.1)


@pytest.mark.parametrize("distance", [60, 150, 400], ids=["60 cm", "1.5 m", "4 m"])
def test_perspective_costs_few_degrees(distance: float) -> None:
    worst = max(
        np.abs(np.array([seen.yaw - yaw, seen.pitch - pitch])).max()
        for yaw in range(-45, 46, 15)
        for pitch in range(-30, 31, 10)
        for seen in [pose(projected(yaw, pitch, distance=distance))]
    )
    assert worst < 500 / distance


def test_signs() -> None:
    right, up, tilted = pose(projected(yaw=20)), pose(projected(pitch=20)), pose(projected(roll=20))
    assert right.yaw > 15
    assert up.pitch > 15
    assert tilted.roll == pytest.approx(20, abs=1)
    # By hand: the nose nearer to the eye on the right, and nearer to the eyes.
    by_hand = [[100.0, 100.0], [160.0, 100.0], [145.0, 135.0], [108.0, 170.0], [152.0, 170.0]]
    assert pose(by_hand).yaw > 10
    by_hand[2] = [130.0, 112.0]
    assert pose(by_hand).pitch > 10


@pytest.mark.parametrize("wide", [0.85, 1.0, 1.15])
@pytest.mark.parametrize("long", [0.85, 1.0, 1.15])
@pytest.mark.parametrize("deep", [0.8, 1.0, 1.25])
def test_the_further_turned_the_larger_whoevers_head_it_is(wide: float, long: float, deep: float) -> None:
    face = FACE.copy()
    face[:, 0] *= wide
    face[:, 1] *= long
    face[2, 2] = face[0, 2] + deep * (face[2, 2] - face[0, 2])
    turns = range(-60, 61, 5)
    yaws = [pose(projected(yaw=turn, face=face)).yaw for turn in turns]
    pitches = [pose(projected(pitch=turn, face=face)).pitch for turn in range(-40, 41, 5)]
    assert yaws == sorted(yaws)
    assert pitches == sorted(pitches)
    for turn, yaw in zip(turns, yaws, strict=True):
        assert np.sign(round(yaw, 6)) == np.sign(turn)


@given(angles, st.floats(-40, 40), st.floats(-30, 30), st.floats(0.2, 5))
def test_place_and_size_say_nothing(yaw: float, pitch: float, roll: float, larger: float) -> None:
    points = projected(yaw, pitch, roll)
    moved = [[x * larger + 77, y * larger - 31] for x, y in points]
    assert list(map(float, np.array(list(_values(moved))) - list(_values(points)))) == pytest.approx([0] * 3, abs=1e-4)


@given(angles, st.floats(-40, 40), st.floats(-30, 30))
def test_the_mirrored_head_points_to_the_other_side(yaw: float, pitch: float, roll: float) -> None:
    points = projected(yaw, pitch, roll)
    left, right, nose, mouth_left, mouth_right = ([-x, y] for x, y in points)
    seen, mirrored = pose(points), pose([right, left, nose, mouth_right, mouth_left])
    assert (mirrored.yaw, mirrored.pitch, mirrored.roll) == pytest.approx((-seen.yaw, seen.pitch, -seen.roll), abs=1e-5)


@given(st.lists(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=2), min_size=5, max_size=5))
def test_any_points_give_angles_or_none(points: list[list[float]]) -> None:
    seen = head_pose(points)
    if seen is None:
        assert points[0] == points[1]
        return
    assert abs(seen.yaw) <= 90
    assert abs(seen.pitch) <= 90
    assert abs(seen.roll) <= 180
    assert 0 <= off_camera(seen) <= 90.0001
    assert -1 <= nose_offset(seen) <= 1


def test_off_camera_is_the_angle_between_both() -> None:
    assert off_camera(Pose(yaw=0, pitch=0, roll=40)) == 0
    assert off_camera(Pose(yaw=-30, pitch=0, roll=0)) == pytest.approx(30)
    assert off_camera(Pose(yaw=0, pitch=25, roll=0)) == pytest.approx(25)
    assert off_camera(Pose(yaw=30, pitch=30, roll=0)) == pytest.approx(41.4, abs=0.1)


def test_quality_and_pose_have_one_yaw() -> None:
    quality = assess(astronaut(), BOX, POINTS, 0.9)
    assert quality.pose == head_pose(POINTS.tolist())
    assert quality.pose is not None
    assert quality.yaw == nose_offset(quality.pose)
    # Frontal, the offset is where the nose lies between the eyes.
    points = projected(yaw=25, distance=FAR, focal=1e7)
    (left, _), (right, _), (nose, _) = points[:3]
    assert nose_offset(pose(points)) == pytest.approx((2 * nose - left - right) / (right - left), abs=1e-3)
    assert assess(astronaut(), BOX, None, 0.9).pose is None


def test_a_real_face_and_its_mirror_image() -> None:
    found = networks("onnx", still=True)
    image = astronaut()
    poses = []
    for picture in (image, np.ascontiguousarray(image[:, ::-1])):
        faces = found.detect(picture, min_score=0.6)
        assert faces.landmarks is not None
        poses.append(pose(faces.landmarks[0].tolist()))
    straight, mirrored = poses
    assert off_camera(straight) < 20
    assert straight.yaw == pytest.approx(-mirrored.yaw, abs=10)
    assert straight.roll == pytest.approx(-mirrored.roll, abs=10)
    assert straight.pitch == pytest.approx(mirrored.pitch, abs=10)


def _values(points: list[list[float]]) -> tuple[float, float, float]:
    seen = pose(points)
    return seen.yaw, seen.pitch, seen.roll
