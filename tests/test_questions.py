"""A question about a face is told once: what each module must bring, and that nobody else knows one by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest

import edgeface
from edgeface.attributes import KINDS
from edgeface.config import Visits
from edgeface.events import Face, VisitMessage
from edgeface.questions import QUESTIONS, Known, by_task, message_parts
from edgeface.questions.affect import VisitAffect
from edgeface.questions.age import VisitAge
from edgeface.questions.expression import VisitExpression
from edgeface.questions.labelled import VisitLabel
from edgeface.types import Task

ROOT = Path(edgeface.__file__).parent
TASKS = get_args(Task)
KNOWN = Known(
    age=VisitAge(years=31.04, low=24.0, high=39.26, spread=2.345, samples=9),
    gender=VisitLabel(label="female", probability=0.97344, samples=9),
    expression=VisitExpression(dominant="sad", shares={"happy": 0.75, "sad": 0.25}, samples=12, seconds=4.0),
    affect=VisitAffect(valence=0.4214, arousal=-0.0816, samples=5),
)
MAY_NAME = {
    "types.py": "the names themselves",
    "bundle/heads.py": "a kind of head has the name of the only question that it answers",
    "config/types.py": "keys of their own in [visits]",
    "events/summary.py": "counts ages and expressions, by the meaning of its message",
    "events/aggregate.py": "so does this",
    "events/state.py": "tells mean age and dominant expression, by the meaning of its message",
    "events/commands.py": "one command has its name",
    "service/control.py": "follows that command",
    "publish/entities.py": "has an entity for each of these two",
    "publish/sentences.py": "says both of a state",
    "service/assembly.py": "asks networks for what the entities need: labels, and whether ages are told",
}


def test_every_question_has_its_module_and_its_fields_in_one_order() -> None:
    assert tuple(QUESTIONS) == TASKS
    assert Known.__struct_fields__ == TASKS
    for message in (VisitMessage, Face):
        assert tuple(name for name in message.__struct_fields__ if name in TASKS) == TASKS


@pytest.mark.parametrize("task", TASKS)
def test_what_a_question_brings_fits_together(task: Task) -> None:
    question, value = QUESTIONS[task], by_task(KNOWN)[task]
    assert question.task == task
    assert question.reads in {reads for _, reads in KINDS.values()}, "no kind of head can answer it"
    assert isinstance(question.estimate(value), question.reads)
    part = question.part(value)
    assert msgspec.convert(msgspec.to_builtins(part), type(part)) == part, "within its own ranges"
    sample = question.sample_fields(question.estimate(value))
    assert sample
    assert question.text(part)
    assert question.brief(part)
    assert question.start.samples == 0
    assert Visits().certainty(task) == question.certainty


def test_of_nothing_nothing_is_told() -> None:
    assert message_parts(Known()) == dict.fromkeys(TASKS)


def test_a_threshold_of_the_configuration_goes_before_the_question_s_own() -> None:
    given = Visits(gender_certainty=0.9, expression_certainty=0.1)
    assert [given.certainty(task) for task in TASKS] == [0.0, 0.9, 0.1, 0.0]
    assert given.certainty("gender", 0.7) == 0.9


def test_what_was_measured_goes_before_the_question_s_own() -> None:
    assert [Visits().certainty(task, 0.0) for task in TASKS] == [0.0, 0.0, 0.0, 0.0]
    assert Visits().certainty("gender", 0.65) == 0.65


def named(path: Path) -> Iterator[str]:
    """Places where code, not a sentence, knows one question from the others."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in TASKS:
            yield f"line {node.lineno}: .{node.attr}"
        elif isinstance(node, ast.Constant) and node.value in TASKS:
            yield f"line {node.lineno}: {node.value!r}"


def test_the_rest_of_the_program_knows_no_question_by_name() -> None:
    others = [
        path
        for path in sorted(ROOT.rglob("*.py"))
        if path.relative_to(ROOT).parts[0] != "questions" and str(path.relative_to(ROOT)) not in MAY_NAME
    ]
    assert len(others) > 100
    assert {str(path): list(named(path)) for path in others if any(named(path))} == {}
