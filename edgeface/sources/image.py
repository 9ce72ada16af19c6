"""Still pictures as a person sees them in a viewer: turned upright, colours as meant, eight bits, no alpha.

Memory is bounded before anything is decoded: by the size of the file, and by what its header says that decoding takes.
"""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeface.config import Limits
from edgeface.errors import ImageError
from edgeface.sources import jpeg
from edgeface.sources.header import Header, sniff
from edgeface.sources.kinds import expect_file
from edgeface.sources.opening import open_file
from edgeface.sources.repair import plain, webp_frame
from edgeface.types import Image

logger = logging.getLogger(__name__)

COMFORTABLE_PIXELS = 16_000_000
"""Pictures beyond this are seen at a half, a quarter or an eighth, JPEGs already while decoding: the crops that
networks see are far smaller."""
REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
BGR_BYTES = 3.0
"""Per pixel, of a picture in colours."""
LARGE_BYTES = 100_000_000
"""Pictures that take more than this while decoding are decoded one at a time."""
STRIP_PIXELS = 1 << 20
"""Colours are converted in strips: what is needed in between never fills a second picture."""

_large = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture; ``scale`` is how many original pixels one of its pixels stands for (1, 2, 4 or 8)."""

    image: Image
    scale: int
    original_wh: tuple[int, int]


def read_image(path: Path, limits: Limits) -> Image:
    """Read a picture at its full size or, where that is very large, reduced; see `read_picture`."""
    return read_picture(path, limits).image


def read_picture(path: Path, limits: Limits) -> Picture:
    """Read a picture.

    Parameters
    ----------
    limits : larger pictures are refused from their header, larger files from their size

    Returns
    -------
    Picture with a uint8 (H, W, 3) BGR image: EXIF orientation applied, grey and palette expanded, 16 bits scaled to 8,
    transparency laid over white, of an animation the first frame.

    Raises
    ------
    ImageError : cannot be read, is no picture, is truncated, is too large, or is of a kind that cannot be decoded
    """
    data = _bytes_of(path, limits)
    header = sniff(data)
    if header is None:
        raise _undecodable(path)
    factor = _reduction(header)
    needed = len(data) + _decoding_bytes(header, factor)
    _refuse(path, header, limits, needed)
    if needed > LARGE_BYTES:
        with _large:
            return _decoded(path, data, header, factor, limits)
    return _decoded(path, data, header, factor, limits)


def _decoded(path: Path, data: bytes, header: Header, factor: int, limits: Limits) -> Picture:
    if not header.complete and not (header.kind == "jpeg" and _lacks_only_its_end(data, factor)):
        raise ImageError(f"{path} is truncated", fix="copy it again")
    data = plain(data, header)
    decoded = _decode(data, factor)
    if decoded is None:
        decoded = _first_of_animation(path, data, header)
    if decoded is None or decoded.size == 0:
        raise _undecodable(path)
    image = _upright(_eight_bit_bgr(decoded), header.orientation)
    del decoded
    height, width = image.shape[:2]
    if width * height > limits.megapixels * 1e6:
        raise _too_large(path, width, height, limits)
    original = (width, height)
    if factor > 1:
        original = (header.height, header.width) if header.orientation >= 5 else (header.width, header.height)
    return _comfortable(image, factor, original)


def _bytes_of(path: Path, limits: Limits) -> bytes:
    size = expect_file(path, ImageError)
    if size > limits.megabytes * 1e6:
        raise ImageError(
            f"{path} is a file of {size / 1e6:.0f} MB, more than {limits.megabytes:g}", fix="raise limits.megabytes"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}", fix="check path and permissions") from None


def _refuse(path: Path, header: Header, limits: Limits, needed: float) -> None:
    if header.kind == "heic":
        raise ImageError(
            f"{path} is HEIC, which cannot be decoded here", fix="convert it: heif-convert IN.heic OUT.jpg"
        )
    if header.width * header.height > limits.megapixels * 1e6:
        raise _too_large(path, header.width, header.height, limits)
    if needed > limits.megabytes * 1e6:
        raise ImageError(
            f"{path} has {header.width}x{header.height} pixels, which take {needed / 1e6:.0f} MB to decode, "
            f"more than {limits.megabytes:g}",
            fix="raise limits.megabytes, or give it as JPEG",
        )


def _decoding_bytes(header: Header, factor: int) -> float:
    """Memory at the worst moment: the decoder's own, or ours, when grey becomes colours or a picture is turned."""
    stored = header.pixel_bytes / 2
    deep = max(header.pixel_bytes, stored + BGR_BYTES, 2 * BGR_BYTES if header.orientation > 1 else 0)
    return header.width * header.height * (deep / (factor * factor) + header.kept_bytes)


def _lacks_only_its_end(data: bytes, factor: int) -> bool:
    """Whether nothing but the end marker of a JPEG is missing, as some cameras write it.

    The decoder fills what is missing without a word, so the file is decoded twice with different bytes behind its end:
    where they make a difference, picture data was missing.
    """
    start = jpeg.find_start(data)
    data = data[start:] if start else data
    one, two = (_decode(data + more + jpeg.END, factor) for more in (b"", b"\x5a\xa5" * 512))
    return one is not None and two is not None and np.array_equal(one, two)


def _too_large(path: Path, width: int, height: int, limits: Limits) -> ImageError:
    return ImageError(
        f"{path} has {width}x{height} pixels, more than {limits.megapixels:g} megapixels", fix="raise limits.megapixels"
    )


def _undecodable(path: Path) -> ImageError:
    return ImageError(f"{path} is not a picture that can be decoded", fix="convert it to JPEG or PNG")


def _reduction(header: Header) -> int:
    if header.kind != "jpeg":
        return 1
    return _shrunk(header.width * header.height)


def _shrunk(pixels: int) -> int:
    """How many pixels of a side become one, so that the picture is comfortable."""
    return next((f for f in (1, 2, 4) if pixels / (f * f) <= COMFORTABLE_PIXELS), 8)


def _comfortable(image: Image, scale: int, original_wh: tuple[int, int]) -> Picture:
    """Shrink what its decoder could not."""
    height, width = image.shape[:2]
    factor = _shrunk(width * height)
    if factor > 1:
        size = math.ceil(width / factor), math.ceil(height / factor)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return Picture(image, scale * factor, original_wh)


def _decode(data: bytes, factor: int) -> npt.NDArray[Any] | None:
    """Pixels as stored; None when OpenCV cannot read them. It warns on standard error where we raise."""
    buffer = np.frombuffer(data, dtype=np.uint8)
    flags = REDUCED[factor] | cv2.IMREAD_IGNORE_ORIENTATION if factor > 1 else cv2.IMREAD_UNCHANGED
    try:
        decoded: npt.NDArray[Any] | None = cv2.imdecode(buffer, flags)
    except (cv2.error, MemoryError) as error:
        logger.debug("cannot decode: %s", error)
        return None
    return decoded


def _first_of_animation(path: Path, data: bytes, header: Header) -> npt.NDArray[Any] | None:
    """OpenCV 4.10 reads GIF only as a video, and no animated WebP at all."""
    if header.kind == "webp":
        frame = webp_frame(data)
        return None if frame is None else _decode(frame, 1)
    if header.kind != "gif":
        return None
    capture = open_file(path, [])
    done, image = capture.read()
    capture.release()
    return image if done else None


def _eight_bit_bgr(pixels: npt.NDArray[Any]) -> Image:
    """Any depth and channel count as uint8 BGR; alpha is laid over white."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.ascontiguousarray(pixels)
    low, high = _range(pixels)
    height, width = pixels.shape[:2]
    bgr: Image = np.empty((height, width, 3), np.uint8)
    rows = max(1, STRIP_PIXELS // max(1, width))
    for top in range(0, height, rows):
        bgr[top : top + rows] = _strip(pixels[top : top + rows], low, high)
    return bgr


def _strip(pixels: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Some rows as uint8, of one or three channels."""
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        level = (np.nan_to_num(pixels.astype(np.float32)) - low) / max(high - low, 1e-12)
        pixels = np.round(level * 255).astype(np.uint8)
    if pixels.shape[2] in (2, 4):
        alpha = pixels[..., -1:].astype(np.uint16)
        colour = pixels[..., :-1].astype(np.uint16)
        pixels = ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1]


def _range(pixels: npt.NDArray[Any]) -> tuple[float, float]:
    """Values of black and white in floating point and signed pictures: 0 and 1, else the least and the most."""
    if pixels.dtype in (np.uint8, np.uint16):
        return 0.0, 1.0
    rows = max(1, STRIP_PIXELS // max(1, pixels.shape[1]))
    least, most = np.inf, -np.inf
    for top in range(0, len(pixels), rows):
        strip = np.nan_to_num(pixels[top : top + rows].astype(np.float32))
        least, most = min(least, float(strip.min())), max(most, float(strip.max()))
    return (0.0, 1.0) if least >= 0 and most <= 1 else (least, most)


def _upright(image: Image, orientation: int) -> Image:
    """Apply an EXIF orientation: what row and column 0 of the stored picture are to the viewer."""
    if orientation in (5, 6, 7, 8):
        image = cv2.transpose(image)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return image if flip is None else cv2.flip(image, flip)
