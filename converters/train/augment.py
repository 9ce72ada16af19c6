"""What cameras and detectors do to a face, done to stored crops: a pure function of pixels, numbers and dice.

Geometry is one warp out of the stored crop (`converters.train.warp`), the rest happens to its result in the order in
which it would happen on the way (`converters.datasets.camera`): what covers a face, light, optics, noise, compression.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from msgspec import Meta

from converters.datasets.camera import Camera, photographed
from converters.train.view import View
from converters.train.warp import Motion, coloured, in_grey, warp
from edgeface.types import Image

FARTHEST = 3.0
"""Deviations beyond which no jitter goes."""


class Augment(Camera, frozen=True, kw_only=True):
    """How far crops are moved and spoilt in training; every number is 0 for not at all.

    The defaults are the shipped detector's own jitter where a face changes its size, in shift twice and more
    (``docs/training.md``): other detectors' points lie elsewhere; and what cheap cameras do.
    """

    scale: Annotated[
        float, Meta(ge=0, le=0.5, description="standard deviation of the crop's size, as a share (of its logarithm)")
    ] = 0.07
    shift: Annotated[
        float, Meta(ge=0, le=0.5, description="standard deviation of the crop's shift, in shares of its side")
    ] = 0.07
    rotation: Annotated[float, Meta(ge=0, le=45, description="standard deviation of the crop's turn, in degrees")] = 5.0
    aspect: Annotated[
        float, Meta(ge=0, le=0.2, description="standard deviation of width to height, as a share (of its logarithm)")
    ] = 0.02
    mirror: Annotated[float, Meta(ge=0, le=1, description="share of the faces with left and right changed")] = 0.5


NOTHING = Augment(
    scale=0,
    shift=0,
    rotation=0,
    aspect=0,
    mirror=0,
    occlusion=0,
    light=0,
    saturation=0,
    tint=0,
    grey=0,
    equalise=0,
    low_resolution=0,
    blur=0,
    noise=0,
    jpeg=0,
)
"""Leaves a crop as it is in service."""


def plain(pixels: Image, view: View) -> Image:
    """Return the crop of service out of one stored crop, uint8 (H, W, C) in the network's colours."""
    return coloured(warp(pixels, view), view)


def jittered(pixels: Image, view: View, augment: Augment, rng: np.random.Generator) -> Image:
    """Return a crop as another detector, camera and moment would have given it.

    Parameters
    ----------
    pixels : uint8 (S, S, 3) or (S, S), one stored crop; it is not written to
    rng : the same state gives the same crop; a crop takes the same number of throws whatever ``augment`` says

    Returns
    -------
    uint8 array (H, W, C) in the network's colours.
    """
    crop = warp(pixels, view, motion(augment, rng))
    # A network for grey pictures sees the same spoilt face at a third of the work.
    crop = photographed(in_grey(crop) if view.color == "grey" else crop, augment, rng)
    return coloured(crop, view)


def motion(augment: Augment, rng: np.random.Generator) -> Motion:
    """Throw how one crop differs from the rule's."""
    scale, right, down, turn, aspect = np.clip(rng.standard_normal(5), -FARTHEST, FARTHEST).tolist()
    return Motion(
        scale=float(np.exp(augment.scale * scale)),
        right=augment.shift * right,
        down=augment.shift * down,
        degrees=augment.rotation * turn,
        aspect=float(np.exp(augment.aspect * aspect / 2)),
        mirrored=rng.random() < augment.mirror,
    )
