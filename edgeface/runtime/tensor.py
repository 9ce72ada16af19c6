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
    out : written in place where given, for "NHWC"; float32 of the shape below

    Returns
    -------
    float32 array, shape (N, C, H, W) or (N, H, W, C).
    """
    means, scales = spec.means, spec.scales
    same = scales if len(set(scales)) > 1 else scales[0]
    if layout == "NCHW":
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
