"""Pairs of pictures of one or of two people, for verification: LFW's ``pairs.txt``, or a folder per person.

Huang et al. 2007 (Labeled Faces in the Wild): the first line of ``pairs.txt`` holds the number of folds and of pairs of
either kind in each; ``NAME 1 2`` names two pictures of one person, ``NAME 1 OTHER 2`` two of different people, picture
n of a person being ``NAME/NAME_000n.jpg``. Without such a file every two pictures make a pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from converters.datasets.tables import Row
from edgeface.errors import UsageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".avif", ".webp")
LISTS = ("pairs.txt", "pairsDevTest.txt")
LEAST_PEOPLE = 2
NUMBERS = 4
"""Digits of a picture's number in its file name."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures, whether they show one person, and the fold they belong to (0 where there are none)."""

    first: Path
    second: Path
    same: bool
    fold: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSet:
    """All pairs of a folder; ``folds`` is 1 where the makers gave none."""

    title: str
    layout: str
    pairs: Sequence[Pair]
    folds: int


def find_pairs(folder: Path, *, layout: str | None = None) -> PairSet:
    """Pairs of a folder in LFW's layout (``lfw-pairs``), else of a folder per person (``people``).

    Raises
    ------
    UsageError : neither lies there, or a line of ``pairs.txt`` is wrong or names a picture that is missing
    """
    if layout not in (None, "lfw-pairs", "people"):
        raise UsageError(f"'{layout}' is no layout of pairs", fix="choose one of: lfw-pairs, people")
    listed = next((folder / name for name in LISTS if (folder / name).is_file()), None)
    if listed is not None and layout != "people":
        pairs, folds = _listed(listed)
        return PairSet(title=f"{folder.name} {listed.name}", layout="lfw-pairs", pairs=pairs, folds=folds)
    # A folder of several data sets has folders of pictures, too: nobody's.
    for root in (folder / "lfw_small", folder / "lfw", folder):
        people = _people(root) if layout != "lfw-pairs" else []
        if len(people) >= LEAST_PEOPLE:
            return PairSet(title=root.name, layout="people", pairs=list(_all_pairs(people)), folds=1)
    raise UsageError(
        f"{folder} holds neither {' nor '.join(LISTS)} nor a folder per person", fix="give the folder with --data"
    )


def _listed(path: Path) -> tuple[list[Pair], int]:
    lines = _lines(path)
    head = Row(f"{path}, line 1", dict(_columns(lines[0].split()))) if lines else None
    if head is None or not 1 <= len(head.cells) <= 2:
        raise UsageError(f"{path}, line 1: expected the number of folds and of pairs", fix="take the file as published")
    counts = [head.count(name, 1_000_000) for name in head.cells]
    folds, each = counts if len(counts) == 2 else (1, counts[0])
    if not folds or not each:
        raise head.error("expected the number of folds and of pairs, from 1 up")
    pairs: list[Pair] = []
    for number, line in enumerate(lines[1:]):
        row = Row(f"{path}, line {number + 2}", dict(_columns(line.split())))
        if row.cells:
            pairs.append(_pair(_root(path.parent), row, len(pairs) // (2 * each)))
    if len(pairs) != 2 * folds * each:
        raise UsageError(f"{path} lists {len(pairs)} pairs, its first line says {2 * folds * each}", fix="complete it")
    return pairs, folds


def _pair(root: Path, row: Row, fold: int) -> Pair:
    """Read one line: three cells of one person, four of two."""
    cells = list(row.cells)
    if len(cells) not in (3, 4):
        raise row.error(f"{len(cells)} words, expected NAME 1 2 or NAME 1 OTHER 2")
    same = len(cells) == 3
    second = cells[0] if same else cells[2]
    pictures = [
        _picture(root, row, row.cells[name], row.count(number, 9999))
        for name, number in ((cells[0], cells[1]), (second, cells[-1]))
    ]
    return Pair(pictures[0], pictures[1], same, fold)


def _picture(root: Path, row: Row, name: str, number: int) -> Path:
    for suffix in SUFFIXES:
        path = root / name / f"{name}_{number:0{NUMBERS}}{suffix}"
        if path.is_file():
            return path
    raise row.error(f"there is no picture {name}_{number:0{NUMBERS}} in {root / name}", fix="complete the data set")


def _root(folder: Path) -> Path:
    """Folder of the people's folders: a folder ``lfw...`` beside the list, else that of the list itself."""
    return next((path for path in sorted(folder.glob("lfw*")) if path.is_dir()), folder)


def _people(root: Path) -> list[list[Path]]:
    if not root.is_dir():
        return []
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    people = [sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES) for path in folders]
    return [pictures for pictures in people if pictures]


def _all_pairs(people: Sequence[Sequence[Path]]) -> Iterator[Pair]:
    pictures = [(path, number) for number, own in enumerate(people) for path in own]
    for (first, who), (second, other) in combinations(pictures, 2):
        yield Pair(first, second, who == other)


def _columns(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name the words of a line by their place, as columns of a table are named."""
    return ((f"word {place + 1}", word) for place, word in enumerate(words))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", fix="give the file as its makers published it") from None
