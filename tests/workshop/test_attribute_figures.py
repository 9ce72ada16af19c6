"""Figures of age, gender and expression from looks whose answers are known."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import pytest

from converters.datasets.labels import FAIRFACE_BINS
from converters.evaluation.attributes import DECADES, UTK_BANDS, Sample, age_figures, expression_figures, gender_figures
from converters.evaluation.statistics import Figure
from converters.evaluation.subject import padded

Figures = dict[tuple[str, str], Figure]


def sample(age: str, gender: str, race: str, *, years: float | None = None, said: str | None = None) -> Sample:
    return Sample({"age": age, "gender": gender, "race": race}, years, said)


def by_name(figures: Iterable[tuple[str, str, Figure]]) -> Figures:
    listed = list(figures)
    found = {(metric, group): figure for metric, group, figure in listed}
    assert len(found) == len(listed), "a figure is told twice"
    return found


EXACT = (
    sample("5", "M", "White", years=7.0),
    sample("25", "F", "Black", years=22.0),
    sample("60", "F", "White", years=50.0),
    sample("116", "M", "Asian", years=80.0),
    sample("30", "M", "Indian"),
)
"""Errors +2, -3, -10, -36; the last face was not found."""


@pytest.mark.parametrize(
    ("metric", "group", "value", "count"),
    [
        pytest.param("found", "all", 4 / 5, 5, id="a miss is counted"),
        pytest.param("MAE years", "all", 51 / 4, 4, id="mean absolute error"),
        pytest.param("bias years", "all", -47 / 4, 4, id="bias keeps its sign"),
        pytest.param("RMSE years", "all", ((4 + 9 + 100 + 1296) / 4) ** 0.5, 4, id="root mean square"),
        pytest.param("MAE years", "21-60", 13 / 2, 2, id="both ends of 21 to 60 are in"),
        pytest.param("RMSE years", "21-60", ((9 + 100) / 2) ** 0.5, 2, id="root mean square, 21 to 60"),
        pytest.param("MAE years", "age 0-9", 2, 1, id="children"),
        pytest.param("MAE years", "age 51-60", 10, 1, id="sixty is of the fifties"),
        pytest.param("MAE years", "age 71+", 36, 1, id="the oldest"),
        pytest.param("MAE years", "gender male", 19, 2, id="men"),
        pytest.param("bias years", "gender female", -6.5, 2, id="women"),
        pytest.param("MAE years", "race White", 6, 2, id="a race"),
    ],
)
def test_age_in_years(metric: str, group: str, value: float, count: int) -> None:
    figure = by_name(age_figures(EXACT, exact=True))[metric, group]
    assert figure.value == pytest.approx(value)
    assert figure.count == count


def test_a_group_in_which_nobody_was_found_has_no_figure() -> None:
    figures = by_name(age_figures(EXACT, exact=True))
    assert ("MAE years", "race Indian") not in figures
    assert ("MAE years", "age 31-40") not in figures


@pytest.mark.parametrize(
    ("bin_name", "years", "outside"),
    [
        pytest.param("20-29", 20.0, 0.0, id="lower end"),
        pytest.param("20-29", 29.9, 0.0, id="whole years: 29.9 is 29"),
        pytest.param("20-29", 19.5, 0.5, id="half a year too young"),
        pytest.param("20-29", 33.0, 3.0, id="three years too old"),
        pytest.param("0-2", 0.0, 0.0, id="newborn"),
        pytest.param("70+", 99.0, 0.0, id="open end"),
        pytest.param("70+", 64.0, 6.0, id="too young for 70+"),
    ],
)
def test_years_outside_fairfaces_bins(bin_name: str, years: float, outside: float) -> None:
    figures = by_name(age_figures([sample(bin_name, "F", "Indian", years=years)], exact=False))
    assert figures["years outside bin", "all"].value == pytest.approx(outside)
    assert figures["bin accuracy", "all"].value == (outside == 0)
    assert figures["bin accuracy", "race Indian"].count == 1


@pytest.mark.parametrize(("years", "name"), [(30.0, "30-39"), (29.99, "20-29"), (3.0, "3-9"), (70.0, "70+")])
def test_an_age_is_right_in_one_bin_only(years: float, name: str) -> None:
    # Ranks give whole years: were an end shared, each 30 would be right twice.
    right = [
        one
        for one in FAIRFACE_BINS
        if by_name(age_figures([sample(one, "F", "Indian", years=years)], exact=False))["bin accuracy", "all"].value
    ]
    assert right == [name]


def test_fairface_by_race_and_with_a_miss() -> None:
    samples = [
        sample("20-29", "M", "White", years=25.0),
        sample("20-29", "M", "White", years=35.0),
        sample("3-9", "F", "Black", years=5.0),
        sample("3-9", "F", "Black"),
    ]
    figures = by_name(age_figures(samples, exact=False))
    assert figures["found", "all"].value == 0.75
    assert figures["found", "race Black"].value == 0.5
    assert figures["years outside bin", "age 20-29"].value == 2.5
    assert figures["bin accuracy", "all"].value == pytest.approx(2 / 3)
    assert figures["bin accuracy", "race White"].value == 0.5
    assert figures["bin accuracy", "race Black"].count == 1
    assert figures["years outside bin", "all"].value == pytest.approx(5 / 3)


SAID = (
    sample("5", "M", "White", said="female"),
    sample("9", "F", "White", said="female"),
    sample("10", "F", "Black", said="male"),
    sample("40", "M", "Black", said="male"),
    sample("61", "F", "Asian", said="female"),
    sample("20", "M", "Asian"),
)


@pytest.mark.parametrize(
    ("metric", "group", "value", "count"),
    [
        pytest.param("found", "all", 5 / 6, 6, id="a miss is counted"),
        pytest.param("accuracy", "all", 3 / 5, 5, id="all"),
        pytest.param("accuracy", "from 10 years", 2 / 3, 3, id="ten is from ten"),
        pytest.param("accuracy", "age 0-9", 1 / 2, 2, id="nine is not"),
        pytest.param("accuracy", "age 10-20", 0, 1, id="who was not found is in no group"),
        pytest.param("accuracy", "age 61-120", 1, 1, id="the oldest band"),
        pytest.param("accuracy", "gender male", 1 / 2, 2, id="men"),
        pytest.param("accuracy", "gender female", 2 / 3, 3, id="women"),
        pytest.param("accuracy", "race Black", 1 / 2, 2, id="a race"),
    ],
)
def test_gender_with_ages_in_years(metric: str, group: str, value: float, count: int) -> None:
    figure = by_name(gender_figures(SAID, exact=True))[metric, group]
    assert figure.value == pytest.approx(value)
    assert figure.count == count


def test_gender_with_fairfaces_bins() -> None:
    samples = [
        sample("3-9", "M", "White", said="female"),
        sample("10-19", "M", "White", said="male"),
        sample("70+", "F", "White", said="female"),
    ]
    figures = by_name(gender_figures(samples, exact=False))
    assert figures["accuracy", "from 10 years"].value == 1.0
    assert figures["accuracy", "from 10 years"].count == 2
    assert figures["accuracy", "age 3-9"].value == 0.0
    assert figures["accuracy", "age 70+"].value == 1.0


@pytest.mark.parametrize("exact", [True, False])
def test_nobody_found_gives_the_share_alone(exact: bool) -> None:
    samples = [sample("25" if exact else "20-29", "M", "White")]
    for figures in (age_figures, gender_figures):
        assert by_name(figures(samples, exact=exact)) == {
            ("found", "all"): by_name(figures(samples, exact=exact))["found", "all"]
        }
        assert by_name(figures(samples, exact=exact))["found", "all"].value == 0.0
        assert by_name(figures([], exact=exact))["found", "all"].count == 0


@pytest.mark.parametrize(
    "bands",
    [
        pytest.param(FAIRFACE_BINS, id="FairFace"),
        pytest.param(UTK_BANDS, id="bands"),
        pytest.param(DECADES, id="decades"),
    ],
)
def test_every_age_is_in_one_band(bands: dict[str, tuple[int, int]]) -> None:
    for age in range(121):
        assert sum(low <= age <= high for low, high in bands.values()) == 1, age


def test_expression() -> None:
    """As scikit-learn counts it: F1 of angry 1/2, of happy 4/5, of sad 0, their plain mean."""
    truth = np.array([0, 0, 1, 1, 2])
    said = np.array([0, 1, 1, 1, 0])
    figures = by_name(expression_figures(truth, said, ("angry", "happy", "sad")))
    assert figures["accuracy", "all"].value == 0.6
    assert figures["macro-F1", "all"].value == pytest.approx((0.5 + 0.8 + 0) / 3)
    assert figures["macro-F1", "all"].count == 5
    assert figures["sensitivity", "angry"].value == 0.5
    assert figures["sensitivity", "happy"].value == 1.0
    assert figures["sensitivity", "sad"].value == 0.0
    assert figures["sensitivity", "happy"].count == 2


def test_expression_of_nobody() -> None:
    nobody = np.zeros(0, np.int64)
    figures = by_name(expression_figures(nobody, nobody, ("angry", "happy")))
    assert figures["accuracy", "all"].count == 0
    assert ("sensitivity", "angry") not in figures


@pytest.mark.parametrize(("side", "border"), [(48, 14), (128, 38)])
def test_a_padded_chip_repeats_its_edge(side: int, border: int) -> None:
    chip = np.random.default_rng(2).integers(0, 255, (side, side, 3), dtype=np.uint8)
    wide = padded(chip)
    assert wide.shape == (side + 2 * border, side + 2 * border, 3)
    np.testing.assert_array_equal(wide[border:-border, border:-border], chip)
    np.testing.assert_array_equal(wide[0, border:-border], chip[0])
    assert cv2.absdiff(wide[-1, -1], chip[-1, -1]).sum() == 0
