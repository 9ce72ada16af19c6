"""Pixels become the float tensor that a network was trained on."""

from __future__ import annotations

import cv2
import numpy as np

from edgeface.bundle import Input
from edgeface.types import F32, Image


def to_tensor(pixels: Image, spec: Input, layout: str, *, out: F32 | None = None) -> F32:
    """``(pixel - mean) * scale`` in the file's layout.

    Parameters
    ----------
    pixels : uint8 array, shape (N, H, W, C), in the network's colour order
    spec : mean and scale, one for all channels or one for each
    layout : "NCHW" or "NHWC"
    out : written in place where given; float32 of the shape below

    Returns
    -------
    float32 array, shape (N, C, H, W) or (N, H, W, C).
    """
    means, scales = spec.means, spec.scales
    same = scales if len(set(scales)) > 1 else scales[0]
    if layout == "NCHW":
        if len(pixels) == 1 and same == 1 and not any(means):
            # Raw pixels: splitting into planes is nearly twice as fast as the general way.
            _, height, width, channels = pixels.shape
            planes: F32 = np.empty((1, channels, height, width), dtype=np.float32) if out is None else out
            for channel, plane in enumerate(cv2.split(pixels[0])):
                planes[0, channel] = plane
            return planes
        # One pass in C++ for conversion, mean, scale and transposition.
        one = 1.0 if isinstance(same, tuple) else same
        blob: F32 = cv2.dnn.blobFromImages(list(pixels), scalefactor=one, mean=means, swapRB=False)
        if isinstance(same, tuple):
            blob *= np.array(same, dtype=np.float32)[:, None, None]
        return blob
    tensor: F32 = np.empty(pixels.shape, dtype=np.float32) if out is None else out
    np.copyto(tensor, pixels)
    if any(means):
        tensor -= np.array(means, dtype=np.float32)
    if same != 1:
        tensor *= np.array(same, dtype=np.float32)
    return tensor
