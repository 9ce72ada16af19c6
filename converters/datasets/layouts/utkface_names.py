"""UTKFace as published: pictures whose names are their labels, ``[age]_[gender]_[race]_[date&time].jpg``.

Zhang, Song, Qi 2017. The set has no parts: every picture below the folder counts.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from converters.datasets.labelled import Chip, read
from converters.datasets.layouts.sets import FaceSet
from edgeface.errors import UsageError

NAME = "utkface-names"
LABELS = re.compile(r"^(\d{1,3})_([01])_([0-4])_\d+\D")
SOME_LABELS = re.compile(r"^\d{1,3}_(?:[01]_)?(?:_[0-4]_)?\d{12,}\D")
"""Three pictures of the published set lack gender or race in their names."""
RACES = ("White", "Black", "Asian", "Indian", "Others")
LOOK_AT = 50
SUFFIXES = (".jpg", ".jpeg", ".png")

logger = logging.getLogger(__name__)


def find(folder: Path, part: str | None) -> FaceSet | None:
    """Return UTKFace when names of pictures below the folder are labels."""
    if not any(LABELS.match(path.name) for path in islice(_pictures(folder), LOOK_AT)):
        return None
    if part is not None:
        raise UsageError("UTKFace has no parts in its makers' layout", fix="leave out --part")

    def read_all(limit: int | None) -> Iterator[Chip]:
        named = [(path, LABELS.match(path.name)) for path in sorted(_pictures(folder))]
        unnamed = [path for path, labels in named if labels is None]
        for path in unnamed:
            if not SOME_LABELS.match(path.name):
                raise UsageError(
                    f"{path}: the name is not [age]_[gender 0-1]_[race 0-4]_[date].jpg", fix="take the picture out"
                )
        if unnamed:
            logger.warning("left out, without all labels in the name: %s", ", ".join(path.name for path in unnamed))
        for path, labels in [(path, labels) for path, labels in named if labels][:limit]:
            age, gender, race = (int(group) for group in labels.groups())
            yield Chip(read(path), {"age": str(age), "gender": "MF"[gender], "race": RACES[race]})

    return FaceSet(name="utkface", title="UTKFace", layout=NAME, read=read_all, files=lambda: sorted(_pictures(folder)))


def _pictures(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*_*") if path.suffix.lower() in SUFFIXES)
