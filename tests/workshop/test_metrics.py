"""Measures of our own against their formulas, known answers and, where it has them, scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.datasets.expressions import VOTES, majority, spelling, voted
from converters.evaluation import metrics

LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("errors", "years", "expected"),
    [
        pytest.param([0, -1, 3, 5.5], [0, 1, 5, 6], [0.25, 0.5, 0.75, 1], id="either sign, the bound is in"),
        pytest.param([], [1, 2], [0, 0], id="nobody"),
    ],
)
def test_cumulative_score(errors: list[float], years: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(metrics.cumulative_score(np.array(errors, float), years), expected)


@given(st.lists(st.floats(-90, 90), min_size=1, max_size=30))
def test_cumulative_score_rises_to_one(errors: list[float]) -> None:
    curve = metrics.cumulative_score(np.array(errors), range(0, 91))
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] == 1


@pytest.mark.parametrize(
    ("truth", "said", "expected"),
    [
        pytest.param([0.5, -0.5, 0.1], [0.5, -0.5, 0.1], 1.0, id="equal"),
        pytest.param([0.5, -0.5], [-0.5, 0.5], -1.0, id="turned round"),
        # Means 0 and 0.1, variances both 0.25, covariance 0.25: 0.5 / (0.5 + 0.01).
        pytest.param([0.5, -0.5], [0.6, -0.4], 0.5 / 0.51, id="shifted"),
        # Covariance 0.05, variances 0.25 and 0.01: 0.1 / 0.26.
        pytest.param([0.5, -0.5], [0.1, -0.1], 0.1 / 0.26, id="timid"),
        pytest.param([0.5, -0.5], [0.2, 0.2], 0.0, id="always the same answer"),
        pytest.param([0.3, 0.3], [0.3, 0.3], 1.0, id="constant and right"),
    ],
)
def test_concordance(truth: list[float], said: list[float], expected: float) -> None:
    assert metrics.concordance(np.array(truth), np.array(said)) == pytest.approx(expected)


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=3, max_size=30))
def test_concordance_is_never_above_correlation(pairs: list[tuple[float, float]]) -> None:
    """2 rho s_x s_y / (s_x^2 + s_y^2 + (m_x - m_y)^2), with rho by numpy."""
    truth, said = np.array(pairs).T
    if truth.std() < 1e-3 or said.std() < 1e-3:
        return
    rho = float(np.corrcoef(truth, said)[0, 1])
    shift = float(truth.mean() - said.mean())
    expected = 2 * rho * truth.std() * said.std() / (truth.var() + said.var() + shift**2)
    assert metrics.concordance(truth, said) == pytest.approx(expected, abs=1e-9)
    assert abs(metrics.concordance(truth, said)) <= abs(rho) + 1e-9


def test_sign_agreement_takes_nought_for_a_sign() -> None:
    assert metrics.sign_agreement(np.array([0.1, -0.2, 0.0, 0.3]), np.array([0.9, -0.1, 0.0, -0.3])) == 0.75
    assert metrics.sign_agreement(np.array([0.0, 0.1]), np.array([0.1, 0.0])) == 0


def test_rmse() -> None:
    assert metrics.rmse(np.array([1.0, 2.0]), np.array([4.0, 6.0])) == pytest.approx(np.sqrt(12.5))


def test_normalised_rmse_gives_each_cell_one_vote() -> None:
    """Ninety faces in one corner with no error, one alone with a large one: the crowd hides it, the grid does not."""
    truth = np.array([[0.9, 0.9]] * 90 + [[-0.9, -0.9]])
    said = truth + np.array([[0, 0]] * 90 + [[0.4, 0.2]])
    assert metrics.normalised_rmse(truth, said) == pytest.approx((0.2, 0.1))
    assert metrics.rmse(truth[:, 0], said[:, 0]) < 0.05


def test_a_cell_is_a_71st_of_the_axis_and_takes_the_root_within() -> None:
    """Errors 0.3 and 0.5 in one cell count as their root mean square, in two as their mean."""
    said = np.array([[0.3, 0.0], [0.5, 0.0]])
    together, apart = np.zeros((2, 2)), np.array([[0.0, 0.0], [2 / 71, 0.0]])
    assert metrics.normalised_rmse(together, said)[0] == pytest.approx(np.sqrt((0.09 + 0.25) / 2))
    assert metrics.normalised_rmse(apart, said + apart)[0] == pytest.approx(0.4)
    # The ends of both axes belong to the last cells.
    assert metrics.normalised_rmse(np.array([[1.0, -1.0]]), np.array([[0.0, 0.0]])) == (1.0, 1.0)


@given(LABELS)
def test_confusion_and_f1_as_scikit_learn_counts_them(pairs: list[tuple[int, int]]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    truth, said = np.array(pairs).T
    counts = metrics.confusion(truth, said, 4)
    np.testing.assert_array_equal(counts, sklearn.confusion_matrix(truth, said, labels=range(4)))
    assert metrics.accuracy_of(counts) == pytest.approx(sklearn.accuracy_score(truth, said))
    assert metrics.macro_f1_of(counts) == pytest.approx(sklearn.f1_score(truth, said, average="macro"))


def test_balanced_figures_do_not_follow_the_crowd() -> None:
    """Always "happy" is right on nine faces of ten, and on one class of three."""
    truth = np.array([0] * 90 + [1] * 6 + [2] * 4)
    accuracy, f1, each = metrics.balanced(truth, np.zeros(100, np.int64), 3)
    assert each == 4
    assert accuracy.count == 12
    assert accuracy.value == pytest.approx(1 / 3)
    assert f1.value == pytest.approx((2 * 4 / (4 + 12)) / 3)


def test_balanced_figures_come_near_to_classes_weighed_equally() -> None:
    rng = np.random.default_rng(4)
    truth = rng.choice(3, 3000, p=[0.7, 0.2, 0.1])
    said = np.where(rng.random(3000) < np.array([0.9, 0.6, 0.3])[truth], truth, (truth + 1) % 3)
    accuracy, _, each = metrics.balanced(truth, said, 3)
    sensitivity = [float((said[truth == k] == k).mean()) for k in range(3)]
    assert each == min(500, int(np.bincount(truth).min()))
    assert accuracy.value == pytest.approx(np.mean(sensitivity), abs=0.01)
    assert accuracy.low is not None
    assert accuracy.high is not None
    assert accuracy.low < accuracy.value < accuracy.high
    assert metrics.balanced(truth, said, 3)[0] == accuracy


def test_no_more_than_five_hundred_of_a_class_are_drawn() -> None:
    truth = np.repeat([0, 1], 700)
    assert metrics.balanced(truth, truth, 2)[2] == 500


def test_a_class_without_faces_takes_no_part() -> None:
    accuracy, f1, each = metrics.balanced(np.array([0, 0, 2, 2]), np.array([0, 2, 2, 2]), 4)
    assert (each, accuracy.count) == (2, 4)
    assert accuracy.value == 0.75
    assert f1.value == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert metrics.balanced(np.zeros(0, np.int64), np.zeros(0, np.int64), 4)[2] == 0


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        pytest.param({"neutral": 6, "sadness": 4}, "neutral", id="more than half"),
        pytest.param({"neutral": 5, "sadness": 5}, "unknown", id="half is not more than half"),
        pytest.param({"anger": 5, "sadness": 1, "fear": 1, "neutral": 3}, "angry", id="single votes are dropped"),
        pytest.param({"contempt": 8, "neutral": 2}, "contempt", id="contempt"),
        pytest.param({"NF": 9, "neutral": 1}, "not a face", id="not a face"),
        pytest.param({"unknown": 9}, "unknown", id="unknown"),
        pytest.param({"neutral": 1, "fear": 1, "anger": 1}, "unknown", id="nothing but single votes"),
        pytest.param({}, "unknown", id="no votes at all"),
    ],
)
def test_the_majority_of_ten_votes(votes: dict[str, int], expected: str) -> None:
    assert majority([votes.get(name, 0) for name in VOTES]) == expected


def test_a_row_without_votes_has_no_majority() -> None:
    assert voted({"emotion": "happy"}) is None
    assert voted(dict.fromkeys(VOTES, "")) is None
    assert voted({**dict.fromkeys(VOTES, "0"), "happiness": "10"}) == "happy"


def test_one_spelling_for_an_expression() -> None:
    assert [spelling(word) for word in ("Anger", "happiness", "surprised", "bored")] == [
        "angry",
        "happy",
        "surprise",
        "bored",
    ]
