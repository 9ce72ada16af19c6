"""What every layout of faces gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from converters.datasets.labelled import Chip, read
from converters.datasets.tables import Row
from edgeface.errors import UsageError
from edgeface.types import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceSet:
    """A set of labelled faces in one layout.

    Attributes
    ----------
    name : ``fer2013``, ``utkface``, ``fairface``, ``affect`` or ``own``
    title : as figures name it, for example ``UTKFace val``
    layout : name of the layout it was found in
    read : gives the faces, the first so many or (None) all
    files : gives the files that they come from, tables first
    """

    name: str
    title: str
    layout: str
    read: Callable[[int | None], Iterator[Chip]]
    files: Callable[[], Iterable[Path]]


def picture(path: Path, row: Row) -> Image:
    """One picture that a row of a table names; UsageError names the row."""
    if not path.is_file():
        raise row.error(f"there is no picture {path}", fix="complete the data set or take the row out")
    try:
        return read(path)
    except UsageError as error:
        raise row.error(error.what, fix=error.fix) from None
