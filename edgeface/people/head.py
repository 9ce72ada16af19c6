"""Which way a head points, from the five points of a face.

Three vectors of a face and where they lie in the picture are enough under scaled orthography (a face is shallow against
its distance): from eye to eye, from between the eyes to the middle of the mouth, and from there to the tip of the nose
are known of a head, so the picture gives the three columns of the projection, and the third is where the face points.
This is the first step of POS (DeMenthon and Davis 1995, "Model-based object pose in 25 lines of code"); that the nose
above the plane of eyes and mouth tells the direction is Gee and Cipolla 1994, "Determining the gaze of faces in
images". Each angle is a ratio of two lengths that belong together, so that the further somebody turns the larger it is,
whatever the proportions of the face.

It is the head that points, not the eyes: nobody's gaze is measured. No set of faces with angles stands behind it, so
its error is not measured. On heads that a camera projects it is exact but for perspective (``tests/test_head.py``).
"""

from __future__ import annotations

from math import acos, atan2, cos, degrees, hypot, radians, sin, tan

from edgeface.types import Pose

Points = list[list[float]]
"""x and y of the five landmarks: left eye, right eye, nose, left and right mouth corner, as seen in the image."""

EYE = 3.1512
"""Half the distance of the eyes, in the units of the lengths below: those of the canonical face model of MediaPipe
(Apache-2.0), where an eye is the middle between its corners (vertices 33, 133) and the nose its tip (vertex 1)."""
MOUTH_UP, MOUTH_FRONT = -6.9672, 0.8183
NOSE_UP, NOSE_FRONT = -3.7515, 4.0099
"""Middle of the mouth's corners (vertices 61, 291) and tip of the nose, from the middle of the eyes: along the axis
through the head upwards, and towards the front."""
_DETERMINANT = MOUTH_UP * NOSE_FRONT - MOUTH_FRONT * NOSE_UP


def head_pose(points: Points) -> Pose | None:
    """Give the pose of a head; None where the eyes are one point.

    Yaw is about the head's own axis, then pitch about the picture's horizontal, then roll in the picture. Beyond 90
    degrees nothing can be told: a face that turns away looks like one that comes back.
    """
    (lx, ly), (rx, ry), (nx, ny), (ax, ay), (bx, by) = points
    mid_x, mid_y = (lx + rx) / 2, (ly + ry) / 2
    # With y upwards from here on.
    across_x, across_y = (rx - lx) / (2 * EYE), (ly - ry) / (2 * EYE)
    if across_x == across_y == 0:
        return None
    mouth_x, mouth_y = (ax + bx) / 2 - mid_x, mid_y - (ay + by) / 2
    nose_x, nose_y = nx - mid_x, mid_y - ny
    up_x = (NOSE_FRONT * mouth_x - MOUTH_FRONT * nose_x) / _DETERMINANT
    up_y = (NOSE_FRONT * mouth_y - MOUTH_FRONT * nose_y) / _DETERMINANT
    front_x = (MOUTH_UP * nose_x - NOSE_UP * mouth_x) / _DETERMINANT
    front_y = (MOUTH_UP * nose_y - NOSE_UP * mouth_y) / _DETERMINANT
    roll = atan2(-up_x, up_y)
    up = hypot(up_x, up_y)
    across_x, across_y = _turned(across_x, across_y, -roll)
    front_x, front_y = _turned(front_x, front_y, -roll)
    # What is left is yaw and pitch: across (cos yaw, -sin yaw sin pitch), up (0, cos pitch), front (sin yaw, cos yaw
    # sin pitch), all times the scale.
    yaw = atan2(front_x, max(across_x, 0.0))
    pitch = atan2(cos(yaw) * front_y - sin(yaw) * across_y, up)
    return Pose(yaw=degrees(yaw), pitch=degrees(pitch), roll=degrees(roll))


def _turned(x: float, y: float, angle: float) -> tuple[float, float]:
    return cos(angle) * x - sin(angle) * y, sin(angle) * x + cos(angle) * y


def nose_offset(pose: Pose) -> float:
    """Where the nose lies between the eyes of a head that looks neither up nor down: 0 midway, 1 over the right eye.

    At most 1 and at least -1: over an eye (38 degrees) little of a face is left to judge.
    """
    return min(1.0, max(-1.0, tan(radians(pose.yaw)) * NOSE_FRONT / EYE))


def off_camera(pose: Pose) -> float:
    """Degrees between where a head points and the camera, 0 to 90."""
    return degrees(acos(cos(radians(pose.yaw)) * cos(radians(pose.pitch))))
