"""Heads: raw outputs become probabilities, probabilities become estimates."""

from __future__ import annotations

import numpy as np
import pytest
from bundles import DEFAULT
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeface.attributes import make_heads
from edgeface.attributes.affect import Affect
from edgeface.attributes.categorical import Categorical
from edgeface.attributes.coral import Coral
from edgeface.attributes.distribution import tempered
from edgeface.attributes.embedding import Embedding, cosine_distance, euclidean_distance, make_embedding
from edgeface.attributes.expectation import Expectation
from edgeface.attributes.regression import Regression
from edgeface.bundle import (
    AffectHead,
    CategoricalHead,
    CoralHead,
    EmbeddingHead,
    ExpectationHead,
    RegressionHead,
    open_bundle,
)
from edgeface.errors import BundleError
from edgeface.questions.fusion import Pool, pool_sample
from edgeface.types import AffectEstimate, AgeEstimate, Answer, LabelEstimate

AGES = Expectation("age", ExpectationHead(support=tuple(float(year) for year in range(0, 81)), output="p"))
LABELS = CategoricalHead(labels=("female", "male"), output="p")
ROWS = hnp.arrays(np.float32, st.tuples(st.integers(0, 4), st.just(81)), elements=st.floats(0, 1, width=32))


def one_year(year: int) -> np.ndarray:
    row = np.zeros((1, 81), np.float32)
    row[0, year] = 1
    return row


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 2.0, 10.0])
@pytest.mark.parametrize("activation", ["none", "softmax"])
def test_a_temperature_divides_the_logits(temperature: float, activation: str) -> None:
    logits = np.array([[2.0, 0.5], [-3.0, 4.0], [0.0, 0.0]])
    powers, plain = np.exp(logits / temperature), np.exp(logits)
    raw = logits if activation == "softmax" else plain / plain.sum(axis=1, keepdims=True)
    head = CategoricalHead(labels=("a", "b"), output="p", activation=activation, temperature=temperature)  # type: ignore[arg-type]
    rows = Categorical("gender", head).probabilities({"p": raw.astype(np.float32)})
    np.testing.assert_allclose(rows, powers / powers.sum(axis=1, keepdims=True), atol=1e-5)


def test_a_temperature_widens_the_interval_of_an_age_and_moves_no_year() -> None:
    support = tuple(map(float, range(81)))
    bell = np.exp(-0.5 * ((np.arange(81) - 40) / 3) ** 2)[None].astype(np.float32)
    lopsided = (np.exp(-np.arange(81) / 5))[None].astype(np.float32)
    warm = Expectation("age", ExpectationHead(support=support, output="p", temperature=4.0))
    for rows in (bell, lopsided):
        plain, wide = (head.estimate(head.probabilities({"p": rows})[0]) for head in (AGES, warm))
        assert wide.years == plain.years
        if rows is bell:  # whose deviation grows with the root
            assert (wide.high - wide.low) / (plain.high - plain.low) == pytest.approx(2, rel=0.02)


def test_even_odds_stay_even_and_nothing_stays_nothing() -> None:
    flat = np.full((1, 81), 1 / 81, np.float32)
    np.testing.assert_allclose(tempered(flat, 0.1), flat, rtol=1e-5)
    assert not tempered(0 * flat, 0.1).any()


def test_a_temperature_of_ranks_widens_the_interval_alone() -> None:
    raw = (1 / (1 + np.exp(np.arange(-20, 21) / 2)))[None].astype(np.float32)
    plain, warm = (
        head.estimate(head.probabilities({"p": raw})[0])
        for head in (Coral("age", CoralHead(output="p", lowest=20, ranks=41, temperature=t)) for t in (1.0, 2.0))
    )
    assert warm.years == plain.years
    assert warm.high - warm.low > 1.3 * (plain.high - plain.low)


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
    assert estimate.label == "male"
    assert estimate.probability == pytest.approx(0.7)
    assert list(estimate.probabilities) == ["female", "male"]
    assert estimate.probabilities["female"] == pytest.approx(0.3)


RANKS = hnp.arrays(np.float32, st.tuples(st.integers(0, 4), st.just(26)), elements=st.floats(0, 1, width=32))
CORAL = Coral("age", CoralHead(output="p", lowest=15, ranks=26))


@given(RANKS)
def test_ranks_are_a_distribution_whose_age_is_the_published_one(raw: np.ndarray) -> None:
    rows = CORAL.probabilities({"p": raw})
    assert rows.shape == (len(raw), 27)
    assert rows.dtype == np.float32
    assert (rows >= 0).all()
    assert (rows.sum(axis=1, dtype=np.float64) == 1).all()
    for row, ranks in zip(rows, raw, strict=True):
        estimate = CORAL.estimate(row)
        assert estimate.years == 15 + np.count_nonzero(ranks > 0.5)
        assert 15 <= estimate.low <= estimate.years <= estimate.high <= 41
        # As many are above each rank as the network said, in falling order and to the last of float32's steps.
        above = 1 - np.cumsum(row, dtype=np.float64)[:-1]
        np.testing.assert_allclose(above, np.sort(ranks)[::-1], atol=2**-24)


@pytest.mark.parametrize(
    ("ranks", "years"),
    [
        pytest.param([0.0, 0.0, 0.0], 40, id="youngest"),
        pytest.param([1.0, 1.0, 1.0], 43, id="oldest"),
        pytest.param([0.9, 0.5, 0.1], 41, id="one half is not above one half"),
        pytest.param([0.9, np.nextafter(np.float32(0.5), np.float32(1)), 0.1], 42, id="a hair more is"),
        pytest.param([0.9, 0.2, 0.6], 42, id="ranks that cross are all counted"),
        pytest.param([1.1, 0.6, -0.2], 42, id="quantized beyond 0 and 1"),
    ],
)
def test_age_by_ranks(ranks: list[float], years: int) -> None:
    head = Coral("age", CoralHead(output="p", lowest=40, ranks=3))
    assert head.estimate(head.probabilities({"p": np.array([ranks], np.float32)})[0]).years == years


def test_looks_by_ranks_fuse_to_the_median_of_their_pool() -> None:
    pool = Pool()
    for certain in ([1, 0.9, 0.1, 0], [0.9, 0.1, 0, 0], [1, 1, 0.9, 0.1]):
        head = Coral("age", CoralHead(output="p", lowest=30, ranks=4))
        row = head.probabilities({"p": np.array([certain], np.float32)})[0]
        pool = pool_sample(pool, Answer(task="age", probabilities=row, quality=0.5, time_s=0.0), value=0.0)
    assert head.estimate(pool.probabilities).years == 32


@settings(max_examples=50)
@given(st.lists(st.floats(-20, 130, width=32), max_size=5), st.sampled_from([1.0, 4.5, 8.0, 15.0]))
def test_years_said_outright_are_the_mean_of_a_bell(said: list[float], error_years: float) -> None:
    head = Regression("age", RegressionHead(output="years", error_years=error_years))
    rows = head.probabilities({"years": np.array(said, np.float32)[:, None]})
    assert rows.shape == (len(said), 101)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    for years, row in zip(said, rows, strict=True):
        estimate = head.estimate(row)
        assert estimate.years == pytest.approx(np.clip(years, 0, 100), abs=0.4)
        assert 0 <= estimate.low <= estimate.high <= 100
        if 4 * error_years < years < 100 - 4 * error_years:
            assert estimate.years == pytest.approx(years, abs=0.02)
            spread = np.sqrt(row @ (np.arange(101) - estimate.years) ** 2)
            assert spread == pytest.approx(error_years, rel=0.02)
            if error_years > 4:  # a year's class is wide beside a narrower bell
                assert estimate.high - estimate.low == pytest.approx(2 * 1.2816 * error_years, rel=0.04)


def test_years_may_be_said_in_hundreds() -> None:
    head = Regression("age", RegressionHead(output="years", error_years=7.0, unit_years=100.0))
    rows = head.probabilities({"years": np.array([[0.25], [0.6]], np.float32)})
    assert [head.estimate(row).years for row in rows] == pytest.approx([25.0, 60.0], abs=0.02)


def test_a_child_is_not_made_older_by_the_end_of_the_scale() -> None:
    head = Regression("age", RegressionHead(output="years", error_years=7.0))
    rows = head.probabilities({"years": np.array([[1.0], [3.0], [97.5]], np.float32)})
    assert [head.estimate(row).years for row in rows] == pytest.approx([1.0, 3.0, 97.5], abs=0.02)


@given(hnp.arrays(np.float32, st.tuples(st.integers(0, 4), st.just(2)), elements=st.floats(-2, 2, width=32)))
def test_affect_stays_within_its_axes(raw: np.ndarray) -> None:
    head = Affect("affect", AffectHead(output="va"))
    rows = head.probabilities({"va": raw})
    np.testing.assert_array_equal(rows, np.clip(raw, -1, 1))
    for row in rows:
        assert head.estimate(row) == AffectEstimate(valence=float(row[0]), arousal=float(row[1]))


def embedding(distance: str, threshold: float) -> Embedding:
    return Embedding(EmbeddingHead(output="v", length=3, distance=distance, threshold=threshold))  # type: ignore[arg-type]


VECTORS = hnp.arrays(np.float32, (2, 3), elements=st.floats(-9, 9, width=16)).filter(
    lambda rows: bool((np.linalg.norm(rows, axis=1) > 0.01).all())
)


@given(VECTORS, st.floats(0.5, 3))
def test_distances_of_vectors_of_length_one(raw: np.ndarray, times: float) -> None:
    head = embedding("cosine", 0.4)
    a, b = head.vectors({"v": raw})
    np.testing.assert_allclose([np.linalg.norm(a), np.linalg.norm(b)], 1, atol=1e-5)
    np.testing.assert_allclose(head.vectors({"v": raw * np.float32(times)}), [a, b], atol=1e-5)
    assert 0 <= cosine_distance(a, b) == cosine_distance(b, a) <= 2
    assert euclidean_distance(a, b) == euclidean_distance(b, a) <= 2 + 1e-5
    assert cosine_distance(a, a) == pytest.approx(0, abs=1e-5)
    assert euclidean_distance(a, a) == 0
    # Both say the same of vectors of length one: |a - b|^2 = 2 (1 - cos).
    assert euclidean_distance(a, b) ** 2 == pytest.approx(2 * cosine_distance(a, b), abs=1e-4)


@pytest.mark.parametrize(
    ("distance", "threshold", "same"),
    [("cosine", 0.41, True), ("cosine", 0.39, False), ("euclidean", 0.9, True), ("euclidean", 0.89, False)],
)
def test_one_person_or_two(distance: str, threshold: float, same: bool) -> None:
    head = embedding(distance, threshold)
    a, b = head.vectors({"v": np.array([[5, 0, 0], [0.6, 0.8, 0]], np.float32)})  # a cosine of 0.6
    assert head.same_person(a, b) is same
    assert head.same_person(a, a)


def test_a_head_that_does_not_fit_its_network() -> None:
    rows = np.full((1, 3), 1 / 3, np.float32)
    for head, said in (
        (CORAL, r"for age gives \(3,\) values for 26 ranks"),
        (Regression("age", RegressionHead(output="p", error_years=5.0)), r"gives \(3,\) values instead of years"),
        (Affect("affect", AffectHead(output="p")), r"gives \(3,\) values instead of valence and arousal"),
    ):
        with pytest.raises(BundleError, match=said):
            head.probabilities({"p": rows})
    with pytest.raises(BundleError, match=r"an embedding has \(2,\) values instead of 3"):
        embedding("cosine", 0.4).vectors({"v": rows[:, :2]})
    with pytest.raises(BundleError, match=r"for gender gives \(3,\) values for 2 labels"):
        Categorical("gender", LABELS).probabilities({"p": rows})
    with pytest.raises(BundleError, match=r"for age gives \(3,\) values for 81 ages"):
        AGES.probabilities({"p": rows})


def test_heads_of_the_bundle() -> None:
    opened = open_bundle(DEFAULT)
    for network in opened.manifest.networks:
        if network.task == "detect":
            with pytest.raises(BundleError, match="answers no question about a face"):
                make_heads(network)
            with pytest.raises(BundleError, match="gives no embedding"):
                make_embedding(network)
            continue
        heads = make_heads(network)
        assert list(heads) == list(network.answers)
        for task, head in heads.items():
            spec = network.answers[task]
            assert head.task == task
            assert isinstance(spec, ExpectationHead | CategoricalHead)
            size = len(spec.support if isinstance(spec, ExpectationHead) else spec.labels)
            estimate = head.estimate(head.probabilities({spec.output: np.ones((1, size), np.float32)})[0])
            assert isinstance(estimate, AgeEstimate if task == "age" else LabelEstimate)


def test_heads_read_their_own_columns_of_one_output() -> None:
    outputs = {"fc1": np.array([[0.75, 0.25, 0.31]], np.float32)}
    gender = Categorical("gender", CategoricalHead(labels=("male", "female"), output="fc1", columns=(1, 0)))
    years = Regression("age", RegressionHead(output="fc1", columns=(2,), unit_years=100, error_years=5))
    assert gender.estimate(gender.probabilities(outputs)[0]).probabilities == {"male": 0.25, "female": 0.75}
    assert years.estimate(years.probabilities(outputs)[0]).years == pytest.approx(31, abs=0.01)
    beyond = Categorical("gender", CategoricalHead(labels=("male", "female"), output="fc1", columns=(1, 3)))
    with pytest.raises(BundleError, match=r"output fc1 gives \(3,\) values and has no columns \[1, 3\]"):
        beyond.probabilities(outputs)
