"""Which rows an epoch sees."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.datasets.expressions import VOTES
from converters.train.balance import Taggers, epoch_order, group_of, is_kept, joined, row_weights
from edgeface.errors import UsageError


def ages(*values: str) -> list[dict[str, str]]:
    return [{"age": value} for value in values]


def test_equal_weights_show_every_row_once() -> None:
    drawn = epoch_order(np.ones(1000), 1000, np.random.default_rng(0))
    assert sorted(drawn) == list(range(1000))
    assert list(drawn[:20]) != list(range(20))


def test_order_is_the_dice_s_alone() -> None:
    weights = np.random.default_rng(1).uniform(0, 3, 200)
    first, again, other = (epoch_order(weights, 300, np.random.default_rng(seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@given(
    weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=60),
    count=st.integers(0, 300),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_row_is_drawn_as_often_as_its_weight_says_to_the_row(weights: list[float], count: int, seed: int) -> None:
    array = np.array(weights)
    drawn = epoch_order(array, count, np.random.default_rng(seed))
    assert (drawn.dtype, drawn.shape) == (np.dtype(np.int64), (count,))
    times = np.bincount(drawn, minlength=len(array))
    expected = array / array.sum() * count
    assert (np.abs(times - expected) < 1 + 1e-6).all()


def test_rows_of_no_weight_are_never_drawn() -> None:
    weights = np.array([0.0, 1.0, 0.0, 3.0, 0.0])
    drawn = epoch_order(weights, 400, np.random.default_rng(0))
    assert Counter(drawn.tolist()) == {1: 100, 3: 300}
    with pytest.raises(UsageError, match="no row has a weight"):
        epoch_order(np.zeros(3), 5, np.random.default_rng(0))


def test_groups_become_equally_frequent_or_half_so() -> None:
    rows = ages(*["20-29"] * 90, *["70+"] * 10)
    weights = row_weights(rows, ["bin"])
    assert weights.mean() == pytest.approx(1)
    assert weights[:90].sum() == pytest.approx(weights[90:].sum())
    # A square root between: 9 to 1 becomes 3 to 1.
    softer = row_weights(rows, ["bin"], power=0.5)
    assert softer[:90].sum() / softer[90:].sum() == pytest.approx(3)
    np.testing.assert_allclose(row_weights(rows, ["bin"], power=0), np.ones(100))
    np.testing.assert_allclose(row_weights(rows, []), np.ones(100))


def test_several_labels_make_a_group_of_each_combination() -> None:
    rows = (
        [{"emotion": "Anger", "gender": "F"}] * 6
        + [{"emotion": "angry", "gender": "M"}] * 2
        + [{"emotion": "sad", "gender": "M"}] * 4
    )
    weights = row_weights(rows, ["class", "gender"])
    assert [weights[a:b].sum() for a, b in ((0, 6), (6, 8), (8, 12))] == pytest.approx([4, 4, 4])


@pytest.mark.parametrize(
    ("age", "by", "group"),
    [
        ("7", "decade", "0"),
        ("79", "decade", "7"),
        ("101", "decade", "8"),
        ("20-29", "decade", "2"),
        ("0-2", "decade", "0"),
        ("7", "bin", "3-9"),
        ("2", "bin", "0-2"),
        ("99", "bin", "70+"),
        ("70+", "bin", "70+"),
    ],
)
def test_ages_are_counted_by_decade_or_bin(age: str, by: str, group: str) -> None:
    assert group_of({"age": age}, by) == group  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "by", "says"),
    [
        ({}, "bin", "a row without age cannot be balanced by bin"),
        ({"age": "old"}, "decade", "age 'old' is neither years nor a bin"),
        ({"age": "3"}, "height", "rows cannot be balanced by 'height'; choose among bin"),
    ],
)
def test_what_cannot_be_balanced_is_one_line(row: dict[str, str], by: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        group_of(row, by)  # type: ignore[arg-type]


def test_sets_have_the_shares_that_they_were_given() -> None:
    one, other = np.array([1.0, 3.0]), np.ones(8)
    weights = joined([one, other], [1, 3])
    assert weights.mean() == pytest.approx(1)
    assert weights[:2].sum() / weights.sum() == pytest.approx(0.25)
    assert weights[1] == pytest.approx(3 * weights[0])
    with pytest.raises(UsageError, match="no share of an epoch"):
        joined([one], [0])


@pytest.mark.parametrize(
    ("votes", "clear", "same"),
    [
        pytest.param({"sadness": 8, "neutral": 2}, True, True, id="as labelled"),
        pytest.param({"neutral": 8, "sadness": 2}, True, False, id="another expression"),
        pytest.param({"neutral": 4, "sadness": 3, "fear": 3}, False, False, id="no majority"),
        pytest.param({"NF": 10}, False, False, id="not a face"),
        pytest.param(None, True, True, id="no votes"),
    ],
)
def test_taggers_leave_faces_out(votes: dict[str, int] | None, clear: bool, same: bool) -> None:
    cells = {} if votes is None else {name: str(votes.get(name, 0)) for name in VOTES}
    row = {"emotion": "sad", **cells}
    wanted: dict[Taggers, bool] = {"any": True, "clear": clear, "same": same}
    assert {taggers: is_kept(row, taggers) for taggers in wanted} == wanted
