"""Heads: raw outputs become probabilities, probabilities become estimates."""

from __future__ import annotations

import numpy as np
import pytest
from bundles import DEFAULT
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeface.attributes import make_head
from edgeface.attributes.categorical import Categorical
from edgeface.attributes.expectation import Expectation
from edgeface.bundle import CategoricalHead, ExpectationHead, open_bundle
from edgeface.errors import BundleError
from edgeface.types import AgeEstimate, LabelEstimate

AGES = Expectation("age", ExpectationHead(support=tuple(float(year) for year in range(0, 81)), output="p"))
LABELS = CategoricalHead(labels=("female", "male"), output="p")
ROWS = hnp.arrays(np.float32, st.tuples(st.integers(0, 4), st.just(81)), elements=st.floats(0, 1, width=32))


def one_year(year: int) -> np.ndarray:
    row = np.zeros((1, 81), np.float32)
    row[0, year] = 1
    return row


@settings(max_examples=50)
@given(ROWS.filter(lambda rows: bool((rows.sum(axis=1) > 0.01).all())))
def test_rows_sum_to_one_and_ages_lie_between_their_bounds(rows: np.ndarray) -> None:
    probabilities = AGES.probabilities({"p": rows})
    assert probabilities.shape == rows.shape
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    for row in probabilities:
        estimate = AGES.estimate(row)
        assert 0 <= estimate.low <= estimate.high <= 80
        assert 0 <= estimate.years <= 80.001
        assert estimate.years == pytest.approx(sum(year * float(p) for year, p in enumerate(row)), abs=1e-2)


@pytest.mark.parametrize("year", [0, 1, 30, 80])
def test_a_certain_age(year: int) -> None:
    estimate = AGES.estimate(AGES.probabilities({"p": one_year(year)})[0])
    assert estimate.years == pytest.approx(year)
    assert estimate.low == pytest.approx(year, abs=1)
    assert estimate.high == pytest.approx(year, abs=1)


def test_percentiles_of_a_flat_distribution() -> None:
    row = np.full(81, 1 / 81, np.float32)
    estimate = AGES.estimate(row)
    assert estimate.years == pytest.approx(40, abs=0.01)
    assert estimate.low == pytest.approx(0.1 * 81 - 0.5, abs=0.01)
    assert estimate.high == pytest.approx(0.9 * 81 - 0.5, abs=0.01)


def test_a_wider_distribution_has_wider_bounds() -> None:
    years = np.arange(81)
    bounds = []
    for spread in (2.0, 5.0, 12.0):
        row = np.exp(-((years - 40) ** 2) / (2 * spread**2)).astype(np.float32)
        estimate = AGES.estimate(AGES.probabilities({"p": row[None]})[0])
        bounds.append(estimate.high - estimate.low)
    assert bounds == sorted(bounds)
    assert bounds[1] == pytest.approx(2 * 1.2816 * 5, rel=0.03)


@pytest.mark.parametrize(
    ("raw", "activation", "expected"),
    [
        pytest.param([[0.2, 0.8]], "none", [[0.2, 0.8]], id="probabilities as they are"),
        pytest.param([[0.2, 0.2]], "none", [[0.5, 0.5]], id="a quantized sum is brought back to one"),
        pytest.param([[-0.004, 0.9]], "none", [[0, 1]], id="a quantized zero below zero"),
        pytest.param([[0.0, np.log(3)]], "softmax", [[0.25, 0.75]], id="softmax"),
        pytest.param([[1000.0, 1000.0]], "softmax", [[0.5, 0.5]], id="softmax of large numbers"),
        pytest.param(np.zeros((0, 2)), "none", np.zeros((0, 2)), id="nobody"),
        pytest.param(np.zeros((0, 2)), "softmax", np.zeros((0, 2)), id="nobody, softmax"),
    ],
)
def test_categorical_probabilities(raw: object, activation: str, expected: object) -> None:
    head = Categorical("gender", CategoricalHead(labels=LABELS.labels, output="p", activation=activation))  # type: ignore[arg-type]
    got = head.probabilities({"p": np.array(raw, np.float32)})
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, np.array(expected), atol=1e-6)


def test_the_likeliest_label_and_all_of_them_in_the_networks_order() -> None:
    estimate = Categorical("gender", LABELS).estimate(np.array([0.3, 0.7], np.float32))
    assert (estimate.label, estimate.probability) == ("male", pytest.approx(0.7))
    assert list(estimate.probabilities) == ["female", "male"]
    assert estimate.probabilities["female"] == pytest.approx(0.3)


def test_a_head_that_does_not_fit_its_network() -> None:
    rows = np.full((1, 3), 1 / 3, np.float32)
    with pytest.raises(BundleError, match=r"for gender gives \(3,\) values for 2 labels"):
        Categorical("gender", LABELS).probabilities({"p": rows})
    with pytest.raises(BundleError, match=r"for age gives \(3,\) values for 81 ages"):
        AGES.probabilities({"p": rows})


def test_heads_of_the_bundle() -> None:
    opened = open_bundle(DEFAULT)
    for network in opened.manifest.networks:
        if network.task == "detect":
            with pytest.raises(BundleError, match="is a detector"):
                make_head(network)
            continue
        head = make_head(network)
        assert head.task == network.task
        spec = network.attribute_head()
        size = len(spec.support) if isinstance(spec, ExpectationHead) else len(spec.labels)
        estimate = head.estimate(head.probabilities({spec.output: np.ones((1, size), np.float32)})[0])
        assert isinstance(estimate, AgeEstimate if network.task == "age" else LabelEstimate)
