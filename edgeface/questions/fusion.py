"""Fusion: what the samples of one person add up to: small frozen values, folded by pure functions.

A sample weighs as much as its quality, of an age also as it is sure. Nothing here depends on the frame rate: what
fades, fades with a half-life in seconds, and a share of time is counted in seconds.
"""

from __future__ import annotations

from math import exp, sqrt

import numpy as np
from msgspec import Struct

from edgeface.types import F32, Answer

FADE_HALF_LIFE_S = 1.5
"""Half-life of what counts as the expression now."""
SAMPLE_SPAN_S = 1.0
"""Most seconds of a visit that one sample stands for; the first one stands for `FIRST_SPAN_S`."""
FIRST_SPAN_S = 0.2
HYSTERESIS = 0.15
"""How much likelier another expression must be before it is said instead.

Of looks that are for either of two by chance, twice a second, the label changes about once a minute (four times with
0.1), and one that is really there for 80 % is told 2.4 s later (2.2 s).
"""
PLAY = 0.05
"""How much its probability must rise before it is said again, once it was too unlikely to be said."""
LEAST_PROBABILITY = 1e-9
"""What a sample holds impossible is taken for this likely: one sample alone rules nothing out."""


class Mean(Struct, frozen=True, kw_only=True, eq=False):
    """Quality-weighted mean of what samples say.

    Attributes
    ----------
    total : float32 (K,), sum of weight times `Answer.probabilities`; None before the first sample
    weight : sum of weights
    samples : samples that weighed something
    """

    total: F32 | None = None
    weight: float = 0.0
    samples: int = 0

    @property
    def probabilities(self) -> F32:
        """The fused vector, shape (K,); only after the first sample."""
        assert self.total is not None
        fused: F32 = self.total / np.float32(self.weight)
        return fused


def add_sample(mean: Mean, answer: Answer) -> Mean:
    """Fold one sample into a mean."""
    weighted: F32 = answer.probabilities * np.float32(answer.quality)
    return Mean(
        total=weighted if mean.total is None else mean.total + weighted,
        weight=mean.weight + answer.quality,
        samples=mean.samples + 1,
    )


class Pool(Struct, frozen=True, kw_only=True, eq=False):
    """Logarithmic pool of distributions: logarithms are averaged. Genest, Zidek: Combining Probability Distributions.

    Statistical Science 1, 1986, section 3. Where samples agree it is as wide as they are, while a mean of distributions
    keeps what each of them alone holds possible.

    Attributes
    ----------
    total : float32 (K,), sum of weight times logarithm of `Answer.probabilities`; None before the first sample
    weight : sum of weights
    value, squares : sums of weight times the sample's own number (years), and of its square
    samples : samples that weighed something
    """

    total: F32 | None = None
    weight: float = 0.0
    value: float = 0.0
    squares: float = 0.0
    samples: int = 0

    @property
    def probabilities(self) -> F32:
        """The fused vector, shape (K,), sums to 1; only after the first sample."""
        return self.sharpened(1.0)

    def sharpened(self, power: float) -> F32:
        """The fused vector raised to a power, shape (K,), sums to 1; only after the first sample."""
        assert self.total is not None
        logarithms = self.total * np.float32(power / self.weight)
        shares: F32 = np.exp(logarithms - logarithms.max())
        fused: F32 = shares / shares.sum()
        return fused

    @property
    def spread(self) -> float | None:
        """Weighted standard deviation between samples, None for a single one."""
        if self.samples < 2:
            return None
        mean = self.value / self.weight
        return sqrt(max(0.0, self.squares / self.weight - mean * mean))


def pool_sample(pool: Pool, answer: Answer, *, value: float) -> Pool:
    """Fold one sample into a pool; ``value`` is its own number, for the spread.

    It weighs its quality by how sure it is: ``exp(-2 H)``, which of a bell curve is the inverse of its variance.
    """
    kept = np.maximum(answer.probabilities, LEAST_PROBABILITY)
    logarithms: F32 = np.log(kept)
    entropy = -float(answer.probabilities @ logarithms)
    weight = answer.quality * exp(-2 * entropy)
    return Pool(
        total=np.float32(weight) * logarithms + (0 if pool.total is None else pool.total),
        weight=pool.weight + weight,
        value=pool.value + weight * value,
        squares=pool.squares + weight * value * value,
        samples=pool.samples + 1,
    )


class ExpressionState(Struct, frozen=True, kw_only=True, eq=False):
    """Expression over a visit: what shows now, and the share of time of each label.

    Attributes
    ----------
    now : float32 (K,), fading weighted sum of probabilities; ``now_weight`` its weight
    seconds : float32 (K,), seconds of the visit by label, each sample split by its probabilities
    dominant : index of the label that is said, kept by hysteresis
    probability : of the dominant label now, with play: it falls at once, and has to rise by `PLAY` to be more again
    """

    now: F32 | None = None
    now_weight: float = 0.0
    seconds: F32 | None = None
    dominant: int = 0
    probability: float = 0.0
    sampled_s: float = 0.0
    samples: int = 0

    @property
    def total_s(self) -> float:
        """Seconds of the visit for which samples stand."""
        return 0.0 if self.seconds is None else float(self.seconds.sum())

    @property
    def shares(self) -> F32:
        """Share of the visit by label, sums to 1; only after the first sample."""
        assert self.seconds is not None
        shares: F32 = self.seconds / self.seconds.sum()
        return shares


def add_expression(state: ExpressionState, answer: Answer) -> ExpressionState:
    """Fold one sample of an expression; samples come in the order of time."""
    elapsed_s = max(0.0, answer.time_s - state.sampled_s)
    kept = 0.5 ** (elapsed_s / FADE_HALF_LIFE_S)
    weighted: F32 = answer.probabilities * np.float32(answer.quality)
    if state.now is None or state.seconds is None:
        now, weight, span_s = weighted, answer.quality, FIRST_SPAN_S
        seconds: F32 = np.zeros_like(answer.probabilities)
        dominant = int(now.argmax())
    else:
        now, weight = state.now * np.float32(kept) + weighted, state.now_weight * kept + answer.quality
        span_s, seconds, dominant = min(elapsed_s, SAMPLE_SPAN_S), state.seconds, state.dominant
        best = int(now.argmax())
        if float(now[best] - now[dominant]) > HYSTERESIS * weight:
            dominant = best
    probability = float(now[dominant]) / weight
    if state.now is not None and dominant == state.dominant:
        probability = min(probability, max(state.probability, probability - PLAY))
    return ExpressionState(
        now=now,
        now_weight=weight,
        seconds=seconds + answer.probabilities * np.float32(span_s),
        dominant=dominant,
        probability=probability,
        sampled_s=answer.time_s,
        samples=state.samples + 1,
    )
