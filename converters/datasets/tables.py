"""Label tables as their makers wrote them: each row knows its line, and a wrong one is named by it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeface.errors import UsageError

LONGEST = 1 << 20
"""Characters of a cell: FER-2013 writes whole pictures into one."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table; ``where`` is file and line, for messages."""

    where: str
    cells: Mapping[str, str]

    def error(self, what: str, *, fix: str = "correct the row or take it out") -> UsageError:
        """Return the one line that names this row."""
        return UsageError(f"{self.where}: {what}", fix=fix)

    def number(self, column: str, low: float, high: float) -> float:
        """Read a number of a range; UsageError for anything else."""
        try:
            value = float(self.cells[column])
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise self.error(f"{column} is '{self.cells[column]}', expected a number from {low:g} to {high:g}")
        return value

    def count(self, column: str, high: int) -> int:
        """Read a whole number from 0 up; UsageError for anything else."""
        text = self.cells[column]
        if not (text.isascii() and text.isdigit() and int(text) <= high):
            raise self.error(f"{column} is '{text}', expected a whole number up to {high}")
        return int(text)


def read_table(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of a CSV file with a head, cells without the blanks around them; empty lines are passed over.

    Raises
    ------
    UsageError : the file cannot be read, lacks one of ``columns``, or a row has too few or too many cells
    """
    csv.field_size_limit(LONGEST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            head = [cell.strip() for cell in next(reader, [])]
            missing = [column for column in columns if column not in head]
            if missing:
                raise UsageError(
                    f"{path}, line 1: there is no column {', '.join(missing)}",
                    fix=f"give it a head with {', '.join(columns)}",
                )
            for cells in reader:
                row = Row(f"{path}, line {reader.line_num}", dict(zip(head, map(str.strip, cells), strict=False)))
                if cells and len(cells) != len(head):
                    raise row.error(f"{len(cells)} cells, expected {len(head)}")
                if cells:
                    yield row
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", fix="give the data folder with --data") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a table: {error}", fix="give the file as its makers published it") from None
