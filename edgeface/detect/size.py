"""Which input size a detector gets for a picture."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log

from edgeface.errors import ConfigError

VIDEO_SIZES = ((320, 192), (320, 320))
"""Smallest size of each prepared aspect: what ``auto`` chooses from for video and live sources, where it is there."""
STILL_SIDE = 640
ORIGINAL_SIDE = 1024


def choose_size(
    setting: str,
    image_wh: tuple[int, int],
    *,
    still: bool,
    prepared: Sequence[tuple[int, int]],
    multiple_of: int,
) -> tuple[int, int]:
    """Width and height of the detector's input.

    Parameters
    ----------
    setting : ``auto`` (video: the smallest size of the nearest aspect; stills: long side 640), ``original`` (the
        picture's own size, long side up to 1024), or ``WIDTHxHEIGHT``
    prepared : the only sizes that run; empty when any multiple of ``multiple_of`` does

    Raises
    ------
    ConfigError : a size that this file cannot run
    """
    if setting == "auto":
        if not still:
            usual = [size for size in VIDEO_SIZES if size in prepared] or sorted(prepared)
            return _nearest_aspect(image_wh, usual or VIDEO_SIZES)
        wanted = _fitted(image_wh, STILL_SIDE, multiple_of)
        return _smallest_holding(wanted, image_wh, prepared) if prepared else wanted
    if setting == "original":
        if prepared:
            raise ConfigError("detector.size = original needs a file of free size", fix='set runtime.name = "onnx"')
        return _fitted(image_wh, ORIGINAL_SIDE, multiple_of)
    width, _, height = setting.partition("x")
    size = (int(width), int(height))
    if prepared and size not in prepared:
        known = ", ".join(f"{w}x{h}" for w, h in prepared)
        raise ConfigError(f"detector.size {setting} is not prepared in this file", fix=f"choose one of: {known}")
    return _up(size[0], multiple_of), _up(size[1], multiple_of)


def _fitted(image_wh: tuple[int, int], side: int, multiple_of: int) -> tuple[int, int]:
    factor = min(1.0, side / max(image_wh))
    return _up(round(image_wh[0] * factor), multiple_of), _up(round(image_wh[1] * factor), multiple_of)


def _up(value: int, multiple_of: int) -> int:
    return max(1, ceil(value / multiple_of)) * multiple_of


def _nearest_aspect(image_wh: tuple[int, int], sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    aspect = log(image_wh[0] / image_wh[1])
    return min(sizes, key=lambda size: abs(log(size[0] / size[1]) - aspect))


def _smallest_holding(
    wanted: tuple[int, int], image_wh: tuple[int, int], prepared: Sequence[tuple[int, int]]
) -> tuple[int, int]:
    """Smallest prepared size that shows the picture as large as wanted, else the one that shows it largest."""
    holding = [size for size in prepared if size[0] >= wanted[0] and size[1] >= wanted[1]]
    if holding:
        return min(holding, key=lambda size: size[0] * size[1])
    return max(prepared, key=lambda size: min(size[0] / image_wh[0], size[1] / image_wh[1]))
