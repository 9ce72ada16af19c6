"""What a network is told about its answers: one function for each kind of head, and their weighted sum.

Each gives a loss for every face, shape (N,); the mean is taken over the faces that have the label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as fn

from converters.train.recipe import Distribution, Labels, Loss, Plane, Ranks, Teacher
from converters.train.targets import OLDEST
from edgeface.bundle import AffectHead, AttributeHead, CategoricalHead, CoralHead, ExpectationHead
from edgeface.errors import UsageError
from edgeface.types import F32, Task

USUAL: Mapping[type, type[Loss]] = {
    ExpectationHead: Distribution,
    CoralHead: Ranks,
    CategoricalHead: Labels,
    AffectHead: Plane,
}
"""Which loss a kind of head can be trained with."""
NONE = -1e4
"""Logarithm of no probability at all, that still has a gradient."""


def loss_for(task: Task, head: AttributeHead, said: Loss | None) -> Loss:
    """Loss of a question: what the recipe says, or the usual one of the kind of head.

    Raises
    ------
    UsageError : no loss is known for such a head, or not the one that was named
    """
    kind = USUAL.get(type(head))
    if kind is None:
        raise UsageError(f"a head of this kind cannot be trained for {task}", fix=f"give it another one: {_kinds()}")
    if said is not None and not isinstance(said, kind):
        raise UsageError(
            f"[loss.{task}] does not fit the network's head", fix=f'give kind = "{kind.__struct_config__.tag}"'
        )
    return said or kind()


def _kinds() -> str:
    return ", ".join(str(msgspec.inspect.type_info(head).tag) for head in USUAL)  # type: ignore[attr-defined]


def distribution_loss(
    logits: Tensor, age: Tensor, support: Tensor, loss: Distribution, belief: Tensor | None
) -> Tensor:
    """Of a distribution over ``support`` years; exact ages, or intervals.

    An exact age wants a bell curve around it (label distribution learning, Gao et al. 2018) and its mean. An interval
    wants mass inside, whose logarithm counts; how that mass lies inside follows ``belief``, and beyond a bin without
    upper end the tail of an exponential distribution.

    Parameters
    ----------
    logits : (N, K); age : (N, 2), first and last year; support : (K,)
    belief : (N, K), probabilities that the start gives each face, or None
    """
    log = logits.log_softmax(1)
    low, high = age[:, :1].clamp(max=float(support[-1])), age[:, 1:]
    years = (log.exp() * support).sum(1)
    curve = torch.softmax(-((support - low) ** 2) / (2 * loss.spread**2), 1)
    exact = -loss.shape * (curve * log).sum(1)
    exact = exact + loss.mean * fn.smooth_l1_loss(years, low[:, 0], reduction="none")
    inside = (support >= low) & (support <= high)
    mass = log.masked_fill(~inside, NONE).logsumexp(1)
    wanted = _inside(inside, low, high, support, loss, belief)
    shape = -(wanted * (log - mass[:, None])).sum(1)
    return torch.where(low[:, 0] == high[:, 0].clamp(max=float(support[-1])), exact, loss.inside * shape - mass)


def _inside(
    inside: Tensor, low: Tensor, high: Tensor, support: Tensor, loss: Distribution, belief: Tensor | None
) -> Tensor:
    """How the mass of an interval should lie in it, (N, K): rows of sum 1, or of zeros where nothing is said."""
    wanted = torch.zeros(inside.shape, device=support.device)
    if loss.prior and belief is not None:
        wanted = _shares(belief.masked_fill(~inside, 0))
    if loss.tail:
        open_end = high >= OLDEST
        tail = _shares(torch.exp(-(support - low).clamp(min=0) / loss.tail).masked_fill(~inside, 0))
        wanted = torch.where(open_end, _shares(wanted + tail), wanted)
    return wanted


def _shares(rows: Tensor) -> Tensor:
    return rows / rows.sum(1, keepdim=True).clamp(min=1e-12)


def rank_loss(log_odds: Tensor, age: Tensor, lowest: int, importance: Tensor) -> Tensor:
    """Of K - 1 questions "older than ``lowest`` + k?": their cross entropies, weighted, added up (N,).

    Of an interval only the ranks outside it are judged: those below its first year are passed, those from its last
    year on are not.
    """
    rank = lowest + torch.arange(log_odds.shape[1], device=log_odds.device)
    passed, failed = age[:, :1] > rank, age[:, 1:] <= rank
    entropy = fn.binary_cross_entropy_with_logits(log_odds, passed.to(log_odds.dtype), reduction="none")
    return (entropy * importance * (passed | failed)).sum(1)


def rank_importance(age: F32, lowest: int, ranks: int) -> F32:
    """Weights (ranks,) of the questions: sqrt(M_k) / max, M_k the larger of the faces on either side of rank k."""
    known = age[~np.isnan(age[:, 0])]
    rank = lowest + np.arange(ranks)
    sides = [(known[:, :1] > rank).sum(axis=0), (known[:, 1:] <= rank).sum(axis=0)]
    root = np.sqrt(np.maximum(*sides))
    weights: F32 = (root / max(root.max(), 1e-12)).astype(np.float32)
    return weights


def label_loss(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy (N,) with soft targets (N, K), each label's part weighted."""
    return -(target * weights * logits.log_softmax(1)).sum(1)


def label_weights(target: F32, power: float) -> F32:
    """Weights (K,) that even labels out, 1 on average over the faces: 0 leaves them, 1 makes rare ones count alike."""
    known = target[~np.isnan(target[:, 0])]
    share = known.mean(axis=0) if len(known) else np.ones(target.shape[1])
    raw = np.maximum(share, 1e-6) ** -power
    weights: F32 = (raw / max(float((raw * share).sum()), 1e-12)).astype(np.float32)
    return weights


def affect_loss(values: Tensor, target: Tensor, loss: Plane) -> Tensor:
    """Squared error (N,) of valence and arousal, mixed with what the batch lacks in concordance."""
    square = (values - target).square().mean(1)
    if loss.concordance == 0:
        return square
    mean_x, mean_y = values.mean(0), target.mean(0)
    spread = ((values - mean_x) * (target - mean_y)).mean(0)
    below = values.var(0, correction=0) + target.var(0, correction=0) + (mean_x - mean_y).square()
    lack = (1 - 2 * spread / below.clamp(min=1e-6)).mean()
    return (1 - loss.concordance) * square + loss.concordance * lack


def teacher_loss(head: AttributeHead, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """How far a student is from a teacher's answer (N,).

    Cross entropy of classes at a temperature, times its square (Hinton, Vinyals, Dean 2015, section 2); cross entropies
    of all ranks added up, as `rank_loss` does; squared error of valence and arousal. ``teacher`` holds
    probabilities, at that temperature.
    """
    if isinstance(head, AffectHead):
        return (student - teacher).square().mean(1)
    if isinstance(head, CoralHead):
        return fn.binary_cross_entropy_with_logits(student, teacher, reduction="none").sum(1)
    return -(teacher * (student / temperature).log_softmax(1)).sum(1) * temperature**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question's loss with what it knows of the training faces.

    ``constants``: of ranks their importance, of labels their weights, of a distribution its support.
    """

    head: AttributeHead
    loss: Loss
    constants: Tensor

    def judge(self, answer: Tensor, target: Tensor, belief: Tensor | None) -> Tensor:
        """Loss of each face (N,)."""
        if isinstance(self.loss, Distribution):
            return distribution_loss(answer, target, self.constants, self.loss, belief)
        if isinstance(self.loss, Ranks):
            assert isinstance(self.head, CoralHead)
            return rank_loss(answer, target, self.head.lowest, self.constants)
        if isinstance(self.loss, Labels):
            return label_loss(answer, target, self.constants)
        return affect_loss(answer, target, self.loss)


def make_question(head: AttributeHead, loss: Loss, target: F32, device: torch.device) -> Question:
    """Make a question's loss from the targets of all training faces."""
    if isinstance(head, ExpectationHead):
        constants = np.array(head.support, np.float32)
    elif isinstance(head, CoralHead):
        assert isinstance(loss, Ranks)
        weighed = loss.importance
        constants = rank_importance(target, head.lowest, head.ranks) if weighed else np.ones(head.ranks, np.float32)
    elif isinstance(loss, Labels):
        constants = label_weights(target, loss.class_weights)
    else:
        constants = np.zeros(0, np.float32)
    return Question(head=head, loss=loss, constants=torch.from_numpy(constants).to(device))


def total_loss(
    questions: Mapping[Task, Question],
    answers: Mapping[Task, Tensor],
    targets: Mapping[Task, Tensor],
    belief: Tensor | None = None,
    taught: Mapping[Task, Tensor] | None = None,
    teacher: Teacher | None = None,
) -> dict[Task, Tensor]:
    """Weighted loss of each question over a batch; a question that no face of it has a label for is 0.

    ``taught`` are the teachers' answers; a teacher's share counts for every face, the labels' for those that have one.
    """
    share = teacher.share if teacher is not None and taught else 0.0
    found: dict[Task, Tensor] = {}
    for task, question in questions.items():
        answer, target = answers[task], targets[task]
        known = ~target[:, 0].isnan()
        value = answer.sum() * 0
        if share < 1 and bool(known.any()):
            own = belief[known] if belief is not None and task == "age" else None
            value = value + (1 - share) * question.judge(answer[known], target[known], own).mean()
        if share > 0 and teacher is not None and taught is not None and task in taught:
            value = value + share * teacher_loss(question.head, answer, taught[task], teacher.temperature).mean()
        found[task] = question.loss.weight * value
    return found
