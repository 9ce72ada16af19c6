"""The questions about a face, each a module of its own: what samples add up to, what is told, how often it is asked.

A question more is a module here, its line in `QUESTIONS` and in `Known`, its name in `edgeface.types.Task`, and its
field in the two messages that tell of people (`events/people.py`). The rest of the program loops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from edgeface.questions.affect import Affect, AffectQuestion, VisitAffect
from edgeface.questions.age import Age, AgeQuestion, VisitAge, band_names, band_of
from edgeface.questions.expression import Expression, ExpressionQuestion, VisitExpression
from edgeface.questions.gender import Gender, GenderQuestion
from edgeface.questions.labelled import Labelled, VisitLabel
from edgeface.questions.parts import Count, Share, Shares, rounded_share
from edgeface.questions.question import Question, Schedule
from edgeface.types import Task

__all__ = [
    "QUESTIONS",
    "Affect",
    "Age",
    "Count",
    "Expression",
    "Gender",
    "Known",
    "Labelled",
    "Question",
    "Schedule",
    "Share",
    "Shares",
    "VisitAffect",
    "VisitAge",
    "VisitExpression",
    "VisitLabel",
    "band_names",
    "band_of",
    "by_task",
    "parts_in_bands",
    "rounded_share",
    "told",
]

QUESTIONS: Mapping[Task, Question[Any, Any, Any]] = {
    question.task: question for question in (AgeQuestion(), GenderQuestion(), ExpressionQuestion(), AffectQuestion())
}
"""By task, in the order in which everything tells of them."""


class Known(Struct, frozen=True, kw_only=True):
    """What is known of one person, by question; None means unknown."""

    age: VisitAge | None = None
    gender: VisitLabel | None = None
    expression: VisitExpression | None = None
    affect: VisitAffect | None = None


def by_task(known: Known) -> dict[Task, Any]:
    """Give what is known of each question, None where that is nothing."""
    return {task: getattr(known, task) for task in QUESTIONS}


def message_parts(known: Known) -> dict[Task, Any]:
    """Round what is known to the parts of a message, None where that is nothing."""
    values = by_task(known).items()
    return {task: None if value is None else QUESTIONS[task].part(value) for task, value in values}


def parts_in_bands(known: Known, edges: Sequence[int]) -> dict[str, Any]:
    """The same with the band of age in the years' place; all of it where there are no bands."""
    parts: dict[str, Any] = {str(task): part for task, part in message_parts(known).items()}
    if edges:
        parts |= {"age": None, "age_band": None if known.age is None else band_of(known.age.years, edges)}
    return parts
