"""Detectors: a picture in, `Detections` in the picture's own pixels out.

A family is one file with a pure ``decode`` from raw outputs to faces in the pixels of the network's input, and one
line in `DECODERS`. Letterboxing, tensors and the way back are the same for all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgeface.bundle import Network, RetinaFaceHead, YunetHead
from edgeface.detect import retinaface, yunet
from edgeface.detect.size import choose_size
from edgeface.errors import BundleError
from edgeface.geometry import Letterbox, clip_boxes, letterbox, nms, shrink
from edgeface.runtime import Runner, to_tensor
from edgeface.types import F32, Detections, Image

Raw = tuple[F32, F32, F32]
"""Boxes (N, 4), scores (N,), landmarks (N, 5, 2) in the pixels of the network's input, any order, overlapping."""

DECODERS: Mapping[type, Callable[..., Raw]] = {
    YunetHead: yunet.decode,
    RetinaFaceHead: retinaface.decode,
}
CANDIDATES = 5000
"""Most boxes that go into suppression, best first: the WIDER FACE protocol's customary limit."""


class Detector:
    """One detector network with its input size policy.

    Parameters
    ----------
    network : manifest entry
    runner : loaded file
    size : ``auto``, ``original`` or ``WIDTHxHEIGHT``
    still : whether ``auto`` means the size for still pictures (long side 640) or for video
    """

    def __init__(self, network: Network, runner: Runner, *, size: str = "auto", still: bool = False) -> None:
        if type(network.head) not in DECODERS:
            raise BundleError(f"network {network.name} is not a detector", fix="choose yunet or retinaface")
        self.network = network
        self.runner = runner
        self._size = size
        self._still = still
        self._decode = DECODERS[type(network.head)]
        self._head: Any = network.head
        # A picture in work; pictures of a folder are analysed in several threads.
        self._work = threading.local()

    def size_for(self, image_wh: tuple[int, int]) -> tuple[int, int]:
        """Width and height of the network's input for a picture of this size."""
        return choose_size(
            self._size,
            image_wh,
            still=self._still,
            prepared=self.runner.sizes,
            multiple_of=self.network.input.multiple_of or 32,
        )

    def encode(self, image: Image) -> tuple[F32, Letterbox]:
        """Fit the picture into the network's input: the tensor, and how to find the way back."""
        fit = letterbox((image.shape[1], image.shape[0]), self.size_for((image.shape[1], image.shape[0])))
        canvas, tensor = self._buffers(fit)
        shrink(image, fit.content_wh, out=canvas[0, : fit.content_wh[1], : fit.content_wh[0]])
        pixels = canvas if self.network.input.color == "bgr" else canvas[..., ::-1]
        return to_tensor(pixels, self.network.input, self.runner.file.layout, out=tensor), fit

    def _buffers(self, fit: Letterbox) -> tuple[Image, F32]:
        """Canvas and tensor of this thread, kept while sizes stay: fresh megabytes cost as much as filling them."""
        key = (fit.size_wh, fit.content_wh)
        if getattr(self._work, "key", None) != key:
            width, height = fit.size_wh
            shape = (1, 3, height, width) if self.runner.file.layout == "NCHW" else (1, height, width, 3)
            self._work.key = key
            self._work.canvas = np.zeros((1, height, width, 3), dtype=np.uint8)
            self._work.tensor = np.empty(shape, dtype=np.float32)
        return self._work.canvas, self._work.tensor

    def decode(
        self, outputs: Mapping[str, F32], fit: Letterbox, image_wh: tuple[int, int], *, min_score: float
    ) -> Detections:
        """Raw outputs to faces in the picture, best first, overlapping ones suppressed."""
        boxes, scores, landmarks = self._decode(outputs, fit.size_wh, self._head, min_score)
        if len(scores) > CANDIDATES:
            best = np.argsort(-scores, kind="stable")[:CANDIDATES]
            boxes, scores, landmarks = boxes[best], scores[best], landmarks[best]
        keep = nms(boxes, scores, max_iou=self._head.nms_iou)
        scale: F32 = np.array(fit.scale * 2, dtype=np.float32)
        boxes, scores, landmarks = boxes[keep] / scale, scores[keep], landmarks[keep] / scale[:2]
        found = clip_boxes(boxes, image_wh)
        inside = (found[:, 2:] > found[:, :2]).all(axis=1)
        if not inside.all():
            found, scores, landmarks = found[inside], scores[inside], landmarks[inside]
        return Detections(boxes=found, scores=scores, landmarks=landmarks)

    def detect(self, image: Image, *, min_score: float) -> Detections:
        """Find the faces of one picture whose score is at least ``min_score``."""
        tensor, fit = self.encode(image)
        outputs = self.runner.run(tensor)
        return self.decode(outputs, fit, (image.shape[1], image.shape[0]), min_score=min_score)
