"""The network's input out of a stored crop in one warp: exactly the rule, or as a detector's error would have it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from converters.train.view import View
from edgeface.types import Image


@dataclass(frozen=True, slots=True)
class Motion:
    """How a crop differs from the rule's.

    Attributes
    ----------
    scale : 1.1 cuts a tenth wider, so that the face is smaller
    right, down : shift of what is cut, in shares of the crop's width and height
    degrees : turn of what is cut, clockwise, so that the face turns the other way
    aspect : above 1 what is cut is wider and lower
    mirrored : left and right changed, after all else
    """

    scale: float = 1.0
    right: float = 0.0
    down: float = 0.0
    degrees: float = 0.0
    aspect: float = 1.0
    mirrored: bool = False


STILL = Motion()


def warp(pixels: Image, view: View, motion: Motion = STILL) -> Image:
    """Cut the input out of one stored crop, in the stored channels.

    Parameters
    ----------
    pixels : uint8 (S, S, 3) or (S, S), one stored crop
    motion : differs from the rule by this

    Returns
    -------
    uint8 array (H, W, 3) or (H, W), its own memory; beyond the stored crop its border is repeated.
    """
    step = np.array(view.step)
    stored, wanted = np.array(view.stored_wh), np.array(view.wanted_wh)
    middle = stored / 2 + np.array([motion.right, motion.down]) * wanted * step
    excess = float(step.max()) * motion.scale / view.density
    if excess > 1 + 1e-6:
        # As the rule's own cut does: what is denser than it samples is averaged first.
        small = np.maximum(1, np.round(stored / excess)).astype(int)
        pixels = cv2.resize(pixels, (int(small[0]), int(small[1])), interpolation=cv2.INTER_AREA)
        step, middle = step * small / stored, middle * small / stored
    angle = np.radians(motion.degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = motion.scale * np.array([motion.aspect, 1 / motion.aspect])
    linear = step[:, None] * turn * stretch
    # A pixel's middle lies half a pixel from its corner, in both pictures; warpAffine counts from the middles.
    shift = middle - 0.5 - linear @ (wanted / 2 - 0.5)
    crop: Image = cv2.warpAffine(
        pixels,
        np.concatenate([linear, shift[:, None]], axis=1),
        view.wanted_wh,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cv2.flip(crop, 1) if motion.mirrored else crop


def in_grey(crop: Image) -> Image:
    """Return a crop in grey, (H, W)."""
    if crop.ndim == 2:
        return crop
    grey: Image = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return grey


def coloured(crop: Image, view: View) -> Image:
    """Return a crop in RGB or grey in the channels that the network wants, uint8 (H, W, C)."""
    if view.color == "grey":
        return in_grey(crop)[..., None]
    return crop if view.color == "rgb" else np.ascontiguousarray(crop[..., ::-1])
