"""Figures, their counts and their intervals."""

from __future__ import annotations

from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.evaluation.statistics import Figure, mean_figure, share_figure


@given(st.lists(st.booleans(), min_size=1, max_size=400))
def test_a_share_lies_within_its_interval(hits: list[bool]) -> None:
    figure = share_figure(hits)
    assert figure.count == len(hits)
    assert figure.low is not None
    assert figure.high is not None
    assert 0 <= figure.low <= figure.value + 1e-12
    assert figure.value <= figure.high + 1e-12 <= 1 + 2e-12
    mirrored = share_figure([not hit for hit in hits])
    assert mirrored.low == pytest.approx(1 - figure.high)
    assert mirrored.high == pytest.approx(1 - figure.low)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.93])
def test_a_shares_interval_covers_the_truth_nineteen_times_in_twenty(share: float) -> None:
    """Wilson's interval, over all counts that 60 faces can give and their probability."""
    n = 60
    covered = 0.0
    for k in range(n + 1):
        figure = share_figure([True] * k + [False] * (n - k))
        assert figure.low is not None
        assert figure.high is not None
        if figure.low <= share <= figure.high:
            covered += comb(n, k) * share**k * (1 - share) ** (n - k)
    assert 0.93 < covered < 0.98


@given(st.lists(st.floats(-80, 80), min_size=2, max_size=50))
def test_a_mean_lies_within_its_values(values: list[float]) -> None:
    figure = mean_figure(values)
    assert figure.low is not None
    assert figure.high is not None
    assert min(values) - 1e-9 <= figure.low <= figure.high <= max(values) + 1e-9
    assert figure.value == pytest.approx(np.mean(values), abs=1e-9)


def test_the_interval_shrinks_with_the_root_of_the_count() -> None:
    rng = np.random.default_rng(11)
    widths = []
    for count in (100, 400, 1600):
        figure = mean_figure(rng.normal(0, 1, count).tolist())
        assert figure.low is not None
        assert figure.high is not None
        widths.append(figure.high - figure.low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.25)
    assert widths[1] / widths[2] == pytest.approx(2, rel=0.25)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], Figure(0.0, 0, None, None), id="nobody"),
        pytest.param([7.5], Figure(7.5, 1, None, None), id="one face has no interval"),
        pytest.param([3.0, 3.0, 3.0], Figure(3.0, 3, 3.0, 3.0), id="no spread"),
    ],
)
def test_few_values(values: list[float], expected: Figure) -> None:
    assert mean_figure(values) == expected


@pytest.mark.parametrize(
    ("square", "root"),
    [
        pytest.param(Figure(9.0, 4, 4.0, 16.0), Figure(3.0, 4, 2.0, 4.0), id="with interval"),
        pytest.param(Figure(9.0, 1, None, None), Figure(3.0, 1, None, None), id="without"),
        pytest.param(Figure(2.0, 5, -1e-17, 3.0), Figure(sqrt(2), 5, 0.0, sqrt(3)), id="a hair below nothing"),
    ],
)
def test_root_of_a_mean_square(square: Figure, root: Figure) -> None:
    assert square.root() == root
