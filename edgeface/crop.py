"""Faces cut out of the full-resolution frame, exactly as a network saw them in training.

The rule is data in the manifest. Three kinds: aligned by five landmarks, a square of the box's height, the box widened
by shares. Rules by box were measured on a reference detector's boxes; a detector whose boxes differ carries
``box_to_reference`` in its manifest entry.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, floor, hypot

import cv2
import numpy as np

from edgeface.bundle import BoxCrop, Four, Input, LandmarkCrop, SquareCrop
from edgeface.errors import BundleError
from edgeface.gain import gain
from edgeface.geometry import Points, resize, sample, share_of_box, shrink, similarity
from edgeface.types import F32, Image

BORDERS = {"replicate": cv2.BORDER_REPLICATE, "zero": cv2.BORDER_CONSTANT}
Offsets = tuple[tuple[float, float], ...]
DUSK, NIGHT = 0.1, 0.05
"""Mean of a crop from which on it is made brighter, and wholly. Hardly any skin by day is as dark (one of 1,588 crops
of FairFace): all people are seen as they are wherever there is light. The price: between the two, what is darker
becomes brighter than what is less dark."""
FARTHEST = 4.0
"""A crop reaches at most this many box sides beyond the picture: more is a detector's mistake, not a face."""


def reference_boxes(boxes: F32, shares: Four | None) -> F32:
    """Boxes as the reference detector would draw them.

    ``shares`` are left, top, right, bottom: each edge moves by that share of the box's width or height, to the right
    and down: ``x1 + left * width`` and so on. None leaves the boxes as they are.
    """
    if shares is None:
        return boxes
    left, top, right, bottom = shares
    return share_of_box(boxes, (-left, -top, right, bottom))


def cut(
    image: Image, box: F32, landmarks: F32 | None, spec: Input, *, offsets: Offsets | None = None, light: float = 1.0
) -> Image:
    """One face as a network's input pixels; one in the dark as bright as by day.

    Parameters
    ----------
    image : the whole frame, uint8 (H, W, 3), BGR
    box : float32 (4,), the face in the reference detector's terms (`reference_boxes`)
    landmarks : float32 (5, 2), needed by a rule that aligns
    spec : input of the network, with its crop rule
    offsets : ``landmarks_to_reference`` of the detector that found the landmarks
    light : `Quality.light` of the face; where it is 1 nobody needs to look whether that is dark

    Returns
    -------
    uint8 array, shape (height, width, C), in the network's colour order.
    """
    if spec.crop is None or spec.height is None or spec.width is None:
        raise BundleError("a network without a crop rule cannot see faces", fix="install the bundle again")
    size_wh = (spec.width, spec.height)
    grey = spec.color == "grey"
    if isinstance(spec.crop, LandmarkCrop):
        if landmarks is None:
            raise BundleError("this network needs landmarks, the detector gives none", fix="choose another detector")
        chip = _aligned(image, landmarks, spec.crop, offsets, size_wh, grey=grey)
    else:
        chip = _rectangle(image, _rule_box(box, spec.crop), size_wh, BORDERS[spec.crop.fill], grey=grey)
    if light < 1:
        chip = brightened(chip)
    if grey:
        return chip[..., None]
    return cv2.cvtColor(chip, cv2.COLOR_BGR2RGB) if spec.color == "rgb" else chip


def _rule_box(box: F32, rule: SquareCrop | BoxCrop) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box.tolist()
    if isinstance(rule, SquareCrop):
        half = (y2 - y1) * rule.scale / 2
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        return x - half, y - half, x + half, y + half
    width, height = x2 - x1, y2 - y1
    return x1 - rule.left * width, y1 - rule.top * height, x2 + rule.right * width, y2 + rule.bottom * height


def _rectangle(
    image: Image, box: tuple[float, float, float, float], size_wh: tuple[int, int], border: int, *, grey: bool
) -> Image:
    """Cut and stretch a rectangle; what lies beyond the picture is filled after shrinking, where it is cheap."""
    height, width = image.shape[:2]
    x1, y1 = round(box[0]), round(box[1])
    x2, y2 = max(x1 + 1, round(box[2])), max(y1 + 1, round(box[3]))
    reach_x, reach_y = int(FARTHEST * (x2 - x1)), int(FARTHEST * (y2 - y1))
    if x1 >= width + reach_x or y1 >= height + reach_y or x2 <= -reach_x or y2 <= -reach_y:
        return np.zeros((size_wh[1], size_wh[0]) if grey else (size_wh[1], size_wh[0], 3), dtype=np.uint8)
    # At least one row and column of the picture must be inside, for the border to be made of.
    part = image[
        min(max(y1, 0), height - 1) : min(max(y2, 1), height),
        min(max(x1, 0), width - 1) : min(max(x2, 1), width),
    ]
    missing = (max(0, -y1), max(0, y2 - height), max(0, -x1), max(0, x2 - width))
    if not any(missing):
        return _shrunk(part, size_wh, grey=grey)
    # What is missing is added after shrinking, where it is cheap: the part keeps its share of the crop.
    scale = (min(1.0, size_wh[0] / (x2 - x1)), min(1.0, size_wh[1] / (y2 - y1)))
    top, bottom = round(missing[0] * scale[1]), round(missing[1] * scale[1])
    left, right = round(missing[2] * scale[0]), round(missing[3] * scale[0])
    small_wh = (max(1, round(part.shape[1] * scale[0])), max(1, round(part.shape[0] * scale[1])))
    whole = cv2.copyMakeBorder(_shrunk(part, small_wh, grey=grey), top, bottom, left, right, border)
    return shrink(whole, size_wh)


def _aligned(
    image: Image,
    landmarks: F32,
    rule: LandmarkCrop,
    offsets: Offsets | None,
    size_wh: tuple[int, int],
    *,
    grey: bool,
) -> Image:
    """Similarity transform of the landmarks onto the padded template."""
    a, b, shift_x, shift_y = similarity(landmarks.tolist(), _target(rule, offsets, size_wh))
    x1, y1, x2, y2 = _source_rectangle((a, b, shift_x, shift_y), size_wh, (image.shape[1], image.shape[0]))
    part = image[y1:y2, x1:x2]
    # warpAffine samples single pixels: a face much larger than the input is shrunk to about twice the input first.
    scale = min(1.0, 2 * hypot(a, b))
    small_wh = (max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale)))
    part = _shrunk(part, small_wh, grey=grey)
    # Pixel (i, j) of the part lies at x1 + (i + 0.5) step_x and so on; warpAffine counts from pixel centres.
    step_x, step_y = (x2 - x1) / small_wh[0], (y2 - y1) / small_wh[1]
    x, y = x1 + 0.5 * step_x, y1 + 0.5 * step_y
    local = np.array(
        [
            [a * step_x, -b * step_y, a * x - b * y + shift_x - 0.5],
            [b * step_x, a * step_y, b * x + a * y + shift_y - 0.5],
        ]
    )
    chip: Image = cv2.warpAffine(part, local, size_wh, flags=cv2.INTER_LINEAR, borderMode=BORDERS[rule.fill])
    return chip


@lru_cache(maxsize=32)
def _target(rule: LandmarkCrop, offsets: Offsets | None, size_wh: tuple[int, int]) -> Points:
    """Where the landmarks belong in the network's input, pixels."""
    template = np.array(rule.template, dtype=np.float64)
    if offsets is not None:
        # The template is where the reference's points belong; this detector's belong a little beside.
        template += np.array(offsets) * np.linalg.norm(template[1] - template[0])
    padded = (template + rule.padding) / (1 + 2 * rule.padding)
    target: Points = (padded * np.array(size_wh)).astype(np.float32).tolist()
    return target


def _source_rectangle(
    transform: tuple[float, float, float, float], size_wh: tuple[int, int], image_wh: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the part of the picture that a chip is made of, never empty.

    Parameters
    ----------
    transform : a, b, shift x and y of a similarity; all 0 but the shift where all points are one
    """
    a, b, shift_x, shift_y = transform
    power = a * a + b * b or 1.0
    width, height = image_wh
    left, right, top, bottom = -shift_x, size_wh[0] - shift_x, -shift_y, size_wh[1] - shift_y
    # Turned back, x is a u + b v and y is a v - b u: the outermost of each term are those of the corners.
    (xu, xu2), (xv, xv2) = _ordered(a * left, a * right), _ordered(b * top, b * bottom)
    (yv, yv2), (yu, yu2) = _ordered(a * top, a * bottom), _ordered(-b * left, -b * right)
    x1 = min(max(floor((xu + xv) / power) - 2, 0), width - 1)
    y1 = min(max(floor((yv + yu) / power) - 2, 0), height - 1)
    x2, y2 = ceil((xu2 + xv2) / power) + 2, ceil((yv2 + yu2) / power) + 2
    return x1, y1, min(max(x2, x1 + 1), width), min(max(y2, y1 + 1), height)


def _ordered(one: float, other: float) -> tuple[float, float]:
    return (one, other) if one < other else (other, one)


def _shrunk(part: Image, size_wh: tuple[int, int], *, grey: bool) -> Image:
    """Resize a part of a picture; where it is to be ``grey``, a third of it is averaged."""
    if not grey:
        return shrink(part, size_wh)
    samples, kind = sample(part, size_wh)
    return resize(cv2.cvtColor(samples, cv2.COLOR_BGR2GRAY), size_wh, kind)


def brightened(chip: Image) -> Image:
    """A crop in which hardly any light is, as bright as usual; others as they are."""
    mean = np.array(chip.mean() / 255, np.float32)
    if mean >= DUSK:
        return chip
    bright: Image = cv2.convertScaleAbs(chip, alpha=float(gain(mean, dusk=DUSK, night=NIGHT))).reshape(chip.shape)
    return bright
