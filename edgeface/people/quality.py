"""How well a face can be seen: decides the weight of an answer, and when to sample again.

Every term is a ramp between a value at which a sample is worth nothing and one at which it is as good as it gets. The
ramps are judgements, but powers of the terms that were fitted to faces gain nothing over one for each: ``python -m
converters evaluate quality``, docs/evaluation.md. ``score`` orders samples of one person, it is no probability.
"""

from __future__ import annotations

from math import prod

import cv2
import msgspec

from edgeface.people.head import Points, head_pose, nose_offset
from edgeface.types import F32, Image, Quality

SIZE_PX = (16.0, 96.0)
"""Height of a face at which a sample is worth nothing, and everything. The networks see 32 to 64 pixels."""
SHARPNESS = (15.0, 150.0)
"""Variance of the Laplacian on a patch of about 48 pixels."""
DARK, BRIGHT = (20.0, 60.0), (250.0, 215.0)
PATCH_PX = 48
BRIGHTNESS_PX = 64
"""Rows and columns at most of which a picture's brightness is the mean."""


def assess(image: Image, box: F32, landmarks: F32 | None, score: float, *, like: Quality | None = None) -> Quality:
    """Quality of one face in one frame.

    Parameters
    ----------
    image : the whole frame, uint8 (H, W, 3), BGR
    box : float32 (4,), inside the frame
    landmarks : float32 (5, 2) or None
    score : the detector's, 0 to 1
    like : a view of the same face a moment ago, whose blur and light still hold
    """
    x1, y1, x2, y2 = box.tolist()
    points: Points | None = None if landmarks is None else landmarks.tolist()
    size_px = y2 - y1
    blur, light = (like.blur, like.light) if like is not None else _blur_and_light(_patch(image, x1, y1, x2, y2))
    pose = None if points is None else head_pose(points)
    # Eyes in one place are no face that could be judged.
    yaw = nose_offset(pose) if pose is not None else float(points is not None)
    cut_off = _cut_off(x1, y1, x2, y2, points, (image.shape[1], image.shape[0]))
    seen = Quality(size_px=size_px, blur=blur, yaw=yaw, light=light, cut_off=cut_off, score=score, pose=pose)
    return msgspec.structs.replace(seen, score=score * prod(factors(seen)))


def factors(quality: Quality) -> tuple[float, float, float, float, float]:
    """What size, blur, yaw, light and a missing part each leave of a view's worth, 0 to 1."""
    return (
        _ramp(quality.size_px, *SIZE_PX),
        1 - 0.8 * quality.blur,
        1 - 0.7 * abs(quality.yaw),
        0.3 + 0.7 * quality.light,
        1 - quality.cut_off,
    )


def brightness(image: Image, *, painted: float = 0.0) -> float:
    """Mean of a picture's pixels, 0 black to 1 white, from some thousand of them.

    ``painted`` is the share that was painted black: the rest is told of, nothing of a picture that has none.
    """
    step = max(1, min(image.shape[:2]) // BRIGHTNESS_PX)
    mean = float(image[::step, ::step].mean()) / 255
    return min(1.0, mean / (1 - painted)) if painted < 1 else 0.0


def _blur_and_light(patch: Image) -> tuple[float, float]:
    mean = float(cv2.mean(patch)[0])
    _, deviation = cv2.meanStdDev(cv2.Laplacian(patch, cv2.CV_16S))
    sharp = float(deviation[0, 0]) ** 2
    return 1 - _ramp(sharp, *SHARPNESS), min(_ramp(mean, *DARK), _ramp(mean, *BRIGHT))


def _patch(image: Image, x1: float, y1: float, x2: float, y2: float) -> Image:
    """Grey patch of the face by picking pixels: sharpness must not be averaged away, and picking costs little."""
    part = image[int(y1) : max(int(y1) + 1, int(y2)), int(x1) : max(int(x1) + 1, int(x2))]
    step = max(1, int(min(x2 - x1, y2 - y1) // PATCH_PX))
    if step > 1:
        small_wh = (part.shape[1] // step, part.shape[0] // step)
        part = cv2.resize(part, small_wh, interpolation=cv2.INTER_NEAREST)
    grey: Image = cv2.cvtColor(part, cv2.COLOR_BGR2GRAY)
    return grey


def _ramp(value: float, nothing: float, everything: float) -> float:
    return min(1.0, max(0.0, (value - nothing) / (everything - nothing)))


def _cut_off(x1: float, y1: float, x2: float, y2: float, points: Points | None, image_wh: tuple[int, int]) -> float:
    """Share of landmarks outside the frame; where all are inside, a tenth for each edge that the box touches."""
    width, height = image_wh
    if points is not None:
        outside = sum(not (0 <= x <= width and 0 <= y <= height) for x, y in points)
        if outside:
            return outside / len(points)
    return 0.1 * sum((x1 <= 0, y1 <= 0, x2 >= width, y2 >= height))
