"""What the face shows: now, and over the visit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from edgeface.questions.fusion import ExpressionState, add_expression
from edgeface.questions.parts import Samples, Shares, rounded_share
from edgeface.questions.question import Question, Schedule
from edgeface.types import Answer, Head, LabelEstimate

WHOLE = 0.95
"""From this share on an expression is named alone."""


class Expression(Struct, frozen=True, kw_only=True):
    """What the face shows, not what a person feels."""

    dominant: Annotated[str, Meta(description="label that dominates now; in an `end` the one of the largest share")]
    shares: Annotated[Shares, Meta(description="share of the visit so far by label, together 1")]
    samples: Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitExpression:
    """Expression over the visit.

    Attributes
    ----------
    dominant : what dominates now; of a visit that has ended, the label of the largest share
    shares : each label's share of ``seconds``, together 1
    seconds : time of the visit so far for which samples stand
    """

    dominant: str
    shares: Mapping[str, float]
    samples: int
    seconds: float = 0.0


class ExpressionQuestion(Question[ExpressionState, VisitExpression, Expression]):
    """What fades and what adds up; an expression changes, so samples are frequent."""

    task = "expression"
    notice = "facial expression"
    schedule = Schedule(interval=0.5, initial_interval=0.2)
    reads = LabelEstimate
    certainty = 0.4
    emotion = True
    usual = True
    start = ExpressionState()

    def add(self, state: ExpressionState, answer: Answer, head: Head) -> ExpressionState:  # noqa: ARG002
        """Fold one sample; samples come in the order of time."""
        return add_expression(state, answer)

    def value(self, state: ExpressionState, head: Head, certainty: float) -> VisitExpression | None:
        """Label that dominates now and all shares; None while no label is as likely as ``certainty``."""
        return None if state.probability < certainty else _told(state, head, state.dominant)

    def last(self, state: ExpressionState, head: Head, certainty: float) -> VisitExpression | None:
        """Label of the largest share, and all shares; None where that share is less than ``certainty``.

        Nothing is "now" any more: an unclear moment before somebody goes takes nothing of what the visit has shown.
        """
        most = int(state.shares.argmax())
        return None if float(state.shares[most]) < certainty else _told(state, head, most)

    def gist_of(
        self,
        state: ExpressionState,
        head: Head,  # noqa: ARG002
        certainty: float,
        bands: Sequence[int] = (),  # noqa: ARG002
    ) -> int | None:
        """What dominates, by its place among the labels."""
        return None if state.probability < certainty else state.dominant

    def part(self, value: VisitExpression) -> Expression:
        """Four digits of each share."""
        shares = {label: rounded_share(share) for label, share in value.shares.items()}
        return Expression(dominant=value.dominant, shares=shares, samples=value.samples)

    def text(self, part: Expression) -> str:
        """``mostly happy``, by the shares."""
        most = max(part.shares, key=part.shares.__getitem__, default=part.dominant)
        return f"mostly {most}" if part.shares.get(most, 0) < WHOLE else most

    def brief(self, part: Expression) -> str:
        """``mostly happy``."""
        return f"mostly {part.dominant}"

    def estimate(self, value: VisitExpression) -> LabelEstimate:
        """What dominates, with the shares as probabilities."""
        return LabelEstimate(
            label=value.dominant, probability=value.shares.get(value.dominant, 0.0), probabilities=value.shares
        )

    def sample_fields(self, estimate: LabelEstimate) -> Mapping[str, object]:
        """Label and all probabilities."""
        shares = {label: rounded_share(share) for label, share in estimate.probabilities.items()}
        return {"label": estimate.label, "probabilities": shares}


def _told(state: ExpressionState, head: Head, dominant: int) -> VisitExpression:
    """What is known of an expression, by the place of the label that dominates; after the first sample."""
    fused = head.estimate(state.shares)
    assert isinstance(fused, LabelEstimate)
    shares = fused.probabilities
    return VisitExpression(dominant=list(shares)[dominant], shares=shares, samples=state.samples, seconds=state.total_s)
