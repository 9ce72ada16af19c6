"""What a module says of a batch, by question: in the form that losses read, or as a device reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from converters.recipes.schema import NetworkRecipe
from edgeface.bundle import AffectHead, AttributeHead, CategoricalHead, CoralHead, ExpectationHead
from edgeface.errors import UsageError
from edgeface.questions import QUESTIONS
from edgeface.types import Task

LEAST = 1e-7
"""Probability below which no logarithm is taken."""


def heads_of(network: NetworkRecipe, name: str) -> dict[Task, AttributeHead]:
    """Heads by question; UsageError for a network that answers none."""
    found = [task for task in QUESTIONS if task == network.task]
    if not found or not isinstance(network.head, AttributeHead) or network.frames:
        raise UsageError(
            f"network {name} cannot be trained here", fix="name one that answers questions about a single face"
        )
    return {found[0]: network.head, **network.also}


def expect_outputs(module: Any, heads: Mapping[Task, AttributeHead], name: str) -> None:
    """Raise UsageError where a head reads an output that the module does not give."""
    for task, head in heads.items():
        if head.output not in module.outputs:
            raise UsageError(
                f"network {name} gives {', '.join(module.outputs)}, and its head for {task} reads {head.output}",
                fix="correct the head's output, or the module's outputs",
            )


def logits(module: Any, heads: Mapping[Task, AttributeHead], faces: Tensor) -> dict[Task, Tensor]:
    """Float32 answers (N, K) by question, with gradients.

    Logits of classes, log-odds of ranks, valence and arousal as they are. A module says them itself by a method
    ``logits``; of one that has none the logarithms of its probabilities serve.
    """
    own = hasattr(module, "logits")
    given: Tensor | Sequence[Tensor] = module.logits(faces) if own else module(faces)
    named = dict(zip(module.outputs, (given,) if isinstance(given, Tensor) else given, strict=False))
    answers = {task: _columns(named[head.output].float(), head) for task, head in heads.items()}
    return answers if own else {task: _logarithms(answers[task], head) for task, head in heads.items()}


def probabilities(answers: Mapping[Task, Tensor], heads: Mapping[Task, AttributeHead]) -> dict[Task, Tensor]:
    """What `logits` gave, as a device would read it."""
    found: dict[Task, Tensor] = {}
    for task, head in heads.items():
        if isinstance(head, AffectHead):
            found[task] = answers[task]
        else:
            found[task] = answers[task].sigmoid() if isinstance(head, CoralHead) else answers[task].softmax(1)
    return found


def as_head(wanted: AttributeHead, head: AttributeHead, answer: Tensor, temperature: float) -> Tensor | None:
    """A teacher's logits as probabilities of a student's head, None where one says nothing of the other.

    A distribution over years tells every rank: what lies above it.
    """
    if isinstance(head, AffectHead):
        return answer if isinstance(wanted, AffectHead) else None
    if isinstance(wanted, CoralHead) and isinstance(head, ExpectationHead):
        ranks = wanted.lowest + torch.arange(wanted.ranks, device=answer.device)
        support = torch.tensor(head.support, device=answer.device)
        return (answer.softmax(1) @ (support[:, None] > ranks).float()).clamp(0, 1)
    if isinstance(wanted, CoralHead):
        fits = isinstance(head, CoralHead) and (head.lowest, head.ranks) == (wanted.lowest, wanted.ranks)
        return answer.sigmoid() if fits else None
    if isinstance(wanted, ExpectationHead):
        fits = isinstance(head, ExpectationHead) and head.support == wanted.support
    else:
        fits = (
            isinstance(wanted, CategoricalHead) and isinstance(head, CategoricalHead) and head.labels == wanted.labels
        )
    return (answer / temperature).softmax(1) if fits else None


def _columns(answer: Tensor, head: AttributeHead) -> Tensor:
    return answer[:, list(head.columns)] if head.columns else answer


def _logarithms(answer: Tensor, head: AttributeHead) -> Tensor:
    if isinstance(head, AffectHead) or (isinstance(head, CategoricalHead) and head.activation == "softmax"):
        return answer
    clamped = answer.clamp(LEAST, 1 - LEAST)
    return clamped.logit() if isinstance(head, CoralHead) else clamped.log()
