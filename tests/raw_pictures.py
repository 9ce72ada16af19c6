"""Pictures as cameras' hardware writes them: YUV 4:2:0, rows padded, brightness of either range."""

from __future__ import annotations

import numpy as np


def planes(bgr: np.ndarray, *, stride: int = 0, full: bool = True, interleaved: bool = False) -> bytes:
    """BT.601 I420, or NV12; brightness from 0 to 255 (or 16 to 235), rows padded with noise."""
    height, width = bgr.shape[:2]
    stride = stride or width
    blue, green, red = (bgr[..., channel].astype(float) for channel in range(3))
    bright = 0.299 * red + 0.587 * green + 0.114 * blue
    colours = ((blue - bright) / 1.772, (red - bright) / 1.402)
    halved = [plane.reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for plane in colours]
    scale, zero = (1.0, 0.0) if full else (219 / 255, 16.0)
    levels = [bright * scale + zero, *(plane * (1.0 if full else 224 / 255) + 128 for plane in halved)]
    if interleaved:
        levels = [levels[0], np.stack(levels[1:], axis=2).reshape(height // 2, width)]
    padded = [np.random.default_rng(0).integers(0, 255, (len(p), stride * p.shape[1] // width)) for p in levels]
    for place, plane in zip(padded, levels, strict=True):
        place[:, : plane.shape[1]] = np.clip(np.rint(plane), 0, 255)
    return b"".join(plane.astype(np.uint8).tobytes() for plane in padded)


def ramp(width: int, height: int) -> np.ndarray:
    """Every brightness of grey from black to white, and a corner of colour."""
    picture = np.repeat(np.linspace(0, 255, width).round().astype(np.uint8)[None, :, None], height, 0).repeat(3, 2)
    picture[: height // 4, : width // 4] = (40, 90, 220)
    return picture
