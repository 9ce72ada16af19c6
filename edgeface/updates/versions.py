"""Which of two versions is older: numbers with dots, and what stands behind them (Semantic Versioning 2.0). Pure."""

from __future__ import annotations

import re
from itertools import zip_longest

_VERSION = re.compile(
    r"v?(?P<numbers>\d{1,18}(?:\.\d{1,18})*)(?:[-~.]?(?P<suffix>[0-9A-Za-z][0-9A-Za-z.~-]*))?(?:\+.*)?"
)
_Part = tuple[int, int, str]


def is_older(one: str, other: str) -> bool | None:
    """Whether ``one`` is older than ``other``; None where they cannot be compared.

    ``1.9`` is older than ``1.10``, ``1.0-rc1`` than ``1.0``; ``1.0`` and ``1.0.0`` are the same.
    """
    if one == other:
        return False
    first, second = _VERSION.fullmatch(one.strip()), _VERSION.fullmatch(other.strip())
    if first is None or second is None:
        return None
    pairs = zip_longest(first["numbers"].split("."), second["numbers"].split("."), fillvalue="0")
    for a, b in pairs:
        if int(a) != int(b):
            return int(a) < int(b)
    return _rank(first["suffix"]) < _rank(second["suffix"])


def _rank(suffix: str | None) -> tuple[int, list[_Part]]:
    """What stands behind the numbers comes before them: a release is newer than its candidates."""
    if suffix is None:
        return 1, []
    parts = re.findall(r"\d+|[A-Za-z]+", suffix)
    return 0, [(0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in parts]
