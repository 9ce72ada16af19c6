"""The project's own layout: sheets of equal tiles with one table per set (`converters.datasets.labelled`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from converters.datasets.labelled import Chip, chips
from converters.datasets.layouts.sets import FaceSet
from converters.datasets.tables import read_table

TITLES = {"fer2013": "FER-2013", "utkface": "UTKFace", "fairface": "FairFace"}
PARTS = {"fer2013": "publictest", "utkface": "val", "fairface": "val"}
PART_WORDS = {"publictest": "PublicTest", "privatetest": "PrivateTest"}


def find(name: str, folder: Path, part: str | None) -> FaceSet | None:
    """Return the set ``name`` when ``folder/NAME/labels.csv`` is there."""
    if not (folder / name / "labels.csv").is_file():
        return None
    chosen = part or PARTS[name]

    def read(limit: int | None) -> Iterator[Chip]:
        trained = {
            row.cells["group"]
            for row in read_table(folder / name / "labels.csv", ("part",))
            if row.cells["part"] == "train" and row.cells.get("group")
        }
        for chip in chips(folder, name, chosen, limit=limit):
            yield Chip(chip.image, chip.labels | {"in_training": str(int(chip.labels.get("group") in trained))})

    def files() -> list[Path]:
        return [folder / name / "labels.csv", *sorted((folder / name).glob(f"{chosen}_[0-9]*"))]

    title = f"{TITLES[name]} {PART_WORDS.get(chosen, chosen)}"
    return FaceSet(name=name, title=title, layout="sheets", read=read, files=files)
