"""Which ``edgeface.toml`` is run: the card's, or the last one that was good where the card's cannot hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """What is run.

    Attributes
    ----------
    text : None where there is nothing that can be run
    problem : why the card's is not, in one line; None where it is
    """

    text: str | None
    problem: str | None


def choose(card: str | None, last_good: str | None, judge: Callable[[str], str | None]) -> Choice:
    """Choose; ``judge`` says why a text cannot hold, None where it can.

    What was good before is not judged again: the program that judges takes seconds on a small board.
    """
    if card is None:
        problem: str | None = "edgeface.toml is not on the card, or not to be read; put it back"
    elif card == last_good:
        problem = None
    else:
        problem = judge(card)
    if problem is None:
        return Choice(card, None)
    return Choice(last_good, problem)
