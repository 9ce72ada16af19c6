"""What somebody looks like for the length of a visit: colour and texture of clothes and head, as histograms.

No biometric template: a histogram has lost where in the patch a colour was, so no feature of a face is in it, and who
changes the jacket is another. It tells two people in view apart, dies with the visit, and is never written or sent.

Colours are shares of the three channels, which the light changes little, lightness is logarithmic, texture is how
lightness changes from pixel to pixel (stripes, checks). Two histograms are compared by their Hellinger distance, as
Comaniciu, Ramesh and Meer 2003 ("Kernel-based object tracking", section 3.2) do, with soft bins, so that no shade
falls off an edge. Pixels that a nearer person covers, and those that masks have painted black, do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgeface.types import F32, Image

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""

SIDE = 14
"""Rows and columns at most that are picked out of a patch: no more of it is ever read."""
LEAST_SHARE, LEAST_PIXELS = 0.5, 30
"""Below this share of a patch, or so many picked pixels, nothing is known of it."""
CHROMA, CHROMA_MOST = 9, 0.4
"""Bins along each of two axes of colour, and the shares of the sum of the channels at which they end."""
LIGHTNESS, DARKEST, BRIGHTEST = 8, 3.4, 6.7
"""Bins of lightness, and the logarithms of the sum of the channels at which they end."""
TEXTURE, ROUGHEST = 5, 0.5
"""Bins of texture along each direction, and the change of lightness from pixel to pixel at which they end."""
WEIGHTS = (0.6, 0.25, 0.15)
"""Of colour, lightness, texture."""
BLUR = np.eye(CHROMA) / 2 + np.eye(CHROMA, k=1) / 4 + np.eye(CHROMA, k=-1) / 4
"""Spreads a bin over its neighbours: another light moves a plain colour by a part of a bin."""
FLOOR = 30.0
"""Added to the sum of the channels: what is nearly black has no colour."""

TORSO = (-0.65, 0.65, 1.45, 2.5)
"""Left and right from the centre in widths of the face, top and bottom from its top in heights: shoulders and chest."""
HEAD = (-0.45, 0.45, 0.1, 1.0)
COVERS = ((-0.75, 0.75, -0.3, 1.0), (-1.7, 1.7, 0.95, 8.0))
"""What a person covers: the head, and all that is below it."""
NEARER = 0.75
"""Whose face is at least so many times as high may be nearer to the camera."""
TORSO_EVEN, TORSO_SLOPE, TORSO_BOUNDS = 0.23, 14.0, (-4.0, 2.3)
HEAD_EVEN, HEAD_SLOPE, HEAD_BOUNDS = 0.13, 28.0, (-3.0, 2.0)
"""Hellinger distance that says nothing, how fast the evidence grows beside it, and its bounds: clothes differ more than
heads, but many wear the same."""
LIKENESS_MOST = TORSO_BOUNDS[1] + HEAD_BOUNDS[1]


class Appearance(NamedTuple):
    """One look at a person: square roots of histograms, float32 (99,), length 1; None for what cannot be seen.

    ``clear`` says that nobody covers anything of it.
    """

    torso: F32 | None
    head: F32 | None
    clear: bool = True


class Views:
    """What the people in one frame look like, seen when it is asked for and once at most.

    Parameters
    ----------
    image : the whole frame, uint8 (H, W, 3), BGR
    boxes : float32 (N, 4), all faces in it
    """

    def __init__(self, image: Image, boxes: F32) -> None:
        self._image = image
        self._boxes = boxes
        self._looks: dict[int, Appearance] = {}

    def look(self, row: int) -> Appearance:
        """Appearance of the person whose face is in this row of the boxes."""
        if row not in self._looks:
            self._looks[row] = look(self._image, [(b[0], b[1], b[2], b[3]) for b in self._boxes.tolist()], row)
        return self._looks[row]


def look(image: Image, boxes: Sequence[Box], row: int) -> Appearance:
    """See what the person with one of the ``boxes`` looks like; the others may cover them.

    Parameters
    ----------
    image : the whole frame, uint8 (H, W, 3), BGR
    boxes : all faces in it
    """
    box = boxes[row]
    height = NEARER * (box[3] - box[1])
    covers = [
        _region(other, part)
        for place, other in enumerate(boxes)
        if place != row and other[3] - other[1] >= height
        for part in COVERS
    ]
    torso, head = _region(box, TORSO), _region(box, HEAD)
    clear = not any(_overlap(cover, part) for cover in covers for part in (torso, head))
    return Appearance(torso=_seen(image, torso, covers), head=_seen(image, head, covers), clear=clear)


def likeness(one: Appearance, other: Appearance) -> float | None:
    """Natural logarithm of how much likelier two looks are at one person than at two; None where it cannot be said.

    Clothes and head each count; the part that one of the looks does not show says nothing.
    """
    torso, head = _distance(one.torso, other.torso), _distance(one.head, other.head)
    if torso is None and head is None:
        return None
    return _evidence(torso, TORSO_EVEN, TORSO_SLOPE, TORSO_BOUNDS) + _evidence(head, HEAD_EVEN, HEAD_SLOPE, HEAD_BOUNDS)


def blend(before: Appearance, now: Appearance, share: float) -> Appearance:
    """Take in a newer look with this share; what it does not show stays as it was."""
    torso, head = _mixed(before.torso, now.torso, share), _mixed(before.head, now.head, share)
    return Appearance(torso=torso, head=head, clear=before.clear or now.clear)


def _region(box: Box, part: Box) -> Box:
    x1, y1, x2, y2 = box
    left, right, top, bottom = part
    x, width, height = (x1 + x2) / 2, x2 - x1, y2 - y1
    return x + left * width, y1 + top * height, x + right * width, y1 + bottom * height


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _seen(image: Image, region: Box, covers: Sequence[Box]) -> F32 | None:
    """Histogram of what can be seen of a region of the picture."""
    x1, y1, x2, y2 = region
    step_x, step_y = max(1, round((x2 - x1) / SIDE)), max(1, round((y2 - y1) / SIDE))
    xs = range(max(0, round(x1)), min(image.shape[1], round(x2)), step_x)
    ys = range(max(0, round(y1)), min(image.shape[0], round(y2)), step_y)
    # Half of the patch beyond the picture's edge is half of it that is not seen.
    least = max(LEAST_PIXELS, LEAST_SHARE * (x2 - x1) * (y2 - y1) / (step_x * step_y))
    if len(xs) * len(ys) < least:
        return None
    pixels = image[ys.start : ys.stop : step_y, xs.start : xs.stop : step_x]
    bare = np.ones(pixels.shape[:2], dtype=bool)
    for left, top, right, bottom in covers:
        columns, rows = _between(xs, left, right), _between(ys, top, bottom)
        bare[rows, columns] = False
    return histogram(pixels, bare, least=least)


def _between(places: range, low: float, high: float) -> slice:
    """Which of these places lie from ``low`` to ``high``."""
    first, last = ((edge - places.start) / places.step for edge in (low, high))
    return slice(max(0, int(np.ceil(first))), max(0, int(np.ceil(last))))


def histogram(pixels: Image, bare: npt.NDArray[np.bool_], *, least: float = 1) -> F32 | None:
    """Square root of the histogram of the ``bare`` pixels, shape (99,); None where these are fewer than ``least``."""
    sums = pixels.sum(axis=2, dtype=np.float32)
    bare = bare & (sums > 0)
    if np.count_nonzero(bare) < least:
        return None
    sums += FLOOR
    lightness = np.log(sums)
    channels, total = pixels[bare].astype(np.float32), sums[bare]
    green = channels[:, 1]
    columns, rows = (_place((channels[:, c] - green) / total, -CHROMA_MOST, CHROMA_MOST, CHROMA) for c in (0, 2))
    colour = (BLUR @ _soft_2d(columns, rows).reshape(CHROMA, CHROMA) @ BLUR).ravel()
    light = BLUR[:LIGHTNESS, :LIGHTNESS] @ _soft(_place(lightness[bare], DARKEST, BRIGHTEST, LIGHTNESS), LIGHTNESS)
    across = np.abs(np.diff(lightness, axis=1))[bare[:, 1:] & bare[:, :-1]]
    down = np.abs(np.diff(lightness, axis=0))[bare[1:] & bare[:-1]]
    rough = np.concatenate([_soft(_place(change, 0.0, ROUGHEST, TEXTURE), TEXTURE) for change in (across, down)])
    parts = [weight * part / max(part.sum(), 1.0) for weight, part in zip(WEIGHTS, (colour, light, rough), strict=True)]
    counts = np.concatenate(parts)
    root: F32 = np.sqrt(counts / counts.sum()).astype(np.float32)
    return root


def _place(values: F32, low: float, high: float, bins: int) -> F32:
    """Where values lie among bins, 0 to ``bins`` - 1."""
    placed: F32 = np.clip((values - low) * ((bins - 1) / (high - low)), 0, bins - 1.001)
    return placed


def _soft(places: F32, bins: int) -> npt.NDArray[Any]:
    """Counts by bin; a value between two bins counts in both."""
    below = places.astype(np.intp)
    share = places - below
    counts: npt.NDArray[Any] = np.bincount(below, 1 - share, bins) + np.bincount(below + 1, share, bins)
    return counts


def _soft_2d(columns: F32, rows: F32) -> npt.NDArray[Any]:
    """The same in two dimensions, flattened."""
    left, above = columns.astype(np.intp), rows.astype(np.intp)
    right_share, below_share = columns - left, rows - above
    corner = above * CHROMA + left
    places = np.concatenate([corner, corner + 1, corner + CHROMA, corner + CHROMA + 1])
    top = 1 - below_share
    shares = [(1 - right_share) * top, right_share * top, (1 - right_share) * below_share, right_share * below_share]
    counts: npt.NDArray[Any] = np.bincount(places, np.concatenate(shares), CHROMA * CHROMA)
    return counts


def _distance(one: F32 | None, other: F32 | None) -> float | None:
    if one is None or other is None:
        return None
    return sqrt(max(0.0, 1.0 - float(one @ other)))


def _evidence(distance: float | None, even: float, slope: float, bounds: tuple[float, float]) -> float:
    return 0.0 if distance is None else min(max(slope * (even - distance), bounds[0]), bounds[1])


def _mixed(before: F32 | None, now: F32 | None, share: float) -> F32 | None:
    if before is None or now is None:
        return now if before is None else before
    mixed: F32 = np.sqrt((1 - share) * before * before + share * now * now)
    return mixed
