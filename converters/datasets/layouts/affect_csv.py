"""Faces with valence and arousal: a CSV file with the columns path, valence, arousal.

The form to which AffectNet (Mollahosseini et al. 2017) and its like are brought with one line of anybody's script:
their own tables may not be passed on. Paths are taken from the folder of the table; both values lie between -1 and 1.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from converters.datasets.labelled import Chip
from converters.datasets.layouts.sets import FaceSet, picture
from converters.datasets.tables import read_table

NAME = "affect-csv"
COLUMNS = ("path", "valence", "arousal")


def find(folder: Path, part: str | None) -> FaceSet | None:
    """Return the faces of the first table with these columns, of the part ``PART.csv`` if one is named."""
    for table in sorted(folder.glob(f"{part or '*'}.csv")):
        if set(COLUMNS) <= set(_head(table)):
            break
    else:
        return None

    def read(limit: int | None) -> Iterator[Chip]:
        for row in islice(read_table(table, COLUMNS), limit):
            values = {name: str(row.number(name, -1, 1)) for name in COLUMNS[1:]}
            yield Chip(picture(table.parent / row.cells["path"], row), {**row.cells, **values})

    def files() -> Iterator[Path]:
        yield table
        yield from (table.parent / row.cells["path"] for row in read_table(table, COLUMNS))

    return FaceSet(name="affect", title=table.stem, layout=NAME, read=read, files=files)


def _head(table: Path) -> list[str]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            return [cell.strip() for cell in next(csv.reader(file), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
