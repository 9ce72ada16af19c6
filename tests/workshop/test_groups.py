"""Paired losses by group: what they say of known changes, and when they are too much."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.datasets.labels import FAIRFACE_BINS
from converters.evaluation.groups import BANDS, Loss, paired_loss, people


def by_group(losses: list[Loss]) -> dict[str, Loss]:
    return {loss.group: loss for loss in losses}


def test_a_loss_is_the_mean_change_of_each_group() -> None:
    losses = by_group(
        paired_loss([1, 2, 3, 4], [2, 2, 3, 1], {"a": [True, True, False, False], "b": [False, False, True, True]})
    )
    assert list(losses) == ["all", "a", "b"]
    assert (losses["all"].value, losses["all"].count) == (-0.5, 4)
    assert losses["a"].value == 0.5
    assert losses["b"].value == -1.5


@pytest.mark.parametrize(
    ("before", "value", "count"),
    [pytest.param([], 0.0, 0, id="nobody"), pytest.param([3.0], 1.0, 1, id="one face has no interval")],
)
def test_few_faces(before: list[float], value: float, count: int) -> None:
    losses = paired_loss(before, [b + 1 for b in before], {"empty": [False] * count})
    assert losses == [Loss(group="all", value=value, count=count, low=None, high=None)]


def test_pairing_takes_away_what_makes_a_face_hard() -> None:
    """Faces differ by years, the change by a hundredth: only a paired interval can see it."""
    rng = np.random.default_rng(5)
    before = rng.exponential(6, 1500)
    loss = paired_loss(before, before + rng.normal(0.05, 0.2, 1500), {})[0]
    assert loss.low is not None
    assert loss.high is not None
    assert loss.low < loss.value < loss.high
    assert loss.high - loss.low == pytest.approx(2 * 1.96 * 0.2 / 1500**0.5, rel=0.15)
    assert loss.low > 0.03


@given(st.lists(st.tuples(st.floats(0, 80), st.floats(0, 80)), min_size=2, max_size=30))
def test_a_loss_turns_with_its_sides_and_vanishes_against_itself(pairs: list[tuple[float, float]]) -> None:
    before, after = (list(side) for side in zip(*pairs, strict=True))
    there, back = paired_loss(before, after, {})[0], paired_loss(after, before, {})[0]
    assert there.value == pytest.approx(-back.value)
    assert paired_loss(before, before, {})[0] == Loss(group="all", value=0, count=len(pairs), low=0, high=0)


def test_two_sets_of_faces_are_refused() -> None:
    with pytest.raises(ValueError, match="the same faces twice"):
        paired_loss([1.0], [1.0, 2.0], {})


@pytest.mark.parametrize(
    ("loss", "exceeds"),
    [
        pytest.param(Loss(group="all", value=0.11, count=50, low=-0.2, high=0.4), True, id="over all by value"),
        pytest.param(Loss(group="all", value=0.1, count=50, low=0.1, high=0.1), False, id="on the limit is within"),
        pytest.param(Loss(group="race X", value=0.3, count=100, low=0.101, high=0.5), True, id="wholly beyond"),
        pytest.param(Loss(group="race X", value=0.3, count=100, low=0.09, high=0.5), False, id="partly beyond"),
        pytest.param(Loss(group="race X", value=0.9, count=99, low=0.8, high=1.0), False, id="small group"),
    ],
)
def test_what_is_too_much(loss: Loss, exceeds: bool) -> None:
    assert loss.exceeds(0.1) is exceeds


def test_people_of_both_face_sets_share_bands_and_words() -> None:
    groups = people(
        [
            {"age": "9", "gender": "M", "race": "White"},
            {"age": "3-9", "gender": "F", "race": "East Asian"},
            {"age": "70+", "gender": "F", "race": "White"},
            {"age": "116", "gender": "M", "race": ""},
            {"emotion": "happy"},
        ]
    )
    assert {name: mask.tolist() for name, mask in groups.items()} == {
        "age 0-9": [True, True, False, False, False],
        "age 70+": [False, False, True, True, False],
        "gender male": [True, False, False, True, False],
        "gender female": [False, True, True, False, False],
        "race East Asian": [False, True, False, False, False],
        "race White": [True, False, True, False, False],
    }


def test_every_age_and_every_bin_is_in_one_band() -> None:
    for low, high in [*FAIRFACE_BINS.values(), *((age, age) for age in range(121))]:
        assert sum(first <= low and high <= last for first, last in BANDS.values()) == 1
