"""MTCNN: windows proposed over a pyramid of the picture, refined, and placed with five points.

Zhang, Zhang, Li, Qiao 2016, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks",
section II; sizes, suppression and their order as in the authors' published code. Windows are half open here (its pixels
are counted inclusively), and moved by shares of their whole side, as they were labelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil

import cv2
import numpy as np

from edgeface.bundle import MtcnnHead, Network
from edgeface.detect.encoding import in_colour
from edgeface.detect.single import in_picture
from edgeface.detect.size import choose_size
from edgeface.errors import BundleError
from edgeface.geometry import area, letterbox, nms, shrink
from edgeface.runtime import Runner, run_faces, to_tensor
from edgeface.types import F32, Detections, Image

Size = tuple[int, int]
WINDOW_PX, STRIDE_PX = 12, 2
"""The proposal network looks at windows of this side, this far apart."""
REFINE_PX, OUTPUT_PX = 24, 48
SAME_LEVEL_IOU = 0.5
MULTIPLE_OF = 32
"""Of the fitted picture's sides, so that a size can be told from its largest level."""
LEVEL_WINDOWS, WINDOWS = 2000, 1000
"""Most windows that one level proposes and that are refined, best first: noise must not stop the camera."""


def pyramid_sizes(size_wh: Size, smallest_px: float, factor: float) -> tuple[Size, ...]:
    """Sizes in which the proposal network sees a picture, the largest first.

    In the first a face of ``smallest_px`` fills a window, each further one is ``factor`` as large, and the last still
    holds a window.

    Parameters
    ----------
    size_wh : width and height of the fitted picture
    """
    sizes: list[Size] = []
    scale = WINDOW_PX / smallest_px
    while min(size_wh) * scale >= WINDOW_PX:
        sizes.append((ceil(size_wh[0] * scale), ceil(size_wh[1] * scale)))
        scale *= factor
    return tuple(sizes)


def prepared_sizes(levels: Iterable[Size], smallest_px: float, factor: float) -> tuple[Size, ...]:
    """Sizes of fitted pictures whose whole pyramid is among ``levels``, ascending; multiples of `MULTIPLE_OF`."""
    known = set(levels)
    found: set[Size] = set()
    for level in known:
        # Rounding up moves a side by less than one pixel of the level, a fraction of the multiple.
        guess = [int(side * smallest_px / WINDOW_PX) // MULTIPLE_OF * MULTIPLE_OF for side in level]
        pyramid = pyramid_sizes((guess[0], guess[1]), smallest_px, factor)
        if pyramid and known.issuperset(pyramid):
            found.add((guess[0], guess[1]))
    return tuple(sorted(found))


def proposals(outputs: Mapping[str, F32], level_wh: Size, size_wh: Size, *, min_score: float) -> tuple[F32, F32, F32]:
    """Windows of one level that may show a face, in pixels of the fitted picture.

    Parameters
    ----------
    outputs : ``scores`` (1, windows) and ``boxes`` (1, windows, 4), row by row

    Returns
    -------
    windows (N, 4), scores (N,), offsets (N, 4) of the edges in shares of the window's sides; overlapping.
    """
    columns = ceil((level_wh[0] - 2) / 2) - 4
    rows = np.flatnonzero(outputs["scores"][0] >= min_score)
    corner = STRIDE_PX * np.stack([rows % columns, rows // columns], axis=1)
    scale = np.array(level_wh) / np.array(size_wh)
    windows = np.concatenate([corner / scale, (corner + WINDOW_PX) / scale], axis=1).astype(np.float32)
    return windows, outputs["scores"][0, rows], outputs["boxes"][0, rows]


def move(windows: F32, offsets: F32) -> F32:
    """Windows (N, 4) with each edge moved by a share (N, 4) of their width or height, at most by the whole of it."""
    sides = windows[:, 2:] - windows[:, :2]
    moved: F32 = windows + np.clip(np.nan_to_num(offsets), -1, 1) * np.concatenate([sides, sides], axis=1)
    return moved


def squares(windows: F32) -> F32:
    """Squares around the same middles as wide as the longer sides, on whole pixels, at least one; (N, 4)."""
    middle = (windows[:, :2] + windows[:, 2:]) / 2
    side = np.maximum(np.round((windows[:, 2:] - windows[:, :2]).max(axis=1, keepdims=True)), 1)
    corner = np.round(middle - side / 2)
    made: F32 = np.concatenate([corner, corner + side], axis=1).astype(np.float32)
    return made


def cut_windows(picture: Image, windows: F32, side: int) -> Image:
    """Pixels of square windows on whole pixels, uint8 (N, side, side, C); black beyond the picture."""
    height, width = picture.shape[:2]
    pixels = np.zeros((len(windows), side, side, picture.shape[2]), dtype=np.uint8)
    for cut, (x1, y1, x2, y2) in zip(pixels, windows.astype(int).tolist(), strict=True):
        left, top, right, bottom = max(0, x1), max(0, y1), min(width, x2), min(height, y2)
        if right > left and bottom > top:
            missing = (top - y1, y2 - bottom, left - x1, x2 - right)
            part = picture[top:bottom, left:right]
            part = cv2.copyMakeBorder(part, *missing, cv2.BORDER_CONSTANT) if any(missing) else part
            shrink(part, (side, side), out=cut)
    return pixels


def drop_contained(boxes: F32, scores: F32, *, most: float) -> list[int]:
    """Rows to keep, best score first: a box goes when more than ``most`` of it, or of a better one, is shared."""
    kept: list[int] = []
    areas = area(boxes)
    for row in np.argsort(-scores, kind="stable").tolist():
        corner, end = np.maximum(boxes[kept, :2], boxes[row, :2]), np.minimum(boxes[kept, 2:], boxes[row, 2:])
        shared = area(np.concatenate([corner, end], axis=1))
        if not (shared > most * np.minimum(areas[kept], areas[row])).any():
            kept.append(row)
    return kept


class MtcnnDetector:
    """The three networks as one detector.

    Parameters
    ----------
    network : manifest entry of the first, whose head names the others
    stages : manifest entries of the second and the third
    runners : loaded files by network name
    size, still : as for `edgeface.detect.make_detector`

    Raises
    ------
    BundleError : the first network's file is prepared for no whole pyramid
    """

    gives_landmarks = True
    takes_mosaics = False
    any_size = False

    def __init__(
        self,
        network: Network,
        stages: Sequence[Network],
        runners: Mapping[str, Runner],
        *,
        size: str = "auto",
        still: bool = False,
    ) -> None:
        assert isinstance(network.head, MtcnnHead)
        self.network = network
        self._head = network.head
        self._refine, self._output = stages
        self._runners = runners
        self._size = size
        self._still = still
        self._runner = runners[network.name]
        self._prepared = prepared_sizes(self._runner.sizes, self._head.smallest_face_px, self._head.factor)
        if self._runner.sizes and not self._prepared:
            raise BundleError(f"network {network.name} is prepared for no whole pyramid", fix="build it again")

    def size_for(self, image_wh: Size) -> Size:
        """Width and height of the fitted picture, of which the pyramid is made."""
        return choose_size(self._size, image_wh, still=self._still, prepared=self._prepared, multiple_of=MULTIPLE_OF)

    def takes(self, size_wh: Size) -> bool:
        """Whether the first network's file is prepared for the pyramid of a picture of this size."""
        return not self._prepared or size_wh in self._prepared

    def detect(self, image: Image, *, min_score: float, size_wh: Size | None = None) -> Detections:
        """Find the faces of one picture whose score is at least ``min_score`` and the head's last threshold."""
        image_wh = (image.shape[1], image.shape[0])
        fit = letterbox(image_wh, size_wh or self.size_for(image_wh))
        canvas = np.zeros((1, fit.size_wh[1], fit.size_wh[0], 3), dtype=np.uint8)
        shrink(image, fit.content_wh, out=canvas[0, : fit.content_wh[1], : fit.content_wh[0]])
        picture = in_colour(canvas, self.network.input.color)[0]
        windows = self._refined(picture, self._proposed(picture))
        boxes, scores, landmarks = self._placed(picture, windows, max(min_score, self._head.thresholds[2]))
        return in_picture(boxes, scores, landmarks, fit, image_wh)

    def _proposed(self, picture: Image) -> F32:
        """Squares (N, 4) that the first network proposes over the whole pyramid, best first."""
        size_wh = (picture.shape[1], picture.shape[0])
        parts: list[tuple[F32, F32, F32]] = []
        for level_wh in pyramid_sizes(size_wh, self._head.smallest_face_px, self._head.factor):
            level = shrink(picture, level_wh)[None]
            outputs = self._runner.run(to_tensor(level, self.network.input, self._runner.file.layout))
            found = proposals(outputs, level_wh, size_wh, min_score=self._head.thresholds[0])
            best = np.argsort(-found[1], kind="stable")[:LEVEL_WINDOWS]
            keep = best[nms(found[0][best], found[1][best], max_iou=SAME_LEVEL_IOU)]
            parts.append((found[0][keep], found[1][keep], found[2][keep]))
        if not parts:
            return np.zeros((0, 4), dtype=np.float32)  # a picture too thin for any level
        windows, scores, offsets = (np.concatenate(part) for part in zip(*parts, strict=True))
        keep = nms(windows, scores, max_iou=self._head.nms_iou)[:WINDOWS]
        return squares(move(windows[keep], offsets[keep]))

    def _refined(self, picture: Image, windows: F32) -> F32:
        """Squares that the second network leaves, best first."""
        outputs = self._ask(self._refine, picture, windows, REFINE_PX)
        if not outputs:
            return windows
        scores = outputs["scores"][:, 0]
        rows = np.flatnonzero(scores >= self._head.thresholds[1])
        rows = rows[nms(windows[rows], scores[rows], max_iou=self._head.nms_iou)]
        return squares(move(windows[rows], outputs["boxes"][rows]))

    def _placed(self, picture: Image, windows: F32, min_score: float) -> tuple[F32, F32, F32]:
        """Boxes (N, 4), scores (N,) and landmarks (N, 5, 2) of the third network, best first."""
        outputs = self._ask(self._output, picture, windows, OUTPUT_PX)
        if not outputs:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
        scores = outputs["scores"][:, 0]
        rows = np.flatnonzero(scores >= min_score)
        windows, scores = windows[rows], scores[rows]
        # Five x, then five y.
        points = outputs["landmarks"][rows].reshape(-1, 2, 5).transpose(0, 2, 1)
        landmarks = windows[:, None, :2] + points * (windows[:, None, 2:] - windows[:, None, :2])
        boxes = move(windows, outputs["boxes"][rows])
        keep = drop_contained(boxes, scores, most=self._head.nms_iou)
        return boxes[keep], scores[keep], landmarks[keep]

    def _ask(self, stage: Network, picture: Image, windows: F32, side: int) -> Mapping[str, F32]:
        """What a stage says of each window; nothing for no window."""
        return run_faces(self._runners[stage.name], stage, cut_windows(picture, windows, side)) if len(windows) else {}
