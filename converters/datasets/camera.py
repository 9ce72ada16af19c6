"""What light, lens, sensor and compression do to a crop, each with a share of the faces that it befalls.

Light works as tables of 256 entries and noise comes from a bank: on pixels in floats both cost more than a small
network's training step.
"""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from edgeface.bundle import Closed
from edgeface.types import Image

Share = Annotated[float, Meta(ge=0, le=1)]
NOISE = np.random.default_rng(0).standard_normal(1 << 19).astype(np.float32)
"""Bank of noise, mean 0 and deviation 1; a crop takes a part of it from a place that is thrown."""
TONES = np.arange(256, dtype=np.float32)
GREYEST, STRONGEST = 0.5, 1.4
"""Range of the saturation, 1 being the picture's own."""
SMALLEST_COVER = 0.15
LARGEST = 0.9
"""Least side of what covers a face, and largest of a face seen from afar, in shares of the crop's."""
BEST_QUALITY = 95
SHARPEST_PX, MOTION_PX = 0.4, 5
"""Deviation of the least blur; length of a blur by motion."""
THROWS, NORMALS = 26, 6
"""Numbers from 0 to 1, and normal ones, that decide what befalls one crop."""
HELD = (5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 18, 19, 20, 22, 23)
"""Throws that say what covers a face and what a camera is like: one for all frames of a sequence."""
FRESH = (21,)
"""Throws that no two frames share: where noise is taken from. All others change slowly from frame to frame."""


def _streaks() -> list[npt.NDArray[np.float32]]:
    """Kernels of motion in eight directions."""
    kernels = []
    for number in range(8):
        kernel = np.zeros((MOTION_PX, MOTION_PX), np.float32)
        x, y = np.cos(np.pi * number / 8) * (MOTION_PX // 2), np.sin(np.pi * number / 8) * (MOTION_PX // 2)
        middle = MOTION_PX // 2
        for at in np.linspace(-1, 1, 4 * MOTION_PX):
            kernel[round(middle + at * y), round(middle + at * x)] = 1
        kernels.append(kernel / kernel.sum())
    return kernels


STREAKS = _streaks()


class Camera(Closed, frozen=True, kw_only=True):
    """What befalls the picture of a face; every share is of faces, 0 for never."""

    occlusion: Annotated[Share, Meta(description="share with a part covered by a rectangle: a hand, a scarf")] = 0.25
    occlusion_side: Annotated[
        float, Meta(ge=0.15, le=0.8, description="longest side of what covers, in shares of the crop's")
    ] = 0.4
    light: Annotated[Share, Meta(description="share in another light: gamma, contrast and brightness")] = 0.7
    gamma: Annotated[float, Meta(ge=0, le=1, description="standard deviation of the logarithm of gamma")] = 0.25
    contrast: Annotated[float, Meta(ge=0, le=1, description="standard deviation of the contrast's logarithm")] = 0.2
    brightness: Annotated[float, Meta(ge=0, le=128, description="standard deviation of the brightness, levels")] = 18.0
    saturation: Annotated[Share, Meta(description="share with paler or stronger colours; colour only")] = 0.5
    tint: Annotated[Share, Meta(description="share under coloured light; colour only")] = 0.6
    tint_levels: Annotated[float, Meta(ge=0, le=64, description="standard deviation of a colour's shift, levels")] = 6.0
    grey: Annotated[Share, Meta(description="share without colour, as an infrared camera gives it; colour only")] = 0.1
    equalise: Annotated[Share, Meta(description="share with its histogram equalised")] = 0.0
    low_resolution: Annotated[Share, Meta(description="share seen from afar: shrunk, spoilt and enlarged")] = 0.25
    smallest: Annotated[
        float, Meta(ge=0.1, le=0.9, description="least side of a face seen from afar, in shares of the crop's")
    ] = 0.3
    blur: Annotated[Share, Meta(description="share of the others out of focus or moved, half of them each")] = 0.15
    blur_px: Annotated[float, Meta(ge=0.4, le=5, description="largest standard deviation out of focus, pixels")] = 1.2
    noise: Annotated[Share, Meta(description="share with noise of the sensor")] = 0.3
    noise_levels: Annotated[float, Meta(ge=1, le=64, description="largest standard deviation of noise, levels")] = 8.0
    jpeg: Annotated[Share, Meta(description="share that was compressed")] = 0.2
    jpeg_quality: Annotated[int, Meta(ge=5, le=95, description="least quality of the compression, percent")] = 30


def photographed(crop: Image, camera: Camera, rng: np.random.Generator) -> Image:
    """Spoil one crop, uint8 (H, W, 3) in RGB or (H, W) in grey, which may be written to; the same shape comes back."""
    u: list[float] = rng.random(THROWS).tolist()
    z: list[float] = np.clip(rng.standard_normal(NORMALS), -3, 3).tolist()
    return spoilt(crop, camera, u, z)


def share_seen(camera: Camera, u: list[float]) -> float:
    """Side of a face seen from afar in shares of the crop's, 1 for one that is near."""
    return camera.smallest + (LARGEST - camera.smallest) * u[14] if u[13] < camera.low_resolution else 1.0


def spoilt(crop: Image, camera: Camera, u: list[float], z: list[float]) -> Image:
    """Do to a crop what `THROWS` numbers from 0 to 1 and `NORMALS` normal ones say; see `photographed`."""
    size_wh = (crop.shape[1], crop.shape[0])
    if u[0] < camera.occlusion:
        _cover(crop, camera.occlusion_side, u[1:7])
    crop = _lit(crop, camera, u[7:12], z)
    if u[12] < camera.equalise:
        crop = _equalised(crop)
    share = share_seen(camera, u)
    if share < 1:
        small = (max(1, round(size_wh[0] * share)), max(1, round(size_wh[1] * share)))
        crop = cv2.resize(crop, small, interpolation=cv2.INTER_AREA)
    elif u[15] < camera.blur:
        crop = _blurred(crop, camera.blur_px, u[16:19])
    if u[19] < camera.noise:
        level = 1 + (camera.noise_levels - 1) * u[20]
        at = int(u[21] * (NOISE.size - crop.size))
        noise = NOISE[at : at + crop.size].reshape(crop.shape)
        crop = cv2.addWeighted(crop, 1, noise, level, 0, dtype=cv2.CV_8U)
    if u[22] < camera.jpeg:
        crop = _compressed(crop, round(camera.jpeg_quality + (BEST_QUALITY - camera.jpeg_quality) * u[23]))
    if crop.shape[1::-1] != size_wh:
        crop = cv2.resize(crop, size_wh, interpolation=cv2.INTER_LINEAR)
    return crop


def _cover(crop: Image, longest: float, u: list[float]) -> None:
    """Cover a rectangle, by one tone or by the crop's own mean."""
    height, width = (
        max(1, int(side * (SMALLEST_COVER + (longest - SMALLEST_COVER) * share)))
        for side, share in zip(crop.shape[:2], u[:2], strict=True)
    )
    top, left = int(u[2] * (crop.shape[0] - height + 1)), int(u[3] * (crop.shape[1] - width + 1))
    tone = int(256 * u[4]) if u[5] < 0.5 else int(crop.mean())
    crop[top : top + height, left : left + width] = tone


def _lit(crop: Image, camera: Camera, u: list[float], z: list[float]) -> Image:
    """Gamma, contrast and brightness as one table, tint as one for each colour; saturation before."""
    tones = TONES
    if u[0] < camera.light:
        tones = 255 * (tones / 255) ** np.float32(np.exp(camera.gamma * z[0]))
        middle = tones[int(crop.mean())]
        tones = (tones - middle) * np.float32(np.exp(camera.contrast * z[1])) + (middle + camera.brightness * z[2])
    if crop.ndim == 2:
        return crop if tones is TONES else cv2.LUT(crop, _levels(tones))
    weight = 0.0 if u[1] < camera.grey else 1.0
    if weight and u[2] < camera.saturation:
        weight = GREYEST + (STRONGEST - GREYEST) * u[3]
    if weight != 1:
        grey = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        crop = grey if not weight else cv2.addWeighted(crop, weight, grey, 1 - weight, 0)
    tinted = weight > 0 and u[4] < camera.tint
    if tinted:
        tones = tones[:, None] + np.array(z[3:6], np.float32) * np.float32(camera.tint_levels)
    return crop if tones is TONES else cv2.LUT(crop, _levels(tones)[None] if tinted else _levels(tones))


def _levels(tones: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return np.rint(np.clip(tones, 0, 255)).astype(np.uint8)


def _equalised(crop: Image) -> Image:
    if crop.ndim == 2:
        flat: Image = cv2.equalizeHist(crop)
        return flat
    planes = cv2.cvtColor(crop, cv2.COLOR_RGB2YCrCb)
    planes[..., 0] = cv2.equalizeHist(np.ascontiguousarray(planes[..., 0]))
    spread: Image = cv2.cvtColor(planes, cv2.COLOR_YCrCb2RGB)
    return spread


def _blurred(crop: Image, largest: float, u: list[float]) -> Image:
    if u[0] < 0.5:
        deviation = SHARPEST_PX + (largest - SHARPEST_PX) * u[1]
        soft: Image = cv2.GaussianBlur(crop, (0, 0), deviation, borderType=cv2.BORDER_REPLICATE)
        return soft
    streaked: Image = cv2.filter2D(crop, -1, STREAKS[int(u[2] * len(STREAKS))], borderType=cv2.BORDER_REPLICATE)
    return streaked


def _compressed(crop: Image, quality: int) -> Image:
    grey = crop.ndim == 2
    bgr = crop if grey else cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
    written, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    read = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    assert written
    assert read is not None
    spoilt: Image = read if grey else cv2.cvtColor(read, cv2.COLOR_BGR2RGB)
    return spoilt
