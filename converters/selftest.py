"""Self-tests of a bundle: one stored picture per network, and what the source network says of it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import skimage.data
import torch
from torch import nn

from converters.recipe import NetworkRecipe, SelfTestRecipe
from edgeface.crop import cut
from edgeface.geometry import letterbox, shrink
from edgeface.runtime import to_tensor
from edgeface.types import F32, Image


def make_selftest(module: nn.Module, outputs: Sequence[str], network: NetworkRecipe, recipe: SelfTestRecipe) -> bytes:
    """Build an ``.npz`` with ``input`` (uint8, (1, H, W, C), in the network's colour order) and each output, float32.

    The picture is skimage's astronaut, cropped by the device's own crop, or letterboxed for a detector.
    """
    pixels = selftest_input(network, recipe)
    answers = run_source(module, outputs, to_tensor(pixels, network.input, "NCHW"))
    buffer = io.BytesIO()
    # numpy stamps members with a fixed date, so equal arrays give equal bytes.
    np.savez_compressed(buffer, input=pixels, **answers)  # type: ignore[arg-type]
    return buffer.getvalue()


def selftest_input(network: NetworkRecipe, recipe: SelfTestRecipe) -> npt.NDArray[np.uint8]:
    """Pixels of the stored input, shape (1, H, W, C)."""
    image: Image = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    if not network.is_detector:
        box, points = np.array(recipe.box, np.float32), np.array(recipe.landmarks, np.float32)
        return cut(image, box, points, network.input)[None]
    fit = letterbox((image.shape[1], image.shape[0]), recipe.detector_size)
    scene = np.zeros((1, fit.size_wh[1], fit.size_wh[0], 3), np.uint8)
    scene[0, : fit.content_wh[1], : fit.content_wh[0]] = shrink(image, fit.content_wh)
    return scene if network.input.color == "bgr" else np.ascontiguousarray(scene[..., ::-1])


def run_source(module: nn.Module, outputs: Sequence[str], tensor: F32) -> Mapping[str, F32]:
    """Outputs of the torch module by name, for a float32 batch (N, C, H, W)."""
    with torch.no_grad():
        answers = module(torch.from_numpy(np.ascontiguousarray(tensor)))
    return {name: answer.numpy() for name, answer in zip(outputs, answers, strict=True)}
