"""The part of a model card on fairness: how each group of people fares, the worst first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from converters.bundles.card_figures import LEAST_FACES, WORST, by_set, first_file, of_people, value
from converters.formats.markdown import table
from edgeface.bundle import Measured, Network

FEW = "too few to rank"


def fairness(network: Network) -> Iterator[str]:
    """Tables of the first file: for each set and measure all groups of people, by how badly they fare."""
    first = [row for row in first_file(network) if row.group == "all" or of_people(network, row)]
    tables = [
        (f"{task[0].upper()}{task[1:]}, {words}, {title}:", _table(rows, metric, worst_of is max))
        for title, rows in by_set(first)
        for task in network.answers
        for metric, words, worst_of in WORST[task]
        if any(row.metric == metric and of_people(network, row) for row in rows)
    ]
    if not tables:
        return
    yield "## Whom it fails"
    yield (
        "Groups by age, gender and race as the data label them, the worst first, beside what holds over all; groups of "
        f"fewer than {LEAST_FACES} faces come last: chance would rank them. In brackets 95 % confidence."
    )
    for title, text in tables:
        yield title
        yield text


def _table(rows: Sequence[Measured], metric: str, large_is_bad: bool) -> str:
    own = [row for row in rows if row.metric == metric]
    whole = next((row for row in own if row.group == "all"), None)
    sign = -1 if large_is_bad else 1
    groups = [row for row in own if row.group != "all"]
    ordered = sorted(groups, key=lambda row: (row.count < LEAST_FACES, sign * row.value))
    return table(
        ("group", "value", "worse than all by", "faces"),
        [(row.group, value(row), _worse(row, whole, sign), str(row.count)) for row in ordered],
    )


def _worse(row: Measured, whole: Measured | None, sign: int) -> str:
    if row.count < LEAST_FACES:
        return FEW
    if whole is None:
        return "-"
    difference = sign * (whole.value - row.value)
    return f"{100 * difference:+.1f} points" if row.metric == "accuracy" else f"{difference:+.2f} years"
