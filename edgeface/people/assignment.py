"""Optimal assignment for the handful of pairs that a tracker has; no library for it is light enough for the device."""

from __future__ import annotations

from collections.abc import Mapping

UNMATCHED = 25.0
"""Cost of leaving a row unmatched: above any single pair's, so nothing stays alone that could be matched, but below
that of two bad pairs: a good pair is not broken up so that a stranger finds a place."""


def match(costs: Mapping[tuple[int, int], float]) -> list[tuple[int, int]]:
    """Pairs (row, column) of the least total cost, where each unmatched row costs `UNMATCHED`.

    Parameters
    ----------
    costs : cost of every possible pair, 0 to less than `UNMATCHED`; pairs that are not listed are never made

    Returns
    -------
    Chosen pairs, each row and column at most once, sorted.
    """
    pairs: list[tuple[int, int]] = []
    for rows, columns in _groups(costs):
        if len(rows) == 1 or len(columns) == 1:
            among = [(costs[r, c], (r, c)) for r in rows for c in columns if (r, c) in costs]
            pairs.append(min(among)[1])
        else:
            pairs += _hungarian(costs, rows, columns)
    return sorted(pairs)


def _groups(costs: Mapping[tuple[int, int], float]) -> list[tuple[list[int], list[int]]]:
    """Rows and columns that are connected by possible pairs: each group is a small problem of its own."""
    by_row: dict[int, tuple[set[int], set[int]]] = {}
    by_column: dict[int, tuple[set[int], set[int]]] = {}
    for row, column in costs:
        group = by_row.get(row) or by_column.get(column) or (set(), set())
        other = by_column.get(column, group)
        if other is not group:
            group[0].update(other[0])
            group[1].update(other[1])
            by_row |= dict.fromkeys(other[0], group)
            by_column |= dict.fromkeys(other[1], group)
        group[0].add(row)
        group[1].add(column)
        by_row[row] = by_column[column] = group
    groups = {id(group): group for group in by_row.values()}.values()
    return [(sorted(rows), sorted(columns)) for rows, columns in groups]


def _hungarian(costs: Mapping[tuple[int, int], float], rows: list[int], columns: list[int]) -> list[tuple[int, int]]:
    """Kuhn-Munkres with potentials, O(n^3) (Kuhn 1955, Munkres 1957); every row also has a column for "none"."""
    count, width = len(rows), len(columns) + len(rows)
    infinity = float("inf")

    def cost(i: int, j: int) -> float:
        if j < len(columns):
            return costs.get((rows[i], columns[j]), 2 * UNMATCHED)
        return UNMATCHED

    row_potential = [0.0] * (count + 1)
    column_potential = [0.0] * (width + 1)
    owner = [0] * (width + 1)
    for i in range(1, count + 1):
        owner[0] = i
        least = [infinity] * (width + 1)
        came_from = [0] * (width + 1)
        used = [False] * (width + 1)
        j = 0
        while owner[j] != 0:
            used[j] = True
            row, delta, following = owner[j], infinity, 0
            for k in range(1, width + 1):
                if used[k]:
                    continue
                reduced = cost(row - 1, k - 1) - row_potential[row] - column_potential[k]
                if reduced < least[k]:
                    least[k], came_from[k] = reduced, j
                if least[k] < delta:
                    delta, following = least[k], k
            for k in range(width + 1):
                if used[k]:
                    row_potential[owner[k]] += delta
                    column_potential[k] -= delta
                else:
                    least[k] -= delta
            j = following
        while j:
            owner[j] = owner[came_from[j]]
            j = came_from[j]
    chosen = [(rows[owner[j] - 1], columns[j - 1]) for j in range(1, len(columns) + 1) if owner[j]]
    return [pair for pair in chosen if pair in costs]
