"""What ``probe`` found, in words: the table of settings, the winner, and how sure each of its facts is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from converters.datasets.expressions import FER
from converters.evaluation.groups import paired_loss
from converters.probing.readings import Read, agreed, most_frequent
from converters.probing.search import Prober, Row, scaling, templates
from edgeface.bundle import BoxCrop, CategoricalHead, Input, LandmarkCrop, SquareCrop
from edgeface.cli.common import columns

SHOWN = 25
"""Rows of the table; what is worse is counted."""


def report(found: Prober) -> Iterator[str]:
    """Lines for people."""
    rows, winner, faces = found.rows, found.winner, found.faces
    yield f"{found.task} on {len(faces.shown)} faces of {faces.sets}, as many of each label as there are"
    yield f"({faces.missed} more were not found by {faces.finder.network.name}); {len(rows)} settings, best first:"
    shown = [*rows[:SHOWN], *(row for row in rows[SHOWN:] if row is winner)]
    table = [("", *HEADINGS), *(("*" if row is winner else "", *cells(row)) for row in shown)]
    yield from columns(table)
    rest = [row for row in rows[SHOWN:] if row is not winner]
    if rest:
        same = sum(row.read.constant for row in rest)
        yield f"{len(rest)} more are worse, {same} of them with a constant answer"
    what = ", ".join([*facts(winner.spec).values(), reading(winner.read)])
    yield f"* is the winner ({measure(winner.read)}), the surest of those that these faces do not tell apart: {what}"
    if winner.read.constant:
        yield "Its answer is constant too: nothing that was tried is right, so do not build it."
    yield from sureness(found)


HEADINGS = ("measure", "log loss", "answers", "scale", "colour", "size", "crop", "read as")


def cells(row: Row) -> tuple[str, ...]:
    """One row of the table, as `HEADINGS` has it."""
    sure = f"{row.read.surprise:.2f}" if isinstance(row.read.head, CategoricalHead) else ""
    return (measure(row.read), sure, format_answers(row.read), *facts(row.spec).values(), reading(row.read))


def facts(spec: Input) -> dict[str, str]:
    """What a setting says, by fact."""
    return {"scale": scaling(spec), "colour": spec.color, "size": f"{spec.width}x{spec.height}", "crop": crop(spec)}


def measure(read: Read) -> str:
    """How good answers are."""
    if isinstance(read.head, CategoricalHead):
        return f"{100 * (1 - read.error):.1f} %"
    return f"{read.error:.2f} years off"


def format_answers(read: Read) -> str:
    """How much answers vary."""
    if isinstance(read.head, CategoricalHead):
        number = int(np.bincount(read.answers.astype(np.int64)).argmax())
        words = f"{100 * most_frequent(read.answers):.0f} % {read.head.labels[number]}"
    else:
        words = f"{read.answers.mean():.0f} +- {read.answers.std():.1f} years"
    return f"CONSTANT: {words}" if read.constant else words


def reading(read: Read) -> str:
    """How answers are read, with the labels where no name says them."""
    if not isinstance(read.head, CategoricalHead):
        return read.words
    labels = ", ".join(read.head.labels)
    return labels if labels == read.words else f"{read.words}: {labels}"


def crop(spec: Input) -> str:
    """A crop rule in a few words."""
    rule = spec.crop
    if isinstance(rule, SquareCrop):
        return f"square of {rule.scale:g} heights"
    if isinstance(rule, BoxCrop):
        return f"box + {rule.left:g}"
    if isinstance(rule, LandmarkCrop):
        whose = next((name for name, points in templates().items() if points == rule.template), "own")
        return f"{whose} landmarks + {rule.padding:g}"
    return "whole chip"


def sureness(found: Prober) -> Iterator[str]:
    """By fact the best other choice with all else equal, with the paired bootstrap 95 % interval of what it loses."""
    winner = found.winner
    own = facts(winner.spec)
    for fact in own:
        others = [row for row in found.rows if row is not winner and _differs_in(row, own) == {fact}]
        if others:
            yield f"  {fact}: {own[fact]}; next {facts(others[0].spec)[fact]}{_loss(winner.read, others[0].read)}"
    ways = found.readings(winner.spec)
    if len(ways) > 1:
        yield f"  read as: {ways[0].words}; next {ways[1].words}{_loss(*ways[:2])}"
    if found.task == "expression":
        same, count = agreed(winner.read, found.faces.labels)
        yield f"  labels: counted in either half of the faces alone, {same} of {count} have the same place"
        if count > len(FER):
            yield "  labels: no face here is labelled contempt; the class that was left over is called so"


def _differs_in(row: Row, own: dict[str, str]) -> set[str]:
    return {fact for fact, value in facts(row.spec).items() if value != own[fact]}


def _loss(winner: Read, other: Read) -> str:
    loss = paired_loss(winner.errors, other.errors, {})[0]
    categorical = isinstance(winner.head, CategoricalHead)
    scale, unit = (100.0, "points") if categorical else (1.0, "years")
    low, high = (scale * (end or 0.0) for end in (loss.low, loss.high))
    sure = "sure" if low > 0 else "not told apart by these faces"
    return f" loses {scale * loss.value:.2f} {unit} ({low:.2f} to {high:.2f}): {sure}"
