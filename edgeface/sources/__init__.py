"""Where frames come from: files, cameras, streams and child processes; all yield `edgeface.types.Frame`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from edgeface.config import Camera, Limits, program_of
from edgeface.sources.base import Origin, Pace, Source
from edgeface.sources.child import Recipe
from edgeface.sources.image import Picture, read_image, read_picture
from edgeface.sources.kinds import is_folder, is_image
from edgeface.sources.live import Device, LiveSource
from edgeface.sources.picamera2_pipe import PACKAGE, Picamera2Pipe, picamera2
from edgeface.sources.pictures import Files, files_in
from edgeface.sources.pipe import ChildPipe, csi, picamera
from edgeface.sources.stream import SCHEMES, Stream
from edgeface.sources.transform import Preparation
from edgeface.sources.v4l2 import V4l2Camera
from edgeface.sources.video import VideoFile

__all__ = [
    "RECIPES",
    "SCHEMES",
    "Picture",
    "Source",
    "files_in",
    "is_folder",
    "is_image",
    "is_live",
    "open_source",
    "read_image",
    "read_picture",
    "recipe_of",
]

RECIPES = {"picamera": picamera, "picamera2": picamera2, "csi": csi}


def is_live(camera: Camera) -> bool:
    """Whether time goes on without us, from the source's name alone: cameras and streams, not files."""
    source = _named(camera)
    return isinstance(source, int) or source.startswith((*SCHEMES, "/dev/")) or program_of(source) is not None


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
    UsageError : a path that does not exist or may not be looked at, an empty folder
    """
    if is_live(camera):
        return LiveSource(camera_id, camera, _device(camera))
    origin = Origin(camera=camera_id, started_at=started_at, prepare=Preparation(camera))
    path = Path(str(camera.source))

    def video(path: Path, pace: Pace | None = None) -> VideoFile:
        return VideoFile(path, camera, origin, limits=limits, pace=pace, decoder_threads=decoder_threads)

    if is_folder(path):
        return Files(files_in(path), camera, limits, origin, video=lambda path: video(path, Pace("max")))
    if is_image(path):
        return Files([(path, True)], camera, limits, origin, video=video)
    return video(path)


def recipe_of(camera: Camera) -> Recipe | None:
    """How the program behind a camera is started, None for a camera without one.

    ``picamera`` takes what is there: ``rpicam-vid``, also by its old name, else picamera2.
    """
    program = program_of(_named(camera))
    if program is None:
        return None
    name = program[0]
    recipe = RECIPES[name](camera)
    return picamera2(camera) if name == "picamera" and recipe.program is None and PACKAGE.exists() else recipe


def _named(camera: Camera) -> int | str:
    """Return the source; a number in quotes is a number."""
    source = camera.source
    return int(source) if isinstance(source, str) and source.isascii() and source.isdecimal() else source


def _device(camera: Camera) -> Device:
    source = _named(camera)
    recipe = recipe_of(camera)
    if recipe is not None:
        return Picamera2Pipe(recipe) if recipe.name == "picamera2" else ChildPipe(recipe)
    if isinstance(source, str) and source.startswith(SCHEMES):
        return Stream(camera)
    return V4l2Camera(camera)
