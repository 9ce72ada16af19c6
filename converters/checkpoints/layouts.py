"""Axes: how a tensor of somebody's checkpoint is turned into torch's order."""

from __future__ import annotations

from math import prod

import numpy as np

from edgeface.types import F32

PLAIN = "plain"


def to_torch_axes(array: F32, layout: str, shape: tuple[int, ...]) -> F32:
    """Their array in torch's axes and our shape.

    Parameters
    ----------
    array : their tensor. Its axes may also stand merged (a flat array, a dense layer over a map) or with axes of one
        more or less: they are split as ``layout`` says
    layout : one letter per axis of theirs: ``o`` out, ``i`` in, ``h`` and ``w`` of the kernel, ``c`` and ``m`` the
        channels of a depthwise kernel and how often each is taken (``o`` in our tensor), ``1`` an axis of one; or
        ``plain`` for the axes of ours. So ``hwio`` is a Keras or TensorFlow kernel, ``hwim`` or ``hwcm`` its depthwise
        form, ``ohwi`` and ``1hwc`` those of TFLite, ``io`` a dense layer, ``owhi`` one behind a map flattened by width,
        height, channel
    shape : of our parameter

    Raises
    ------
    ValueError : it has another shape
    """
    if layout == PLAIN:
        return _split(array, shape)
    letters = layout.replace("hwim", "hwcm")
    sizes = _sizes(letters, shape, array.shape)
    order = sorted(range(len(letters)), key=lambda axis: "ocm1ihw".index(letters[axis]))
    expected = tuple(sizes[letter] for letter in letters)
    return np.ascontiguousarray(_split(array, expected).transpose(order)).reshape(shape)


def _sizes(letters: str, shape: tuple[int, ...], theirs: tuple[int, ...]) -> dict[str, int]:
    """Size of each axis that a tensor of our ``shape`` has in their layout."""
    kernel = shape[2:] if len(shape) == 4 else (1, 1)
    spatial = "h" in letters
    sizes = {"1": 1, "o": shape[0], "h": kernel[0], "w": kernel[1], "c": shape[0], "m": 1}
    sizes["i"] = (shape[1] if spatial else prod(shape[1:])) if len(shape) > 1 else 1
    if "m" in letters and len(theirs) == len(letters):
        sizes["m"] = theirs[letters.index("m")]
        sizes["c"] = shape[0] // max(sizes["m"], 1)
    return sizes


def _split(array: F32, shape: tuple[int, ...]) -> F32:
    """``array`` in ``shape``, if only axes that stand merged are split or axes of one come and go."""
    if array.shape != shape and not (array.size == prod(shape) and _edges(array.shape) <= _edges(shape)):
        raise ValueError(f"has the shape {list(array.shape)}, not {list(shape)}")
    return array.reshape(shape)


def _edges(shape: tuple[int, ...]) -> set[int]:
    return {prod(shape[: axis + 1]) for axis in range(len(shape))} | {1, prod(shape)}
