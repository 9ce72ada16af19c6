"""Faces of one's own: ``PART.csv`` (path, and any of age, gender, emotion, race) beside the pictures.

Paths are taken from the folder of the table. ``age`` is in years from 0 to 120, or a bin of FairFace (``20-29``);
``gender`` M or F, also male or female; ``emotion`` a word. Other columns stay as they are; an empty cell is a label
that nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from converters.datasets.expressions import spelling
from converters.datasets.labelled import Chip
from converters.datasets.labels import FAIRFACE_BINS
from converters.datasets.layouts.sets import FaceSet, picture
from converters.datasets.tables import Row, read_table

NAME = "faces-csv"
OLDEST = 120
GENDERS = {"m": "M", "male": "M", "f": "F", "female": "F", "": ""}
PART = "train"


def find(folder: Path, part: str | None) -> FaceSet | None:
    """Return the faces of ``PART.csv``, or ``train.csv`` where no part is named."""
    chosen = part or PART
    table = folder / f"{chosen}.csv"
    if not table.is_file():
        return None

    def read(limit: int | None) -> Iterator[Chip]:
        for row in islice(read_table(table, ("path",)), limit):
            yield Chip(picture(folder / row.cells["path"], row), _labels(row))

    def files() -> Iterator[Path]:
        yield table
        yield from (folder / row.cells["path"] for row in read_table(table, ("path",)))

    return FaceSet(name="own", title=f"own faces, {chosen}", layout=NAME, read=read, files=files)


def _labels(row: Row) -> dict[str, str]:
    labels = dict(row.cells)
    age, gender, emotion = (labels.get(name, "") for name in ("age", "gender", "emotion"))
    if age and age not in FAIRFACE_BINS:
        row.count("age", OLDEST)
    if gender.lower() not in GENDERS:
        raise row.error(f"gender '{gender}' is none of M, F, male, female")
    return labels | {
        name: value for name, value in (("gender", GENDERS[gender.lower()]), ("emotion", spelling(emotion))) if value
    }
