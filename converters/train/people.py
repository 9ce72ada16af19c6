"""Whom the faces of a set show, and that nobody is both learnt from and judged by.

``group`` names a person (or a picture that occurs more than once); without it a sequence is a person, and where there
is neither, nobody knows. Such names mean something within one set in one folder alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from edgeface.errors import UsageError

Row = Mapping[str, str]
COLUMNS = ("group", "sequence")


class Shown(NamedTuple):
    """Rows of one part of a set that lies in ``folder``."""

    set: str
    part: str
    folder: Path | None
    rows: Sequence[Row]


def person_of(row: Row) -> str:
    """Whom a face shows, within its set: ``group 7``; empty where that is not known."""
    return next((f"{column} {row[column]}" for column in COLUMNS if row.get(column)), "")


def expect_apart(learnt: Sequence[Shown], judged: Sequence[Shown]) -> None:
    """Raise UsageError where somebody is both learnt from and judged by: figures would be of faces known by heart."""
    for ours in judged:
        for theirs in (one for one in learnt if one.set == ours.set and _place(one) == _place(ours)):
            if ours.part == theirs.part:
                raise UsageError(
                    f"set {ours.set}: {ours.part or 'the same part'} is both learnt from and judged by",
                    fix="judge by another part",
                )
            known = {person_of(row) for row in theirs.rows} - {""}
            both = [person for person in dict.fromkeys(map(person_of, ours.rows)) if person in known]
            if both:
                more = f" and {len(both) - 1} more are" if len(both) > 1 else " is"
                raise UsageError(
                    f"set {ours.set}: {both[0]}{more} both in {theirs.part or 'all'} and in {ours.part or 'all'}",
                    fix="keep each group in one part",
                )


def _place(one: Shown) -> Path | None:
    return one.folder and one.folder.resolve()
