"""FER-2013 as published: ``fer2013.csv`` (emotion, pixels, Usage), beside it FER+'s ``fer2013new.csv`` if it is there.

Goodfellow et al. 2013; Barsoum et al. 2016. FER+ has no pictures: its rows stand in the same order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np

from converters.datasets.expressions import FER, VOTES
from converters.datasets.labelled import Chip
from converters.datasets.layouts.sets import FaceSet
from converters.datasets.tables import Row, read_table
from edgeface.errors import UsageError
from edgeface.types import Image

NAME = "fer2013-csv"
TABLE, VOTE_TABLE = "fer2013.csv", "fer2013new.csv"
SIDE = 48
PARTS = {"train": "Training", "publictest": "PublicTest", "privatetest": "PrivateTest"}
MOST_VOTES = 10


def find(folder: Path, part: str | None) -> FaceSet | None:
    """Return FER-2013 when its table is in the folder."""
    table = folder / TABLE
    if not table.is_file():
        return None
    wanted = part or "publictest"
    if wanted not in PARTS:
        raise UsageError(f"FER-2013 has no part '{wanted}'", fix=f"choose one of: {', '.join(PARTS)}")
    usage = PARTS[wanted]

    def read(limit: int | None) -> Iterator[Chip]:
        trained = {_digest(row) for row in _rows(table) if row.cells["Usage"] == "Training"}
        left = limit
        for row, votes in _with_votes(table):
            if row.cells["Usage"] != usage:
                continue
            if left == 0:
                return
            left = None if left is None else left - 1
            yield Chip(_pixels(row), _labels(row, votes) | {"in_training": str(int(_digest(row) in trained))})

    files = [path for path in (table, table.parent / VOTE_TABLE) if path.is_file()]
    return FaceSet(name="fer2013", title=f"FER-2013 {usage}", layout=NAME, read=read, files=lambda: files)


def _rows(table: Path) -> Iterator[Row]:
    yield from read_table(table, ("emotion", "pixels", "Usage"))


def _with_votes(table: Path) -> Iterator[tuple[Row, Row | None]]:
    """Rows with those of FER+, in step."""
    votes = table.parent / VOTE_TABLE
    if not votes.is_file():
        yield from ((row, None) for row in _rows(table))
        return
    for row, vote in zip_longest(_rows(table), read_table(votes, ("Usage", *VOTES))):
        if row is None or vote is None:
            raise UsageError(f"{votes} and {table} have not equally many rows", fix="take both as published")
        if row.cells["Usage"] != vote.cells["Usage"]:
            raise vote.error(f"Usage is '{vote.cells['Usage']}', in {TABLE} '{row.cells['Usage']}'")
        yield row, vote


def _labels(row: Row, votes: Row | None) -> dict[str, str]:
    labels = {"emotion": FER[row.count("emotion", len(FER) - 1)]}
    if votes is not None:
        labels |= {name: str(votes.count(name, MOST_VOTES)) for name in VOTES}
    return labels


def _pixels(row: Row) -> Image:
    cells = row.cells["pixels"].split()
    if len(cells) != SIDE * SIDE:
        raise row.error(f"pixels has {len(cells)} numbers, expected {SIDE * SIDE}")
    try:
        grey = np.array(cells, dtype=np.uint8).reshape(SIDE, SIDE, 1)
    except (ValueError, OverflowError):
        raise row.error("pixels has something else than numbers from 0 to 255") from None
    return np.repeat(grey, 3, axis=2)


def _digest(row: Row) -> bytes:
    return hashlib.blake2b(row.cells["pixels"].encode(), digest_size=16).digest()
