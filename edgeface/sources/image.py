"""Still pictures as a person sees them in a viewer: turned upright, colours as meant, eight bits, no alpha."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeface.errors import ImageError
from edgeface.sources.header import Header, jpeg_start, modern_bmp, sniff, webp_frame
from edgeface.types import Image

logger = logging.getLogger(__name__)

COMFORTABLE_PIXELS = 16_000_000
"""JPEGs beyond this are decoded at a half, a quarter or an eighth: the crops that networks see are far smaller."""
REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
JPEG_VIDEOS = frozenset((".mjpeg", ".mjpg"))
"""Many JPEGs one after the other: the first bytes are a picture's."""
HEAD_BYTES = 1 << 16
JPEG_END = b"\xff\xd9"
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic", ".heif"))
OTHER_SUFFIXES = frozenset((".jp2", ".pbm", ".pgm", ".ppm", ".pnm", ".pxm", ".sr", ".ras", ".hdr", ".exr", ".dib"))


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture; ``scale`` is how many original pixels one of its pixels stands for (1, 2, 4 or 8)."""

    image: Image
    scale: int
    original_wh: tuple[int, int]


def is_image(path: Path) -> bool:
    """Whether a file is a still picture, by its first bytes, else by its name (a broken picture is still one)."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        head = b""
    header = sniff(head)
    if header is not None:
        return header.kind != "jpeg" or path.suffix.lower() not in JPEG_VIDEOS
    return path.suffix.lower() in SUFFIXES | OTHER_SUFFIXES


def read_image(path: Path, *, megapixels: float) -> Image:
    """Read a picture at its full size or, where that is very large, reduced; see `read_picture`."""
    return read_picture(path, megapixels=megapixels).image


def read_picture(path: Path, *, megapixels: float) -> Picture:
    """Read a picture.

    Parameters
    ----------
    megapixels : larger pictures are refused from their header

    Returns
    -------
    Picture with a uint8 (H, W, 3) BGR image: EXIF orientation applied, grey and palette expanded, 16 bits scaled to 8,
    transparency laid over white, of an animation the first frame.

    Raises
    ------
    ImageError : cannot be read, is no picture, is truncated, is too large, or is of a kind that cannot be decoded
    """
    data = _bytes_of(path)
    header = sniff(data)
    if header is not None:
        _refuse(path, data, header, megapixels)
        data = _plain(data, header)
    factor = _reduction(header)
    decoded = _decode(data, factor)
    if decoded is None and header is not None:
        decoded = _first_of_animation(path, data, header)
    if decoded is None or decoded.size == 0:
        raise ImageError(f"{path} is not a picture that can be decoded", fix="convert it to JPEG or PNG")
    image = _upright(_eight_bit_bgr(decoded), 1 if header is None else header.orientation)
    height, width = image.shape[:2]
    if width * height > megapixels * 1e6:
        raise _too_large(path, width, height, megapixels)
    original = (width * factor, height * factor)
    if factor > 1 and header is not None:
        turned = header.orientation >= 5
        original = (header.height, header.width) if turned else (header.width, header.height)
    return Picture(image, factor, original)


def _bytes_of(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except IsADirectoryError:
        raise ImageError(f"{path} is a folder, not a picture", fix="give its files") from None
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}", fix="check path and permissions") from None
    if not data:
        raise ImageError(f"{path} is empty", fix="copy it again")
    return data


def _refuse(path: Path, data: bytes, header: Header, megapixels: float) -> None:
    if header.kind == "heic":
        raise ImageError(
            f"{path} is HEIC, which cannot be decoded here", fix="convert it: heif-convert IN.heic OUT.jpg"
        )
    if header.width * header.height > megapixels * 1e6:
        raise _too_large(path, header.width, header.height, megapixels)
    if not header.complete and not (header.kind == "jpeg" and _lacks_only_its_end(data)):
        raise ImageError(f"{path} is truncated", fix="copy it again")


def _plain(data: bytes, header: Header) -> bytes:
    """Undo what OpenCV stumbles over."""
    if header.kind == "jpeg":
        return data[jpeg_start(data) :] + (b"" if header.complete else JPEG_END)
    return modern_bmp(data) if header.kind == "bmp" else data


def _lacks_only_its_end(data: bytes) -> bool:
    """Whether nothing but the end marker of a JPEG is missing, as some cameras write it.

    The decoder fills what is missing without a word, so the file is decoded twice with different bytes behind its end:
    where they make a difference, picture data was missing.
    """
    data = data[jpeg_start(data) :]
    one, two = (_decode(data + more + JPEG_END, 1) for more in (b"", b"\x5a\xa5" * 512))
    return one is not None and two is not None and np.array_equal(one, two)


def _too_large(path: Path, width: int, height: int, megapixels: float) -> ImageError:
    return ImageError(
        f"{path} has {width}x{height} pixels, more than {megapixels:g} megapixels", fix="raise limits.megapixels"
    )


def _reduction(header: Header | None) -> int:
    if header is None or header.kind != "jpeg":
        return 1
    return next((f for f in (1, 2, 4) if header.width * header.height / (f * f) <= COMFORTABLE_PIXELS), 8)


def _decode(data: bytes, factor: int) -> npt.NDArray[Any] | None:
    """Pixels as stored; None when OpenCV cannot read them. It warns on standard error where we raise."""
    buffer = np.frombuffer(data, dtype=np.uint8)
    flags = REDUCED[factor] | cv2.IMREAD_IGNORE_ORIENTATION if factor > 1 else cv2.IMREAD_UNCHANGED
    try:
        decoded: npt.NDArray[Any] | None = cv2.imdecode(buffer, flags)
    except cv2.error as error:
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
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    done, image = capture.read()
    capture.release()
    return image if done else None


def _eight_bit_bgr(pixels: npt.NDArray[Any]) -> Image:
    """Any depth and channel count as uint8 BGR; alpha is laid over white."""
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        pixels = _tone(pixels.astype(np.float32))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    channels = pixels.shape[2]
    if channels in (2, 4):
        alpha = pixels[..., -1:].astype(np.uint16)
        colour = pixels[..., :-1].astype(np.uint16)
        pixels = ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels[..., :3])


def _tone(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Floating point and signed pictures: 0 to 1 as black to white, anything else from its least to its most."""
    pixels = np.nan_to_num(pixels)
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 1:
        pixels = (pixels - low) / max(high - low, 1e-12)
    return np.round(pixels * 255).astype(np.uint8)


def _upright(image: Image, orientation: int) -> Image:
    """Apply an EXIF orientation: what row and column 0 of the stored picture are to the viewer."""
    if orientation in (5, 6, 7, 8):
        image = cv2.transpose(image)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return image if flip is None else cv2.flip(image, flip)
