"""Labels of faces as what losses read: one float32 array for each question, rows as the faces.

======  =================  =========================================================================
head    array              row
======  =================  =========================================================================
age     (N, 2)             first and last year that the label stands for, equal where it is exact
labels  (N, K)             how much of the target each label has, adding up to 1
affect  (N, 2)             valence and arousal
======  =================  =========================================================================

A face without a label for a question has a row of NaN and no part in its loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from converters.datasets.expressions import SPELLINGS, VOTES, spelling
from converters.datasets.labels import FAIRFACE_BINS, GENDERS, age_range
from converters.train.recipe import Labels, Loss
from edgeface.bundle import AffectHead, AttributeHead, CategoricalHead
from edgeface.errors import UsageError
from edgeface.types import F32, Task

Row = Mapping[str, str]
OLDEST = 120
"""Years; a bin that ends here has no upper end of its own."""
FEWEST_VOTES = 3
"""Of ten; with fewer for the network's labels a face has its plain label alone."""


def targets(task: Task, head: AttributeHead, loss: Loss, rows: Sequence[Row], where: str) -> F32:
    """What the rows of a set say about one question; see the module.

    Raises
    ------
    UsageError : a label out of its range or unknown, with the row that has it
    """
    if task == "age":
        return _each(rows, _age, 2, where)
    if isinstance(head, AffectHead):
        return _each(rows, _affect, 2, where)
    assert isinstance(head, CategoricalHead)
    assert isinstance(loss, Labels)
    names = tuple(map(spelling, head.labels))
    read = _gender if task == "gender" else _emotion
    numbers = np.array([read(row, names, _Place(where, number)) for number, row in enumerate(rows)])
    plain = smoothed(numbers, len(names), loss.smoothing)
    if loss.votes == 0 or task != "expression":
        return plain
    return with_votes(plain, numbers, votes(rows, names), loss)


def smoothed(numbers: npt.NDArray[np.int64], classes: int, smoothing: float) -> F32:
    """Targets (N, classes) of label numbers, -1 for none; ``smoothing`` is spread over all labels."""
    rows = np.full((len(numbers), classes), smoothing / classes, np.float32)
    known = numbers >= 0
    rows[known, numbers[known]] += np.float32(1 - smoothing)
    rows[~known] = np.nan
    return rows


def votes(rows: Sequence[Row], names: Sequence[str]) -> F32:
    """FER+'s votes for the network's labels (N, K); zeros where there are none."""
    columns = {spelling(column): column for column in VOTES}
    cells = [[row.get(columns.get(name, ""), "") for name in names] for row in rows]
    return np.array([[float(cell) if cell.isdigit() else 0.0 for cell in row] for row in cells], np.float32)


def with_votes(plain: F32, numbers: npt.NDArray[np.int64], counts: F32, loss: Labels) -> F32:
    """Targets that are mixed of labels and votes where a face has enough of these; shapes (N, K).

    ``loss.votes_as_labelled`` multiplies the votes for a label by how often it is a label and divides them by how often
    it is voted for: taggers say *neutral* far more often than the labels do, and would teach that. A label that only
    taggers have (contempt) keeps its votes.
    """
    total = counts.sum(axis=1)
    voted = total >= FEWEST_VOTES
    shares = counts / np.maximum(total, 1)[:, None]
    if loss.votes_as_labelled and (voted & (numbers >= 0)).any():
        both = voted & (numbers >= 0)
        labelled = np.bincount(numbers[both], minlength=plain.shape[1]) / both.sum()
        said = shares[both].mean(axis=0)
        shares = shares * np.divide(labelled, said, out=np.ones(len(said)), where=(said > 0) & (labelled > 0))
        voted = voted & (shares.sum(axis=1) > 0)
        shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
    mixed = np.where(np.isnan(plain), shares, (1 - loss.votes) * plain + loss.votes * shares)
    result: F32 = np.where(voted[:, None], mixed, plain).astype(np.float32)
    return result


class _Place(str):
    """Where a row stands, for messages."""

    __slots__ = ()

    def __new__(cls, where: str, number: int) -> _Place:
        return super().__new__(cls, f"{where}, face {number}")

    def refuse(self, column: str, text: str, expected: str) -> UsageError:
        """Return the one line that names the row."""
        return UsageError(f"{self}: {column} is '{text}', expected {expected}", fix="correct the row or take it out")


def _each(rows: Sequence[Row], read: Callable[[Row, _Place], tuple[float, float]], width: int, where: str) -> F32:
    values = [read(row, _Place(where, number)) for number, row in enumerate(rows)]
    return np.array(values, np.float32).reshape(-1, width)


def _age(row: Row, place: _Place) -> tuple[float, float]:
    text = row.get("age", "")
    if not text:
        return (np.nan, np.nan)
    if text not in FAIRFACE_BINS and not (text.isascii() and text.isdigit() and int(text) <= OLDEST):
        raise place.refuse("age", text, f"years from 0 to {OLDEST}, or a bin of FairFace")
    return age_range(text)


def _affect(row: Row, place: _Place) -> tuple[float, float]:
    found = []
    for column in ("valence", "arousal"):
        try:
            value = float(row.get(column) or "nan")
        except ValueError:
            value = np.inf
        if abs(value) > 1:
            raise place.refuse(column, row[column], "a number from -1 to 1")
        found.append(value)
    return (found[0], found[1])


def _gender(row: Row, names: Sequence[str], place: _Place) -> int:
    text = row.get("gender", "")
    word = GENDERS.get(text, text)
    if text and word not in names:
        raise place.refuse("gender", text, " or ".join(GENDERS))
    return names.index(word) if text else -1


def _emotion(row: Row, names: Sequence[str], place: _Place) -> int:
    text = row.get("emotion", "")
    word = spelling(text)
    if text and word not in names and word not in SPELLINGS:
        raise place.refuse("emotion", text, f"one of {', '.join(names)}")
    # A known expression that this network has no label for is no label of its own.
    return names.index(word) if word in names else -1
