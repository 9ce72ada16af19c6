"""Questions that a label answers which does not change while somebody is in view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

from edgeface.questions.fusion import Mean, add_sample
from edgeface.questions.parts import rounded_share
from edgeface.questions.question import DIFFERENCE_MOST, P, Question
from edgeface.types import Answer, Head, LabelEstimate

ALIKE, SLOPE = 2.0, 1.2
"""Distance of two labels up to which one person gets both, in logits added up, and what more of it says for two people.

Of three samples and more of one person in made clips 95 % lay closer and two in a hundred farther than 3; of two
people, whatever their labels, three quarters lay farther.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitLabel:
    """Likeliest label of the fused probabilities, as the training data names it, with its probability."""

    label: str
    probability: float
    samples: int


class Labelled(Question[Mean, VisitLabel, P]):
    """The mean of the samples' probabilities, said where the likeliest label is certain enough."""

    reads = LabelEstimate
    start = Mean()

    def add(self, state: Mean, answer: Answer, head: Head) -> Mean:  # noqa: ARG002
        """Fold one sample."""
        return add_sample(state, answer)

    def value(self, state: Mean, head: Head, certainty: float) -> VisitLabel | None:
        """Label of the fused probabilities, None where it is less likely than ``certainty``."""
        fused = head.estimate(state.probabilities)
        assert isinstance(fused, LabelEstimate)
        if fused.probability < certainty:
            return None
        return VisitLabel(label=fused.label, probability=fused.probability, samples=state.samples)

    def difference(self, one: VisitLabel, other: VisitLabel) -> float:
        """Nothing while the labels agree; else it grows with what both are sure of."""
        if one.label == other.label:
            return 0.0
        return min(DIFFERENCE_MOST, SLOPE * max(0.0, _logit(one) + _logit(other) - ALIKE))

    def gist_of(
        self,
        state: Mean,
        head: Head,  # noqa: ARG002
        certainty: float,
        bands: Sequence[int] = (),  # noqa: ARG002
    ) -> int | None:
        """The label, by its place among the labels."""
        probabilities = state.probabilities
        best = int(probabilities.argmax())
        return None if float(probabilities[best]) < certainty else best

    def estimate(self, value: VisitLabel) -> LabelEstimate:
        """Label and probability; the other labels' are not kept."""
        return LabelEstimate(label=value.label, probability=value.probability, probabilities={})

    def sample_fields(self, estimate: LabelEstimate) -> Mapping[str, object]:
        """Label and probability."""
        return {"label": estimate.label, "probability": rounded_share(estimate.probability)}


def _logit(label: VisitLabel) -> float:
    return log(label.probability / max(1 - label.probability, 1e-6))
