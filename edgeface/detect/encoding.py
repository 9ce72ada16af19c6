"""A picture becomes a detector's tensor: fitted at the upper left of a canvas, in the network's colours and layout.

Where the tensor lies in planes, the picture is split before it is averaged: one plane at a time goes faster, and is
copied as it lies. What lies between is kept for each thread: fresh megabytes cost as much as filling them.
"""

from __future__ import annotations

import threading

import cv2
import numpy as np

from edgeface.bundle import Input
from edgeface.geometry import Letterbox, resize, sample, shrink
from edgeface.runtime import normalize, to_tensor
from edgeface.types import F32, Image

Size = tuple[int, int]
KEPT = 4
"""Fits whose buffers are kept for each thread: a video's whole picture in two sizes, and its regions."""


class Encoder:
    """Encodes pictures for one network; any number of threads at a time.

    Parameters
    ----------
    spec : colours, mean and scale
    layout : "NCHW" or "NHWC"
    """

    def __init__(self, spec: Input, layout: str) -> None:
        self._spec = spec
        self._layout = layout
        self._planar = layout == "NCHW" and spec.channels == 3
        self._work = threading.local()

    def encode(self, image: Image, fit: Letterbox) -> F32:
        """Return the tensor, shape (1, C, H, W) or (1, H, W, C), valid until this thread's next call.

        Parameters
        ----------
        image : uint8 (H, W, 3), BGR
        fit : where it goes in the network's input
        """
        canvas, tensor = self._buffers(fit)
        width, height = fit.content_wh
        if not self._planar:
            shrink(image, fit.content_wh, out=canvas[0, :height, :width])
            return to_tensor(in_colour(canvas, self._spec.color), self._spec, self._layout, out=tensor)
        picture, kind = sample(image, fit.content_wh)
        planes = self._work.planes = cv2.split(picture, self._work.planes)
        ordered = planes if self._spec.color == "bgr" else planes[::-1]
        for plane, part in zip(ordered, canvas, strict=True):
            resize(plane, fit.content_wh, kind, out=part[:height, :width])
        return normalize(canvas, self._spec, out=tensor)

    def _buffers(self, fit: Letterbox) -> tuple[Image, F32]:
        """Canvas, (3, H, W) for planes or (1, H, W, 3), and tensor of this thread; unused ones go."""
        kept: dict[tuple[Size, Size], tuple[Image, F32]] | None = getattr(self._work, "kept", None)
        if kept is None:
            kept = self._work.kept = {}
            self._work.planes = None
        key = (fit.size_wh, fit.content_wh)
        buffers = kept.pop(key, None)
        if buffers is None:
            buffers = self._new(fit.size_wh)
            if len(kept) >= KEPT:
                del kept[next(iter(kept))]
        kept[key] = buffers
        return buffers

    def _new(self, size_wh: Size) -> tuple[Image, F32]:
        width, height = size_wh
        channels = self._spec.channels
        canvas = np.zeros((3, height, width) if self._planar else (1, height, width, 3), dtype=np.uint8)
        nchw = self._layout == "NCHW"
        shape = (1, channels, height, width) if nchw else (1, height, width, channels)
        return canvas, np.empty(shape, dtype=np.float32)


def in_colour(pixels: Image, color: str) -> Image:
    """Turn BGR pixels, shape (1, H, W, 3), into a network's colours: the same, RGB, or grey of shape (1, H, W, 1)."""
    if color == "bgr":
        return pixels
    turned: Image = cv2.cvtColor(pixels[0], cv2.COLOR_BGR2RGB if color == "rgb" else cv2.COLOR_BGR2GRAY)
    return turned.reshape(1, *turned.shape[:2], -1)
