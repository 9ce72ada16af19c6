"""Names with numbers to fill in: ``blocks.{n}.first`` beside ``conv_{2*n+1}`` stand for one pair per value of n."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product

_BRACES = re.compile(r"\{([^{}]+)\}")
_TERM = re.compile(r"(?:(\d+)\*)?([a-z]\w*)|(\d+)")


def bindings(pattern: str, ranges: Mapping[str, int | tuple[str, ...]]) -> Iterator[dict[str, int | str]]:
    """Every choice of values for the names that stand in the pattern's braces; one empty choice if none do.

    Parameters
    ----------
    ranges : by name, how many numbers from 0 on, or the words themselves

    Raises
    ------
    ValueError : a name that has no range
    """
    names = list(dict.fromkeys(name for inside in _BRACES.findall(pattern) for name in _names(inside)))
    unknown = [name for name in names if name not in ranges]
    if unknown:
        raise ValueError(f"{pattern}: {unknown[0]} stands in no [ranges]")
    spans = [ranges[name] for name in names]
    choices = [[*range(span)] if isinstance(span, int) else [*span] for span in spans]
    for values in product(*choices):
        yield dict(zip(names, values, strict=True))


def fill(pattern: str, values: Mapping[str, int | str]) -> str:
    """Pattern with sums such as ``{n}``, ``{n+1}`` or ``{3*n+k+2}`` worked out.

    Raises
    ------
    ValueError : something else in braces, or a name without a value
    """
    return _BRACES.sub(lambda found: str(_sum(found[1], values)), pattern)


def _names(inside: str) -> list[str]:
    return [term[2] for term in map(_TERM.fullmatch, inside.split("+")) if term and term[2]]


def _sum(inside: str, values: Mapping[str, int | str]) -> int | str:
    if isinstance(values.get(inside), str):
        return values[inside]
    total = 0
    for text in inside.split("+"):
        term = _TERM.fullmatch(text)
        value = None if term is None else values.get(term[2], "") if term[2] else int(term[3])
        if term is None or not isinstance(value, int):
            raise ValueError(f"{{{inside}}} is no sum of numbers and names from [ranges]")
        total += value * int(term[1] or 1)
    return total
