"""Files as a source: a picture, or a folder of pictures and videos in natural order.

Source time advances by one second a picture. A video starts, and is followed, after a pause in which everybody is
gone: nobody is followed from one film into the next.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Container, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec

from edgeface.config import Camera, Limits
from edgeface.errors import SourceError, UsageError
from edgeface.sources.base import Origin, Pace
from edgeface.sources.image import read_image
from edgeface.sources.kinds import is_image, is_picture_name, is_video, is_video_name
from edgeface.sources.video import VideoFile
from edgeface.types import Frame

logger = logging.getLogger(__name__)

SECONDS_PER_PICTURE = 1.0
SECONDS_BETWEEN_FILMS = 10.0
SKIPPED_FOLDERS = ("edgeface-out",)
RESULT = re.compile(r"(?P<source>.+)\.(faces\.(jpg|mp4)|face\d+\..+\.png)")
"""Pictures and films that `edgeface analyze` writes, which may be into the folder that it reads."""

OpenVideo = Callable[[Path], VideoFile]


def natural(path: Path) -> list[tuple[int, int | str]]:
    """Sort key: ``2.jpg`` before ``10.jpg``."""
    parts = re.split(r"(\d+)", path.name.casefold())
    # The name itself comes last, so that `2.jpg` and `02.jpg` have one order everywhere.
    return [*((0, int(part)) if part.isdecimal() else (1, part) for part in parts), (1, path.name)]


def files_in(folder: Path) -> list[tuple[Path, bool]]:
    """Pictures and videos of a folder (not of folders in it) in natural order, and whether each is a picture.

    Hidden files and our own results are left out. Links that lead nowhere are there, and whatever has the name of a
    picture or a video without being a file: reading them says why they could not be read.

    Raises
    ------
    UsageError : the folder may not be read, or holds nothing of that kind
    """
    try:
        entries = sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=natural)
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror}", fix="check its permissions") from None
    names = {path.name for path in entries}
    sources = [path for path in entries if not _is_result(path.name, names)]
    kinds = [] if folder.name in SKIPPED_FOLDERS else [(path, _kind(path)) for path in sources]
    found = [(path, still) for path, still in kinds if still is not None]
    if not found:
        raise UsageError(
            f"{folder} holds no pictures or videos", fix="give a folder with pictures or videos, or a file"
        )
    return found


def _is_result(name: str, names: Container[str]) -> bool:
    """Whether a picture or video is what `edgeface analyze` has drawn of another: its name begins with that one's."""
    found = RESULT.fullmatch(name)
    if found is None:
        return False
    source = Path(found["source"])
    return source.name in names or is_picture_name(source) or is_video_name(source)


def _kind(path: Path) -> bool | None:
    """Whether an entry of a folder is a picture (or a dead link), a video (False), or neither (None)."""
    if path.is_dir():
        return None
    if not path.exists():
        return True
    if path.is_file():
        return True if is_image(path) else False if is_video(path) else None
    return True if is_picture_name(path) else False if is_video_name(path) else None


class Files:
    """One picture, or several files.

    Parameters
    ----------
    files : each with whether it is a still picture
    video : opens those that are none, unpaced
    """

    live = False
    dropped = 0

    def __init__(
        self,
        files: Sequence[tuple[Path, bool]],
        camera: Camera,
        limits: Limits,
        origin: Origin,
        *,
        video: OpenVideo,
        pace: Pace | None = None,
    ) -> None:
        self.description = str(camera.source)
        self._files = files
        self._limits = limits
        self._origin = origin
        self._video = video
        self._pace = pace or Pace(camera.pace)
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        """Every frame of what can be read; in a folder the rest is logged and counted.

        Raises
        ------
        ImageError : a single picture that cannot be read
        SourceError : after the last file of a folder, when some could not be read
        """
        bad = index = 0
        start_s, film_before = 0.0, False
        for path, still in self._files:
            if index and (film_before or not still):
                start_s += SECONDS_BETWEEN_FILMS
            last_s, film_before = start_s, not still
            try:
                for frame in self._frames_of(path, still=still):
                    if self._closed:
                        return
                    last_s = start_s + frame.time_s
                    self._pace.wait(last_s)
                    captured_at = frame.captured_at + timedelta(seconds=start_s)
                    yield msgspec.structs.replace(frame, index=index, time_s=last_s, captured_at=captured_at)
                    index += 1
            except SourceError as error:
                if len(self._files) == 1:
                    raise
                logger.warning("%s", error)
                bad += 1
            start_s = last_s + SECONDS_PER_PICTURE
        if bad:
            kind = "pictures" if all(still for _, still in self._files) else "files"
            raise SourceError(
                f"{bad} of {len(self._files)} {kind} of {self.description} could not be read",
                fix="see the lines above; the others were analysed",
            )

    def close(self) -> None:
        """Stop after the current frame."""
        self._closed = True

    def _frames_of(self, path: Path, *, still: bool) -> Iterator[Frame]:
        """Frames of one file, its time counted from 0."""
        if still:
            image = read_image(path, self._limits)
            yield self._origin.frame(image, index=0, time_s=0.0, still=True)
        else:
            yield from self._video(path).frames()
