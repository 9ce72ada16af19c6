"""A free picture with one face, and a film made from it: the only face that every machine has."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


def astronaut() -> np.ndarray:
    """BGR, 512x512; NASA, public domain."""
    data = pytest.importorskip("skimage.data", reason="the picture comes with scikit-image")
    return np.ascontiguousarray(data.astronaut()[:, :, ::-1])


def write_picture(path: Path) -> Path:
    assert cv2.imwrite(str(path), astronaut())
    return path


def write_film(path: Path, *, seconds: float = 3.0, fps: float = 10.0) -> Path:
    """She drifts slowly to the right, so that no two frames are equal."""
    picture = astronaut()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (512, 512))
    assert writer.isOpened()
    for index in range(round(seconds * fps)):
        writer.write(np.roll(picture, index, axis=1))
    writer.release()
    return path
