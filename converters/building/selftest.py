"""Self-tests of a bundle: one stored picture per network, and what the source network says of it."""

from __future__ import annotations

import io

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data

from converters.recipes.schema import NetworkRecipe, SelfTestRecipe
from converters.references.torch_module import Reference, feed
from edgeface.bundle import Network
from edgeface.crop import cut
from edgeface.geometry import letterbox, shrink
from edgeface.runtime import to_tensor
from edgeface.selftest import uninformative
from edgeface.types import Image

NOISE = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of noise that are tried in turn."""


def make_selftest(reference: Reference, network: NetworkRecipe, recipe: SelfTestRecipe) -> bytes:
    """Build an ``.npz`` with ``input`` (uint8, (1, H, W, C), in the network's colour order) and each output, float32.

    The picture is skimage's astronaut, cropped by the device's own crop, or letterboxed for a detector; with as much
    noise over it as it takes until the answer could tell a broken network: one that saturates tells nothing. A
    recurrent network starts with an empty memory; its new memory is stored with the outputs.
    """
    picture = selftest_input(network, recipe)
    dice = np.random.default_rng(0).integers(0, 256, picture.shape)
    for share in NOISE:
        pixels = np.rint(picture * (1 - share) + dice * share).astype(np.uint8)
        answers = reference.run(feed(network, to_tensor(pixels, network.input, "NCHW")))
        if not uninformative(answers):
            break
    buffer = io.BytesIO()
    # numpy stamps members with a fixed date, so equal arrays give equal bytes.
    np.savez_compressed(buffer, input=pixels, **answers)  # type: ignore[arg-type]
    return buffer.getvalue()


def selftest_input(network: NetworkRecipe | Network, recipe: SelfTestRecipe) -> npt.NDArray[np.uint8]:
    """Pixels of the stored input, shape (1, H, W, C)."""
    image: Image = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    if network.input.crop is not None:
        box, points = np.array(recipe.box, np.float32), np.array(recipe.landmarks, np.float32)
        return cut(image, box, points, network.input)[None]
    width, height = network.input.width, network.input.height
    size = (width, height) if width and height else recipe.detector_size
    if isinstance(network, NetworkRecipe) and not (width and height):
        prepared = network.prepared.sizes if network.prepared is not None else ()
        size = network.seen_sizes([size if not prepared or size in prepared else prepared[0]])[0]
    if network.task == "stage":
        # Parts of a detector see faces, or a small picture, not the whole.
        x1, y1, x2, y2 = (round(value) for value in recipe.box)
        image = image[y1:y2, x1:x2]
    scene = np.zeros((1, size[1], size[0], 3), np.uint8)
    if network.input.fit == "stretch" or network.task == "stage":
        scene[0] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    else:
        fit = letterbox((image.shape[1], image.shape[0]), size)
        scene[0, : fit.content_wh[1], : fit.content_wh[0]] = shrink(image, fit.content_wh)
    if network.input.color == "grey":
        grey: Image = cv2.cvtColor(scene[0], cv2.COLOR_BGR2GRAY)[None, ..., None]
        return grey
    return scene if network.input.color == "bgr" else np.ascontiguousarray(scene[..., ::-1])
