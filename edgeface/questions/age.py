"""Apparent age in years."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, cast

from msgspec import Meta, Struct

from edgeface.questions.fusion import Pool, pool_sample
from edgeface.questions.parts import Samples
from edgeface.questions.question import DIFFERENCE_MOST, Question, Schedule
from edgeface.types import AgeEstimate, AgeHead, Answer, Head

WORTH = 0.77
"""Independent samples that the samples of one visit are worth for its interval: their errors are nearly the same.

The interval is that of the pool to this power. Fitted on half of the people of FairFace's validation part: so that 80 %
of them are held where nine age bands count alike, since nobody knows whom a camera will see
(`python -m benchmarks.visit_intervals`).
"""
ALIKE = 0.5
"""Share of the ranges between two ages up to which these say nothing for two people."""


class Age(Struct, frozen=True, kw_only=True):
    """Apparent age; ``spread`` is null after a single sample."""

    years: Annotated[float, Meta(description="apparent age in years")]
    low: Annotated[float, Meta(description="10th percentile of the network's distribution, years")]
    high: Annotated[float, Meta(description="90th percentile of the network's distribution, years")]
    spread: Annotated[float | None, Meta(description="standard deviation between samples, years")]
    samples: Samples


def band_names(edges: Sequence[int]) -> tuple[str, ...]:
    """Bands of age that begin at these years, and one before them: ``0-17``, ``18-34``, ``35+``."""
    return _band_names(tuple(edges))


@lru_cache(maxsize=8)
def _band_names(edges: tuple[int, ...]) -> tuple[str, ...]:
    return (*(f"{low}-{high - 1}" for low, high in pairwise((0, *edges))), f"{edges[-1]}+")


def band_of(years: float, edges: Sequence[int]) -> str:
    """Band of an apparent age, by years as messages tell them: 29.96 is told as 30."""
    return band_names(edges)[sum(round(years, 1) >= edge for edge in edges)]


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitAge:
    """Fused age of a visit; ``spread`` is the standard deviation between samples in years, None for one sample."""

    years: float
    low: float
    high: float
    spread: float | None
    samples: int


class AgeQuestion(Question[Pool, VisitAge, Age]):
    """The samples' distributions, pooled; an age does not change, so samples are rare."""

    task = "age"
    notice = "apparent age"
    schedule = Schedule(interval=4.0)
    reads = AgeEstimate
    usual = True
    start = Pool()

    def add(self, state: Pool, answer: Answer, head: Head) -> Pool:
        """Fold one sample; its own years go into the spread."""
        return pool_sample(state, answer, value=cast(AgeHead, head).years(answer.probabilities))

    def value(self, state: Pool, head: Head, certainty: float) -> VisitAge:  # noqa: ARG002
        """Years of the fused distribution, and percentiles of what so many samples leave of it."""
        years = cast(AgeHead, head).years(state.probabilities)
        low, high = cast(AgeHead, head).bounds(state.sharpened(WORTH))
        return VisitAge(years=years, low=low, high=high, spread=state.spread, samples=state.samples)

    def gist_of(self, state: Pool, head: Head, certainty: float, bands: Sequence[int] = ()) -> int | str:  # noqa: ARG002
        """Whole years, or the band."""
        years = cast(AgeHead, head).years(state.probabilities)
        return band_of(years, bands) if bands else round(years)

    def difference(self, one: VisitAge, other: VisitAge) -> float:
        """Grows with the years between them, as a share of the ranges there; the most where these do not meet."""
        young, old = sorted((one, other), key=lambda age: age.years)
        ranges = young.high - young.years + old.years - old.low
        share = (old.years - young.years) / max(ranges, 1.0)
        return DIFFERENCE_MOST * min(1.0, max(0.0, (share - ALIKE) / (1 - ALIKE)))

    def part(self, value: VisitAge) -> Age:
        """Tenths of a year."""
        return Age(
            years=round(value.years, 1),
            low=round(value.low, 1),
            high=round(value.high, 1),
            spread=None if value.spread is None else round(value.spread, 2),
            samples=value.samples,
        )

    def text(self, part: Age) -> str:
        """``about 31 years (24-39)``."""
        return f"{self.brief(part)} ({part.low:.0f}-{part.high:.0f})"

    def brief(self, part: Age) -> str:
        """``about 31 years``."""
        return f"about {part.years:.0f} years"

    def estimate(self, value: VisitAge) -> AgeEstimate:
        """The same without what several samples have told."""
        return AgeEstimate(years=value.years, low=value.low, high=value.high)

    def sample_fields(self, estimate: AgeEstimate) -> Mapping[str, object]:
        """Tenths of a year."""
        return {"years": round(estimate.years, 1), "low": round(estimate.low, 1), "high": round(estimate.high, 1)}
