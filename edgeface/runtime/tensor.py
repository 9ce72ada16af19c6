"""Pixels become the float tensor that a network was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edgeface.bundle import Input
from edgeface.types import F32, Image

MANY = 3
"""From so many faces in colour on a way of fewer passes over more memory is faster: twice and more with eight."""


def to_tensor(pixels: Image, spec: Input, layout: str, *, out: F32 | None = None) -> F32:
    """``(pixel - mean) * scale`` in the file's layout.

    Parameters
    ----------
    pixels : uint8 array, shape (N, H, W, C), in the network's colour order
    spec : mean and scale, one for all channels or one for each
    layout : "NCHW" or "NHWC"
    out : written in place where given, for "NHWC"; float32 of the shape below

    Returns
    -------
    float32 array, shape (N, C, H, W) or (N, H, W, C).
    """
    means, scales = spec.means, spec.scales
    same = scales if len(set(scales)) > 1 else scales[0]
    if layout == "NCHW":
        return _in_planes(pixels, means, same)
    tensor: F32 = np.empty(pixels.shape, dtype=np.float32) if out is None else out
    np.copyto(tensor, pixels)
    if any(means):
        tensor -= np.array(means, dtype=np.float32)
    if same != 1:
        tensor *= np.array(same, dtype=np.float32)
    return tensor


def _in_planes(pixels: Image, means: Sequence[float], scale: float | Sequence[float]) -> F32:
    """``(pixel - mean) * scale``, shape (N, C, H, W); both ways give the same bits."""
    count, height, width, channels = pixels.shape
    if channels == 1 or count < MANY:
        # One pass in C++ for conversion, mean, scale and transposition.
        one = 1.0 if isinstance(scale, Sequence) else scale
        blob: F32 = cv2.dnn.blobFromImages(list(pixels), scalefactor=one, mean=means, swapRB=False)
        if isinstance(scale, Sequence):
            blob *= _by_plane(scale)
        return blob
    # All faces as one tall picture, whose channels one call splits.
    planes = np.empty((channels, count * height, width), dtype=np.uint8)
    cv2.split(np.ascontiguousarray(pixels).reshape(count * height, width, channels), list(planes))
    blob = np.empty((count, channels, height, width), dtype=np.float32)
    by_face = planes.reshape(channels, count, height, width).swapaxes(0, 1)
    np.subtract(by_face, _by_plane(means), out=blob, dtype=np.float32)
    blob *= _by_plane(scale) if isinstance(scale, Sequence) else np.float32(scale)
    return blob


def _by_plane(numbers: Sequence[float]) -> F32:
    """One number for each channel, shape (C, 1, 1)."""
    each: F32 = np.array(numbers, dtype=np.float32)[:, None, None]
    return each


def normalize(planes: Image, spec: Input, *, out: F32) -> F32:
    """``(pixel - mean) * scale`` of one picture that lies in planes.

    Parameters
    ----------
    planes : uint8 array, shape (C, H, W), in the network's colour order
    out : float32 array, shape (1, C, H, W), written in place
    """
    np.copyto(out[0], planes)
    for plane, mean, scale in zip(out[0], spec.means, spec.scales, strict=True):
        if mean:
            np.subtract(plane, mean, out=plane)
        if scale != 1:
            np.multiply(plane, scale, out=plane)
    return out
