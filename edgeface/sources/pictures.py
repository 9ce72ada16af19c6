"""Still pictures as a source: one, or a folder in natural order; source time advances by one second a picture."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeface.config import Camera, Limits
from edgeface.errors import ImageError, SourceError, UsageError
from edgeface.sources.base import Origin, Pace
from edgeface.sources.image import is_image, read_image
from edgeface.types import Frame

logger = logging.getLogger(__name__)

SECONDS_PER_PICTURE = 1.0
SKIPPED_FOLDERS = ("edgeface-out",)


def natural(path: Path) -> list[tuple[int, int | str]]:
    """Sort key: ``2.jpg`` before ``10.jpg``."""
    parts = re.split(r"(\d+)", path.name.casefold())
    # The name itself comes last, so that `2.jpg` and `02.jpg` have one order everywhere.
    return [*((0, int(part)) if part.isdecimal() else (1, part) for part in parts), (1, path.name)]


def pictures_in(folder: Path) -> list[Path]:
    """Pictures of a folder (not of folders in it) in natural order; hidden files and our own results are left out."""
    if folder.name in SKIPPED_FOLDERS:
        return []
    found = [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file() and is_image(path)]
    return sorted(found, key=natural)


class Pictures:
    """One picture or several."""

    live = False
    dropped = 0

    def __init__(
        self, paths: Sequence[Path], camera: Camera, limits: Limits, origin: Origin, *, pace: Pace | None = None
    ) -> None:
        if not paths:
            raise UsageError(f"{camera.source} holds no pictures", fix="give a folder with pictures, or a file")
        self.description = str(camera.source)
        self._paths = paths
        self._camera = camera
        self._limits = limits
        self._origin = origin
        self._pace = pace or Pace(camera.pace)
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        """Every picture that can be read; in a folder the others are logged and counted.

        Raises
        ------
        ImageError : a single picture that cannot be read
        SourceError : after the last picture of a folder, when some could not be read
        """
        bad = 0
        for index, path in enumerate(self._paths):
            if self._closed:
                return
            try:
                image = read_image(path, megapixels=self._limits.megapixels)
            except ImageError as error:
                if len(self._paths) == 1:
                    raise
                logger.warning("%s", error)
                bad += 1
                continue
            time_s = index * SECONDS_PER_PICTURE
            self._pace.wait(time_s)
            yield self._origin.frame(image, self._camera, index=index, time_s=time_s, still=True)
        if bad:
            raise SourceError(
                f"{bad} of {len(self._paths)} pictures of {self.description} could not be read",
                fix="see the lines above; the others were analysed",
            )

    def close(self) -> None:
        """Stop after the current picture."""
        self._closed = True
