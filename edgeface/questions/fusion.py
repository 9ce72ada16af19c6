"""What the looks at one person add up to: small frozen values, folded by pure functions.

A look weighs as much as its quality. Nothing here depends on the frame rate: what fades, fades with a half-life in
seconds, and a share of time is counted in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from edgeface.types import F32, Answer

FADE_HALF_LIFE_S = 1.5
"""Half-life of what counts as the expression now."""
LOOK_SPAN_S = 1.0
"""Most seconds of a visit that one look stands for; the first one stands for `FIRST_SPAN_S`."""
FIRST_SPAN_S = 0.2
HYSTERESIS = 0.1
"""How much likelier another expression must be before it is said instead."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mean:
    """Quality-weighted mean of what looks say, with the spread of one number per look.

    Attributes
    ----------
    total : float32 (K,), sum of weight times `Answer.probabilities`; None before the first look
    weight : sum of weights
    value, squares : sums of weight times the look's own number (years), and of its square
    samples : looks that weighed something
    """

    total: F32 | None = None
    weight: float = 0.0
    value: float = 0.0
    squares: float = 0.0
    samples: int = 0

    @property
    def probabilities(self) -> F32:
        """The fused vector, shape (K,); only after the first look."""
        assert self.total is not None
        fused: F32 = self.total / np.float32(self.weight)
        return fused

    @property
    def spread(self) -> float | None:
        """Weighted standard deviation between looks, None for a single one."""
        if self.samples < 2:
            return None
        mean = self.value / self.weight
        return sqrt(max(0.0, self.squares / self.weight - mean * mean))


def add_look(mean: Mean, answer: Answer, *, value: float = 0.0) -> Mean:
    """Fold one look into a mean; ``value`` is its own number, for the spread."""
    weight = answer.quality
    weighted: F32 = answer.probabilities * np.float32(weight)
    return Mean(
        total=weighted if mean.total is None else mean.total + weighted,
        weight=mean.weight + weight,
        value=mean.value + weight * value,
        squares=mean.squares + weight * value * value,
        samples=mean.samples + 1,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mood:
    """Expression over a visit: what shows now, and the share of time of each label.

    Attributes
    ----------
    now : float32 (K,), fading weighted sum of probabilities; ``now_weight`` its weight
    seconds : float32 (K,), seconds of the visit by label, each look split by its probabilities
    dominant : index of the label that is said, kept by hysteresis
    """

    now: F32 | None = None
    now_weight: float = 0.0
    seconds: F32 | None = None
    dominant: int = 0
    looked_s: float = 0.0
    samples: int = 0

    @property
    def probability(self) -> float:
        """Fused probability of the dominant label now."""
        return 0.0 if self.now is None else float(self.now[self.dominant]) / self.now_weight

    @property
    def total_s(self) -> float:
        """Seconds of the visit for which looks stand."""
        return 0.0 if self.seconds is None else float(self.seconds.sum())

    @property
    def shares(self) -> F32:
        """Share of the visit by label, sums to 1; only after the first look."""
        assert self.seconds is not None
        shares: F32 = self.seconds / self.seconds.sum()
        return shares


def add_mood(mood: Mood, answer: Answer) -> Mood:
    """Fold one look at an expression; looks come in the order of time."""
    elapsed_s = max(0.0, answer.time_s - mood.looked_s)
    kept = 0.5 ** (elapsed_s / FADE_HALF_LIFE_S)
    weighted: F32 = answer.probabilities * np.float32(answer.quality)
    if mood.now is None or mood.seconds is None:
        now, weight, span_s = weighted, answer.quality, FIRST_SPAN_S
        seconds: F32 = np.zeros_like(answer.probabilities)
        dominant = int(np.argmax(now))
    else:
        now, weight = mood.now * np.float32(kept) + weighted, mood.now_weight * kept + answer.quality
        span_s, seconds, dominant = min(elapsed_s, LOOK_SPAN_S), mood.seconds, mood.dominant
        best = int(np.argmax(now))
        if float(now[best] - now[dominant]) > HYSTERESIS * weight:
            dominant = best
    return Mood(
        now=now,
        now_weight=weight,
        seconds=seconds + answer.probabilities * np.float32(span_s),
        dominant=dominant,
        looked_s=answer.time_s,
        samples=mood.samples + 1,
    )
