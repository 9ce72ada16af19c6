"""Where frames come from: files, cameras, streams and child processes; all yield `edgeface.types.Frame`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from edgeface.config import Camera, Limits
from edgeface.errors import UsageError
from edgeface.sources.base import Origin, Source
from edgeface.sources.image import Picture, is_image, read_image, read_picture
from edgeface.sources.pictures import Pictures, pictures_in
from edgeface.sources.video import VideoFile

__all__ = ["Picture", "Source", "is_image", "is_live", "open_source", "pictures_in", "read_image", "read_picture"]

STREAMS = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://")
CHILDREN = ("picamera", "csi")


def is_live(camera: Camera) -> bool:
    """Whether time goes on without us, from the source's name alone: cameras and streams, not files."""
    source = camera.source
    if isinstance(source, int):
        return True
    return source.startswith((*STREAMS, "/dev/")) or source in CHILDREN


def open_source(
    camera_id: str,
    camera: Camera,
    *,
    limits: Limits,
    started_at: datetime,
    decoder_threads: int | None = None,
) -> Source:
    """Make the source of a camera; it is opened when its frames are asked for.

    Parameters
    ----------
    started_at : wall time at which source time 0 of a file lies
    decoder_threads : for files; None leaves it to the decoder

    Raises
    ------
    UsageError : a path that does not exist, an empty folder
    """
    origin = Origin(camera=camera_id, started_at=started_at)
    if is_live(camera):
        raise UsageError(f"{camera.source} is a camera", fix="give a file")
    path = Path(str(camera.source))
    if path.is_dir():
        return Pictures(pictures_in(path), camera, limits, origin)
    if not path.exists():
        raise UsageError(f"{path} does not exist", fix="give a file, a folder, a camera number or an address")
    if is_image(path):
        return Pictures([path], camera, limits, origin)
    return VideoFile(path, camera, origin, decoder_threads=decoder_threads)
