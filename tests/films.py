"""Small films through a real ffmpeg: every frame shows its number, so that order and completeness can be seen."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np

W, H, COUNT, RATE = 96, 64, 24, 10
BITS = 6
X264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")
MJPEG = ("-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p")
INTERLACED = ("-vf", "setfield=tff", "-flags", "+ildct+ilme")


def ffmpeg(*arguments: object, data: bytes | None = None) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def numbered(number: int) -> np.ndarray:
    """Grey with noise; black and white squares in the lower half tell the number."""
    image = np.random.default_rng(number).integers(100, 140, (H, W, 3), np.uint8)
    for bit in range(BITS):
        image[H // 2 :, 16 * bit : 16 * bit + 16] = 255 * (number >> bit & 1)
    return image


def number_of(image: np.ndarray) -> int:
    height, width = image.shape[:2]
    return sum(int(image[height * 3 // 4, width * (2 * bit + 1) // 12, 1] > 127) << bit for bit in range(BITS))


def film(path: Path, *out: object, images: Sequence[np.ndarray] = (), inputs: Sequence[object] = ()) -> Path:
    """Encode the numbered pictures, or the given ones; ``inputs`` stand before the pictures."""
    pictures = images or [numbered(number) for number in range(COUNT)]
    height, width = pictures[0].shape[:2]
    raw = ("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{width}x{height}", "-r", RATE, *inputs, "-i", "-")
    ffmpeg(*raw, *(out or X264), path, data=b"".join(picture.tobytes() for picture in pictures))
    return path
