"""Pictures become detectors' tensors: in planes or not, the same numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edgeface.bundle import Input
from edgeface.detect.encoding import Encoder
from edgeface.geometry import Letterbox, letterbox, shrink, stretch
from edgeface.types import Image

SIZE_WH = (320, 192)
SPECS = {
    "raw": Input(color="bgr", mean=0.0, scale=1.0),
    "means": Input(color="rgb", mean=(123.0, 117.0, 104.0), scale=1 / 128),
    "scales": Input(color="rgb", mean=127.5, scale=(0.5, 0.25, 0.125)),
    "grey": Input(color="grey", mean=127.5, scale=1 / 127.5),
}


def picture(width: int, height: int) -> Image:
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    smooth: Image = cv2.GaussianBlur(noise, (0, 0), 2)
    return smooth


def plain(spec: Input, fitted: Image) -> npt.NDArray[np.float64]:
    """What the words say, in double precision; (H, W, C)."""
    canvas = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    canvas[: fitted.shape[0], : fitted.shape[1]] = fitted
    if spec.color == "grey":
        canvas = cv2.cvtColor(canvas, cv2.COLOR_BGR2GRAY)[..., None]
    pixels = (canvas[..., ::-1] if spec.color == "rgb" else canvas).astype(np.float64)
    normalized: npt.NDArray[np.float64] = (pixels - np.array(spec.means)) * np.array(spec.scales)
    return normalized


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("fit", [letterbox, stretch])
@pytest.mark.parametrize("image_wh", [(640, 360), (320, 192), (90, 120), (811, 607), (1920, 1080)])
def test_the_tensor_is_the_fitted_picture(
    spec: Input, layout: str, fit: Callable[..., Letterbox], image_wh: tuple[int, int]
) -> None:
    image = picture(*image_wh)
    fitted = fit(image_wh, SIZE_WH)
    tensor = Encoder(spec, layout).encode(image, fitted)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    expected = plain(spec, shrink(image, fitted.content_wh))
    np.testing.assert_allclose(
        tensor[0], expected.transpose(2, 0, 1) if layout == "NCHW" else expected, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_second_picture_leaves_nothing_of_the_first(layout: str) -> None:
    encoder = Encoder(SPECS["raw"], layout)
    for image_wh in ((640, 360), (360, 640), (640, 360)):
        image = picture(*image_wh)
        fit = letterbox(image_wh, SIZE_WH)
        np.testing.assert_array_equal(encoder.encode(image, fit), Encoder(SPECS["raw"], layout).encode(image, fit))


def test_threads_do_not_share_a_tensor() -> None:
    encoder, found = Encoder(SPECS["raw"], "NCHW"), []
    image = picture(640, 360)
    fit = letterbox((640, 360), SIZE_WH)
    thread = threading.Thread(target=lambda: found.append(encoder.encode(image, fit)))
    thread.start()
    thread.join()
    assert not np.shares_memory(found[0], encoder.encode(image, fit))
