"""What the face shows on two axes: unpleasant to pleasant, calm to excited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from edgeface.questions.fusion import Mean, add_sample
from edgeface.questions.parts import Samples
from edgeface.questions.question import Question, Schedule
from edgeface.types import AffectEstimate, Answer, Head


class Affect(Struct, frozen=True, kw_only=True):
    """What the face shows on two axes, not what a person feels: mean over the visit."""

    valence: Annotated[float, Meta(ge=-1, le=1, description="unpleasant (-1) to pleasant (1)")]
    arousal: Annotated[float, Meta(ge=-1, le=1, description="calm (-1) to excited (1)")]
    samples: Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitAffect:
    """Valence and arousal over the visit, each -1 to 1: the mean of the samples, weighted by their quality."""

    valence: float
    arousal: float
    samples: int


class AffectQuestion(Question[Mean, VisitAffect, Affect]):
    """The mean of the samples; what a face shows changes, so samples are frequent."""

    task = "affect"
    emotion = True
    notice = "how pleasant and how excited a face looks"
    schedule = Schedule(interval=0.5, initial_interval=0.2)
    reads = AffectEstimate
    start = Mean()

    def add(self, state: Mean, answer: Answer, head: Head) -> Mean:  # noqa: ARG002
        """Fold one sample."""
        return add_sample(state, answer)

    def value(self, state: Mean, head: Head, certainty: float) -> VisitAffect:  # noqa: ARG002
        """Mean of both axes."""
        fused = head.estimate(state.probabilities)
        assert isinstance(fused, AffectEstimate)
        return VisitAffect(valence=fused.valence, arousal=fused.arousal, samples=state.samples)

    def gist_of(
        self,
        state: Mean,
        head: Head,
        certainty: float,
        bands: Sequence[int] = (),  # noqa: ARG002
    ) -> tuple[int, int]:
        """Both axes in halves."""
        value = self.value(state, head, certainty)
        return round(2 * value.valence), round(2 * value.arousal)

    def part(self, value: VisitAffect) -> Affect:
        """Three digits."""
        return Affect(valence=round(value.valence, 3), arousal=round(value.arousal, 3), samples=value.samples)

    def text(self, part: Affect) -> str:
        """``valence +0.4, arousal -0.1``."""
        return f"valence {part.valence:+.1f}, arousal {part.arousal:+.1f}"

    def estimate(self, value: VisitAffect) -> AffectEstimate:
        """Both axes."""
        return AffectEstimate(valence=value.valence, arousal=value.arousal)

    def sample_fields(self, estimate: AffectEstimate) -> Mapping[str, object]:
        """Three digits."""
        return {"valence": round(estimate.valence, 3), "arousal": round(estimate.arousal, 3)}
