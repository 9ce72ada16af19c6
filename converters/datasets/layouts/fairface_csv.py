"""FairFace as published: ``fairface_label_train.csv`` and ``_val.csv`` (file, age, gender, race) beside the pictures.

Karkkainen, Joo 2021. ``file`` is a path such as ``val/1.jpg`` from the folder of the table or one folder below it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from converters.datasets.labelled import Chip
from converters.datasets.labels import FAIRFACE_BINS
from converters.datasets.layouts.sets import FaceSet, picture
from converters.datasets.tables import Row, read_table
from edgeface.errors import UsageError

NAME = "fairface-csv"
AGES = {**{name: name for name in FAIRFACE_BINS}, "more than 70": "70+"}
GENDERS = {"Male": "M", "Female": "F"}


def find(folder: Path, part: str | None) -> FaceSet | None:
    """Return FairFace when a table of its name is in the folder or one below it."""
    tables = [*folder.glob("fairface_label_*.csv"), *folder.glob("*/fairface_label_*.csv")]
    if not tables:
        return None
    chosen = part or "val"
    table = next((path for path in tables if path.stem == f"fairface_label_{chosen}"), None)
    if table is None:
        have = ", ".join(sorted(path.stem.removeprefix("fairface_label_") for path in tables))
        raise UsageError(f"FairFace in {folder} has no part '{chosen}'", fix=f"choose one of: {have}")

    def read(limit: int | None) -> Iterator[Chip]:
        root: Path | None = None
        for row in islice(read_table(table, ("file", "age", "gender", "race")), limit):
            root = _root(table, row) if root is None else root
            yield Chip(picture(root / row.cells["file"], row), _labels(row))

    def files() -> Iterator[Path]:
        yield table
        rows = list(read_table(table, ("file", "age", "gender", "race")))
        root = _root(table, rows[0]) if rows else table.parent
        yield from (root / row.cells["file"] for row in rows)

    return FaceSet(name="fairface", title=f"FairFace {chosen}", layout=NAME, read=read, files=files)


def _root(table: Path, row: Row) -> Path:
    """Folder from which the table names its pictures."""
    for folder in (table.parent, *sorted(path for path in table.parent.iterdir() if path.is_dir())):
        if (folder / row.cells["file"]).is_file():
            return folder
    return table.parent


def _labels(row: Row) -> dict[str, str]:
    age, gender, race = (row.cells[name] for name in ("age", "gender", "race"))
    if age not in AGES:
        raise row.error(f"age '{age}' is no bin of FairFace", fix="a spreadsheet makes dates of 3-9 and 10-19: undo it")
    if gender not in GENDERS:
        raise row.error(f"gender '{gender}' is neither Male nor Female")
    return {"age": AGES[age], "gender": GENDERS[gender], "race": race}
