"""Detectors of one network: letterboxing or stretching, tensors and the way back are the same for all families."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from edgeface.bundle import (
    BlazeFaceHead,
    CascadeHead,
    CenterFaceHead,
    Network,
    RetinaFaceHead,
    UltraLightHead,
    YunetHead,
)
from edgeface.detect import blazeface, cascade, centerface, retinaface, ultralight, yunet
from edgeface.detect.encoding import Encoder
from edgeface.detect.size import choose_size
from edgeface.errors import ConfigError
from edgeface.geometry import Letterbox, letterbox, nms, stretch
from edgeface.runtime import Runner
from edgeface.runtime.providers import ON_PROCESSOR
from edgeface.types import F32, Detections, Image

Raw = tuple[F32, F32, F32 | None]
"""Boxes (N, 4), scores (N,), landmarks (N, 5, 2) or None, in pixels of the network's input, any order, overlapping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How one family's outputs are read, ``decode(outputs, size_wh, head, min_score)``, and whether it has points.

    ``mosaics``: whether it was measured on regions of a picture side by side (`edgeface.detect.mosaic`).
    """

    decode: Callable[[Mapping[str, F32], tuple[int, int], Any, float], Raw]
    landmarks: bool = True
    mosaics: bool = False


FAMILIES: Mapping[type, Family] = {
    YunetHead: Family(decode=yunet.decode, mosaics=True),
    RetinaFaceHead: Family(decode=retinaface.decode, mosaics=True),
    BlazeFaceHead: Family(decode=blazeface.decode, landmarks=False),
    CenterFaceHead: Family(decode=centerface.decode),
    UltraLightHead: Family(decode=ultralight.decode, landmarks=False),
    CascadeHead: Family(decode=cascade.decode, landmarks=False),
}
"""One line per family of one network."""
FITS = 8
"""Sizes of pictures whose fit is remembered: those of a few cameras; a folder's are forgotten again."""
CANDIDATES = 5000
"""Most boxes that go into suppression, best first: the WIDER FACE protocol's customary limit."""


class SingleDetector:
    """One detector network with its input size policy.

    Parameters
    ----------
    network : manifest entry, whose head is one of `FAMILIES`; with ``input.width`` and ``height`` its size is fixed
    runner : loaded file
    size : ``auto``, ``original`` or ``WIDTHxHEIGHT``
    still : whether ``auto`` means the size for still pictures (long side 640) or for video

    Raises
    ------
    ConfigError : a size is asked for that a network of fixed size has not
    """

    def __init__(self, network: Network, runner: Runner, *, size: str = "auto", still: bool = False) -> None:
        family = FAMILIES[type(network.head)]
        self.network = network
        self.runner = runner
        self.gives_landmarks = family.landmarks
        self._size = size
        self._still = still
        self._fixed_wh = _fixed_size(network, size)
        self._fit = stretch if network.input.fit == "stretch" else letterbox
        self._decode = family.decode
        self._head: Any = network.head
        # Pictures of a folder are analysed in several threads.
        self._encoder = Encoder(network.input, runner.file.layout)
        self._fits: dict[tuple[tuple[int, int], tuple[int, int] | None], Letterbox] = {}

    def size_for(self, image_wh: tuple[int, int]) -> tuple[int, int]:
        """Width and height of the network's input for a picture of this size."""
        if self._fixed_wh is not None:
            return self._fixed_wh
        return choose_size(
            self._size,
            image_wh,
            still=self._still,
            prepared=self.runner.sizes,
            multiple_of=self.network.input.multiple_of or 32,
        )

    @property
    def takes_mosaics(self) -> bool:
        """Whether it finds faces in regions of a picture side by side, and is not bound to one size."""
        return FAMILIES[type(self.network.head)].mosaics and self._fixed_wh is None

    @property
    def any_size(self) -> bool:
        """Whether an input of another size costs no more than its pixels: an accelerator prepares for each anew."""
        return not self.runner.sizes and self.runner.provider == ON_PROCESSOR.name

    def takes(self, size_wh: tuple[int, int]) -> bool:
        """Whether its file runs with an input of this size."""
        return not self.runner.sizes or size_wh in self.runner.sizes

    def encode(self, image: Image, size_wh: tuple[int, int] | None = None) -> tuple[F32, Letterbox]:
        """Fit the picture into the network's input: the tensor, and how to find the way back."""
        image_wh = (image.shape[1], image.shape[0])
        fit = self._fits.get((image_wh, size_wh))
        if fit is None:
            if len(self._fits) >= FITS:
                self._fits.clear()
            fit = self._fits[image_wh, size_wh] = self._fit(image_wh, size_wh or self.size_for(image_wh))
        return self._encoder.encode(image, fit), fit

    def decode(
        self, outputs: Mapping[str, F32], fit: Letterbox, image_wh: tuple[int, int], *, min_score: float
    ) -> Detections:
        """Raw outputs to faces in the picture, best first, overlapping ones suppressed."""
        boxes, scores, landmarks = self._decode(outputs, fit.size_wh, self._head, min_score)
        if len(scores) > CANDIDATES:
            best = np.argsort(-scores, kind="stable")[:CANDIDATES]
            boxes, scores = boxes[best], scores[best]
            landmarks = None if landmarks is None else landmarks[best]
        keep = nms(boxes, scores, max_iou=self._head.nms_iou)
        landmarks = None if landmarks is None else landmarks[keep]
        return in_picture(boxes[keep], scores[keep], landmarks, fit, image_wh)

    def detect(self, image: Image, *, min_score: float, size_wh: tuple[int, int] | None = None) -> Detections:
        """Find the faces of one picture whose score is at least ``min_score``."""
        tensor, fit = self.encode(image, size_wh)
        outputs = self.runner.run(tensor)
        return self.decode(outputs, fit, (image.shape[1], image.shape[0]), min_score=min_score)


def in_picture(boxes: F32, scores: F32, landmarks: F32 | None, fit: Letterbox, image_wh: tuple[int, int]) -> Detections:
    """From pixels of the input to pixels of the picture; what lies wholly outside, or nowhere, is no face.

    Plain floats: a handful of boxes is left after suppression, and numpy's calls would cost more than the arithmetic.
    """
    scale_x, scale_y = (float(scale) for scale in fit.scale)
    width, height = image_wh
    points = [0.0] * len(boxes) if landmarks is None else landmarks.sum(axis=(1, 2)).tolist()
    found: list[tuple[float, float, float, float]] = []
    rows: list[int] = []
    for row, ((x1, y1, x2, y2), score, sum_) in enumerate(zip(boxes.tolist(), scores.tolist(), points, strict=True)):
        if not isfinite(x1 + y1 + x2 + y2 + score + sum_):
            continue
        box = (
            min(max(x1 / scale_x, 0.0), width),
            min(max(y1 / scale_y, 0.0), height),
            min(max(x2 / scale_x, 0.0), width),
            min(max(y2 / scale_y, 0.0), height),
        )
        if box[2] > box[0] and box[3] > box[1]:
            found.append(box)
            rows.append(row)
    if len(rows) < len(boxes):
        scores = scores[rows]
        landmarks = None if landmarks is None else landmarks[rows]
    if landmarks is not None:
        landmarks = (landmarks / np.array(fit.scale, dtype=np.float32)).astype(np.float32, copy=False)
    return Detections(
        boxes=np.array(found, dtype=np.float32).reshape(-1, 4),
        scores=scores,
        landmarks=landmarks,
    )


def _fixed_size(network: Network, wanted: str) -> tuple[int, int] | None:
    """Width and height of a network that has no other; ConfigError where another one is asked for."""
    width, height = network.input.width, network.input.height
    if width is None or height is None:
        return None
    if wanted not in ("auto", f"{width}x{height}"):
        raise ConfigError(
            f"detector.size = {wanted}: network {network.name} sees {width}x{height} and nothing else",
            fix='set detector.size = "auto"',
        )
    return width, height
