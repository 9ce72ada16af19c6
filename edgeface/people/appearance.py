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
from math import ceil, sqrt
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
CHANNELS = np.ones(3, np.uint16)
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
TORSO_OTHER, HEAD_OTHER = 0.4, 0.15
"""Distance from which on clothes, by colours alone, and head are both another one's: no shadow changes clothes so."""
GREY = 0.95
"""Share of the colours that lie at grey or beside it where there are none."""
GRID = 14
"""Rows and columns that are picked out of a picture for what stands behind the people."""


class Appearance(NamedTuple):
    """One look at a person: square roots of histograms, float32 (99,), length 1; None for what cannot be seen.

    ``clear`` says that nobody covers anything of it.
    """

    torso: F32 | None
    head: F32 | None
    clear: bool = True


class Patch(NamedTuple):
    """What is picked out of a region: pixels uint8 (H, W, 3), BGR; which of them nobody covers, how many that are."""

    pixels: Image
    bare: npt.NDArray[np.bool_]
    size: int


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
        self._people: list[Person] | None = None
        self._looks: dict[int, Appearance] = {}

    def behind(self) -> Patch:
        """What stands behind the people, picked out of the whole picture; what is black counts as bare."""
        height, width = self._image.shape[:2]
        step_y, step_x = max(1, height // GRID), max(1, width // GRID)
        covers = [cover for who in self._all() for cover in who.covers]
        return _uncovered(self._image, range(0, width, step_x), range(0, height, step_y), covers, black=True)

    def look(self, row: int) -> Appearance:
        """Appearance of the person whose face is in this row of the boxes."""
        if row not in self._looks:
            self.prepare([row])
        return self._looks[row]

    def prepare(self, rows: Sequence[int]) -> None:
        """See several at once who will be looked at: cheaper than one by one."""
        rows = [row for row in rows if row not in self._looks]
        if rows:
            self._looks.update(zip(rows, looks(self._image, self._all(), rows), strict=True))

    def cover(self, boxes: Sequence[Box]) -> None:
        """Let more people cover others, by their boxes: the detector has missed them. What was seen is seen anew."""
        self._people = [*self._all(), *(person(box) for box in boxes)]
        self._looks.clear()

    def _all(self) -> list[Person]:
        if self._people is None:
            self._people = [person(box) for box in self._boxes.tolist()]
        return self._people


class Person(NamedTuple):
    """A face in a frame, how high it is, and what the person covers of others: each of `COVERS`."""

    box: Box
    height: float
    covers: tuple[Box, ...]


def person(box: Sequence[float]) -> Person:
    """Take a face by its box."""
    x1, y1, x2, y2 = box
    face = (x1, y1, x2, y2)
    return Person(face, y2 - y1, tuple(_region(face, part) for part in COVERS))


def looks(image: Image, people: Sequence[Person], rows: Sequence[int]) -> list[Appearance]:
    """See what some of the ``people`` look like; the others may cover them.

    Parameters
    ----------
    image : the whole frame, uint8 (H, W, 3), BGR
    people : all in it
    rows : who of them is looked at
    """
    glances = [_glance(image, people, row) for row in rows]
    given = [patch for patches, _ in glances for patch in patches if patch is not None]
    seen = iter(histograms(given) if given else ())
    shown = [[None if patch is None else next(seen) for patch in patches] for patches, _ in glances]
    return [
        Appearance(torso=torso, head=head, clear=clear)
        for (torso, head), (_, clear) in zip(shown, glances, strict=True)
    ]


def _glance(image: Image, people: Sequence[Person], row: int) -> tuple[tuple[Patch | None, Patch | None], bool]:
    """Clothes and head of one of the people, and whether nobody covers anything of them."""
    box, own_height, _ = people[row]
    torso, head = _region(box, TORSO), _region(box, HEAD)
    # In a crowd nearly everybody is elsewhere; a pixel more on each side, since places in the picture are whole.
    left, right = min(torso[0], head[0]) - 1, max(torso[2], head[2]) + 1
    top, bottom = min(torso[1], head[1]) - 1, max(torso[3], head[3]) + 1
    least = NEARER * own_height
    covers = [
        cover
        for place, (_, height, both) in enumerate(people)
        if height >= least and place != row
        for cover in both
        if cover[0] < right and cover[2] > left and cover[1] < bottom and cover[3] > top
    ]
    clear = not any(_overlap(cover, part) for cover in covers for part in (torso, head))
    return (_picked(image, torso, covers), _picked(image, head, covers)), clear


def likeness(one: Appearance, other: Appearance) -> float | None:
    """Natural logarithm of how much likelier two looks are at one person than at two; None where it cannot be said.

    Clothes and head each count; the part that one of the looks does not show says nothing.
    """
    torso, head = _distance(one.torso, other.torso), _distance(one.head, other.head)
    if torso is None and head is None:
        return None
    return _evidence(torso, TORSO_EVEN, TORSO_SLOPE, TORSO_BOUNDS) + _evidence(head, HEAD_EVEN, HEAD_SLOPE, HEAD_BOUNDS)


def is_other(one: Appearance, other: Appearance) -> bool:
    """Whether two looks are clearly of two people: clothes and head are both seen, and both are unlike."""
    head = _distance(one.head, other.head)
    if one.torso is None or other.torso is None or head is None:
        return False
    torso = sqrt(max(0.0, 1.0 - float(np.sqrt(_colours(one.torso) * _colours(other.torso)).sum())))
    return torso >= TORSO_OTHER and head >= HEAD_OTHER


def is_grey(seen: Appearance) -> bool:
    """Whether a head has no colour: no skin is grey, so it is the light, or the camera."""
    around = slice(CHROMA // 2 - 1, CHROMA // 2 + 2)
    colours = None if seen.head is None else _colours(seen.head).reshape(CHROMA, CHROMA)
    return colours is not None and float(colours[around, around].sum()) > GREY


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


def _picked(image: Image, region: Box, covers: Sequence[Box]) -> Patch | None:
    """What can be seen of a region of the picture; None where that is too little."""
    x1, y1, x2, y2 = region
    step_x, step_y = max(1, round((x2 - x1) / SIDE)), max(1, round((y2 - y1) / SIDE))
    xs = range(max(0, round(x1)), min(image.shape[1], round(x2)), step_x)
    ys = range(max(0, round(y1)), min(image.shape[0], round(y2)), step_y)
    # Half of the patch beyond the picture's edge is half of it that is not seen.
    least = max(LEAST_PIXELS, LEAST_SHARE * (x2 - x1) * (y2 - y1) / (step_x * step_y))
    if len(xs) * len(ys) < least:
        return None
    x, y = xs[-1], ys[-1]
    if any(c[0] <= xs.start and x < c[2] and c[1] <= ys.start and y < c[3] for c in covers):
        return None
    patch = _uncovered(image, xs, ys, covers)
    return None if patch.size < least else patch


def _uncovered(image: Image, xs: range, ys: range, covers: Sequence[Box], *, black: bool = False) -> Patch:
    """Pixels at these columns and rows, and which of them nobody covers; masks paint ``black``."""
    pixels = image[ys.start : ys.stop : ys.step, xs.start : xs.stop : xs.step]
    # `any` takes three times as long.
    bare = np.ones(pixels.shape[:2], np.bool_) if black else (pixels @ CHANNELS) > 0
    for left, top, right, bottom in covers:
        bare[_between(ys, top, bottom), _between(xs, left, right)] = False
    return Patch(pixels, bare, int(np.count_nonzero(bare)))


def _between(places: range, low: float, high: float) -> slice:
    """Which of these places lie from ``low`` to ``high``."""
    start, step = places.start, places.step
    return slice(max(0, ceil((low - start) / step)), max(0, ceil((high - start) / step)))


def histograms(patches: Sequence[Patch]) -> list[F32]:
    """Of each patch the square root of the histogram of its bare pixels, shape (99,), length 1."""
    # Of some 200 pixels a call of numpy costs more than its arithmetic: all patches go through each call together.
    blue, green, red = np.concatenate([pixels.reshape(-1, 3).T for pixels, _, _ in patches], axis=1).astype(np.float32)
    sums = blue + green + red
    sums += FLOOR
    lightness = np.log(sums)
    changes: list[F32] = []
    first = 0
    for _, bare, size in patches:
        light = lightness[first : first + bare.size].reshape(bare.shape)
        first += bare.size
        across, down = light[:, 1:] - light[:, :-1], light[1:] - light[:-1]
        if size < bare.size:
            across, down = across[bare[:, 1:] & bare[:, :-1]], down[bare[1:] & bare[:-1]]
        changes += [across.ravel(), down.ravel()]
    counts = [patch.size for patch in patches]
    if sum(counts) < first:
        kept = np.concatenate([bare.ravel() for _, bare, _ in patches])
        blue, green, red, sums, lightness = (plane[kept] for plane in (blue, green, red, sums, lightness))
    owners = np.arange(len(patches))
    shares = np.concatenate([blue - green, red - green]).reshape(2, -1)
    shares /= sums
    places = _place(shares, -CHROMA_MOST, CHROMA_MOST, CHROMA)
    colours = BLUR @ _soft_2d(places, np.repeat(owners * CHROMA * CHROMA, counts), len(patches)) @ BLUR
    bins = LIGHTNESS + 2 * TEXTURE
    rough = _place(np.abs(np.concatenate(changes)), 0.0, ROUGHEST, TEXTURE)
    begins = [owner * bins + begin for owner in owners for begin in (LIGHTNESS, LIGHTNESS + TEXTURE)]
    firsts = np.repeat([*(owners * bins), *begins], [*counts, *(len(change) for change in changes)])
    placed = np.concatenate([_place(lightness, DARKEST, BRIGHTEST, LIGHTNESS), rough])
    rest = _soft(placed, firsts, bins * len(patches)).reshape(-1, bins)
    lights = rest[:, :LIGHTNESS] @ BLUR[:LIGHTNESS, :LIGHTNESS]
    kinds = zip(WEIGHTS, (colours.reshape(len(patches), -1), lights, rest[:, LIGHTNESS:]), strict=True)
    parts = [kind * (weight / np.maximum(kind.sum(axis=1, keepdims=True), 1.0)) for weight, kind in kinds]
    joined = np.concatenate(parts, axis=1)
    return list(np.sqrt(joined / joined.sum(axis=1, keepdims=True)).astype(np.float32))


def _place(values: F32, low: float, high: float, bins: int) -> F32:
    """Where values lie among bins, 0 to ``bins`` - 1."""
    placed: F32 = np.minimum(np.maximum((values - low) * ((bins - 1) / (high - low)), 0), bins - 1.001)
    return placed


def _soft(places: F32, firsts: npt.NDArray[np.intp], bins: int) -> npt.NDArray[Any]:
    """Counts by bin, after the first bin of each place's own histogram; a value between two bins counts in both."""
    below = places.astype(np.intp)
    share = places - below
    below += firsts
    counts: npt.NDArray[Any] = np.bincount(below, 1 - share, bins) + np.bincount(below + 1, share, bins)
    return counts


def _soft_2d(places: F32, firsts: npt.NDArray[np.intp], count: int) -> npt.NDArray[Any]:
    """The same of columns and rows, (2, N): ``count`` histograms (rows, columns)."""
    whole = places.astype(np.intp)
    after = places - whole
    before = 1 - after
    (left, above), (right_share, below_share), (left_share, above_share) = whole, after, before
    corner = above * CHROMA + left + firsts
    corners = np.concatenate([corner, corner + 1, corner + CHROMA, corner + CHROMA + 1])
    shares = np.concatenate(
        [left_share * above_share, right_share * above_share, left_share * below_share, right_share * below_share]
    )
    counts: npt.NDArray[Any] = np.bincount(corners, shares, count * CHROMA * CHROMA)
    return counts.reshape(count, CHROMA, CHROMA)


def _distance(one: F32 | None, other: F32 | None) -> float | None:
    if one is None or other is None:
        return None
    return sqrt(max(0.0, 1.0 - float(one @ other)))


def _colours(root: F32) -> F32:
    """Shares of the colours in a histogram, shape (81,): they hang less on the light than lightness and texture."""
    counts = root[: CHROMA * CHROMA] ** 2
    shares: F32 = counts / counts.sum()
    return shares


def _evidence(distance: float | None, even: float, slope: float, bounds: tuple[float, float]) -> float:
    return 0.0 if distance is None else min(max(slope * (even - distance), bounds[0]), bounds[1])


def _mixed(before: F32 | None, now: F32 | None, share: float) -> F32 | None:
    if before is None or now is None:
        return now if before is None else before
    mixed: F32 = np.sqrt((1 - share) * before * before + share * now * now)
    return mixed
