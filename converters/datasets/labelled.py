"""Readers of labelled faces: sheets of equal tiles with a table of labels, and WIDER FACE's dev share.

A face set is a folder with ``labels.csv`` (columns ``part``, ``i`` and labels) and sheets ``<part>_NNN.avif`` or
``.webp``; face ``i`` of a part is tile ``i % per`` (row by row) of sheet ``i // per``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from converters.datasets.tables import Row, read_table
from edgeface.errors import UsageError
from edgeface.types import F32, Image

ENVIRONMENT = "EDGEFACE_DATA"
COMPLETE = "complete the data set"
MOST = 10_000_000
"""Largest number of a table: a face's or a pixel's."""
DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"


@dataclass(frozen=True, slots=True)
class Sheets:
    """Shape of a face set's sheets: tile side in pixels, tiles per row and per sheet."""

    side: int
    columns: int
    per: int


SETS = {
    "fer2013": Sheets(side=48, columns=40, per=1600),
    "utkface": Sheets(side=128, columns=16, per=256),
    "fairface": Sheets(side=128, columns=16, per=256),
}


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """One labelled face: uint8 (S, S, 3) BGR, and its row of the table."""

    image: Image
    labels: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Photograph:
    """One WIDER FACE photograph with its true boxes (x1, y1, x2, y2) and which count at each level."""

    name: str
    path: Path
    boxes: F32
    counted: dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]


def data_folder(explicit: str | None = None, *, usual: Path = DEFAULT) -> Path:
    """Folder of the labelled data: an argument, EDGEFACE_DATA, or the ``usual`` place beside the source tree."""
    named = explicit or os.environ.get(ENVIRONMENT)
    folder = Path(named or usual)
    if not folder.is_dir():
        what = f"there is no labelled data at {named}" if named else "no labelled data is named"
        raise UsageError(what, fix=f"set {ENVIRONMENT} or give --data DIR")
    # Who names a set's own folder means the one above it, which holds several.
    one = folder.resolve()
    return one.parent if one.name in SETS and (one / "labels.csv").is_file() else folder


def chips(folder: Path, name: str, part: str, *, limit: int | None = None) -> Iterator[Chip]:
    """Faces of one part in the order of their numbers, each sheet decoded once.

    Parameters
    ----------
    folder : the data folder
    name : ``fer2013``, ``utkface`` or ``fairface``
    part : for example ``val``
    limit : stop after so many
    """
    shape = SETS[name]
    listed = read_table(folder / name / "labels.csv", ("part", "i"))
    rows = sorted(
        ((row.count("i", MOST), dict(row.cells)) for row in listed if row.cells["part"] == part),
        key=lambda numbered: numbered[0],
    )
    sheet_number, sheet = -1, np.zeros((0, 0, 3), np.uint8)
    for index, row in rows[:limit]:
        number, place = divmod(index, shape.per)
        if number != sheet_number:
            sheet_number, sheet = number, _sheet(folder / name, part, number)
        y, x = (shape.side * position for position in divmod(place, shape.columns))
        tile = sheet[y : y + shape.side, x : x + shape.side]
        if tile.shape[:2] != (shape.side, shape.side):
            raise UsageError(f"{folder / name} has no tile for {part} {index}", fix=COMPLETE)
        yield Chip(tile, row)


def photographs(folder: Path, *, limit: int | None = None) -> list[Photograph]:
    """WIDER FACE's dev share in the order of its list."""
    root = folder / "widerface"
    by_name: dict[str, list[Row]] = {}
    for row in read_table(root / "boxes.csv", ("event", "image", *"xywh", "easy", "medium", "hard")):
        by_name.setdefault(f"{row.cells['event']}/{row.cells['image']}", []).append(row)
    names = (line.strip() for line in _lines(root / "images.txt"))
    return [_photograph(root, name, by_name.get(name, [])) for name in [name for name in names if name][:limit]]


def read(path: Path) -> Image:
    """One picture of the data sets as BGR; UsageError when it cannot be decoded."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise UsageError(f"{path} cannot be decoded", fix="use opencv-python-headless 4.12 or newer (AVIF)")
    result: Image = image
    return result


def _photograph(root: Path, name: str, rows: Sequence[Row]) -> Photograph:
    xywh = np.array([[row.number(key, 0, MOST) for key in "xywh"] for row in rows], np.float32).reshape(-1, 4)
    boxes: F32 = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    counted = {level: np.array([row.cells[level] == "1" for row in rows], bool) for level in ("easy", "medium", "hard")}
    return Photograph(name, root / "images" / f"{name}.avif", boxes, counted)


def _sheet(folder: Path, part: str, number: int) -> Image:
    found = sorted(folder.glob(f"{part}_{number:03d}.*"))
    if not found:
        raise UsageError(f"{folder} has no sheet {part}_{number:03d}", fix=COMPLETE)
    return read(found[0])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", fix="give the data folder with --data") from None
