"""What a view is worth: the fit on made views, and its slope."""

from __future__ import annotations

from pathlib import Path

import cv2
import face_sets
import msgspec
import numpy as np
import pytest
from astronaut import astronaut
from bundles import GENDER

from converters.__main__ import main
from converters.evaluation.protocols import quality as protocol
from converters.evaluation.weights import TERMS, Seen, _slope, factors_of, fit_powers, loss, of_people, weighted
from edgeface.bundle import Bundle
from edgeface.people.quality import factors
from edgeface.types import Quality

SIZE = TERMS.index("size")


def made(people: int, views: int, *, tells: bool, seed: int = 1) -> Seen:
    """Views of which, where the size ``tells``, the small ones are guesses and the large ones are right."""
    rng = np.random.default_rng(seed)
    count = people * views
    factors = rng.uniform(0.1, 1, (count, len(TERMS)))
    truth = rng.integers(0, 2, people)
    person = np.repeat(np.arange(people), views)
    noise = rng.normal(0, 1, count) * (2 / factors[:, SIZE] if tells else 3.0)
    sure = 1 / (1 + np.exp(-(1.5 + noise)))
    rows = np.where(truth[person, None] == [0, 1], sure[:, None], 1 - sure[:, None]).astype(np.float32)
    return Seen(person=person, factors=factors, rows=rows, masses=np.eye(2)[truth])


def test_the_weighted_mean_of_a_worked_example() -> None:
    seen = Seen(
        person=np.array([0, 0, 1]),
        factors=np.array([[1, 0.5, 1, 1, 1, 1], [1, 0.25, 1, 1, 1, 1], [1.0] * 6]),
        rows=np.array([[1, 0], [0, 1], [0.5, 0.5]], np.float32),
        masses=np.array([[1.0, 0], [0, 1]]),
    )
    alone = np.eye(len(TERMS))[SIZE]
    np.testing.assert_allclose(weighted(seen, 0 * alone), [[0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_allclose(weighted(seen, alone), [[2 / 3, 1 / 3], [0.5, 0.5]])
    np.testing.assert_allclose(weighted(seen, 2 * alone), [[0.8, 0.2], [0.5, 0.5]])
    np.testing.assert_allclose(loss(seen, alone), [-np.log(2 / 3), -np.log(0.5)])


def test_the_slope_is_that_of_the_loss() -> None:
    seen = made(40, 4, tells=True)
    powers = np.array([0.3, 1.0, 0.5, 0.0, 2.0, 1.0])
    for term, slope in enumerate(_slope(seen, powers)):
        step = 1e-5 * np.eye(len(TERMS))[term]
        rise = (loss(seen, powers + step).mean() - loss(seen, powers - step).mean()) / 2e-5
        assert slope == pytest.approx(rise, abs=1e-6)


def test_what_tells_gets_a_power_and_what_does_not_gets_none() -> None:
    powers = fit_powers([made(1500, 6, tells=True)])
    assert powers[SIZE] > 0.8
    assert np.delete(powers, SIZE).max() < 0.5
    other = made(1500, 6, tells=True, seed=2)
    assert loss(other, powers).mean() < loss(other, np.zeros(len(TERMS))).mean(), "also for other people"
    assert fit_powers([made(5000, 6, tells=False)]).max() < 0.3


def test_some_of_the_people_are_numbered_anew() -> None:
    seen = made(4, 2, tells=True)
    some = of_people(seen, np.array([True, False, False, True]))
    assert some.person.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(some.rows, seen.rows[[0, 1, 6, 7]])
    np.testing.assert_array_equal(some.masses, seen.masses[[0, 3]])


def test_which_classes_a_label_stands_for(classic: Bundle) -> None:
    age, gender = classic.network("age-v1").answers["age"], classic.network("gender-v1").answers["gender"]
    assert np.flatnonzero(protocol.right_classes(age, "3-9")).tolist() == list(range(3, 10))
    assert np.flatnonzero(protocol.right_classes(age, "0-2")).tolist() == [0, 1, 2], "0.25 years are none"
    assert protocol.right_classes(gender, "M").tolist() == [0, 1]
    assert not protocol.right_classes(gender, "").any()
    assert not protocol.right_classes(age, "").any()


def test_the_command_tells_what_weights_come_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"val/{number}.png", "30-39", "Female", "White") for number in range(4)]
    face_sets.fairface(tmp_path / "data", rows)
    for name, *_ in rows:
        cv2.imwrite(str(tmp_path / "data" / name), astronaut()[40:200, 150:310])
    arguments = ["--data", tmp_path / "data", "--network", GENDER, "--out", tmp_path]
    assert main(["evaluate", "quality", *map(str, arguments)]) == 0
    first = (tmp_path / "quality-onnx.json").read_bytes()
    report = msgspec.json.decode(first, type=protocol.ViewsReport)
    assert set(report.powers) == set(TERMS)
    assert [w.weights for w in report.weighings] == [protocol.ALIKE, protocol.DEVICE, protocol.FITTED] * 2, (
        "age and gender"
    )
    assert 0 < report.weighings[0].people < 4, "who chose is not told"
    assert [g.factor for g in report.growths] == list(TERMS) * 2
    assert "Powers of the factors: detector " in capsys.readouterr().out
    assert main(["evaluate", "quality", *map(str, arguments)]) == 0
    assert (tmp_path / "quality-onnx.json").read_bytes() == first, "the same views"


def test_factors_are_those_of_the_score() -> None:
    quality = Quality(size_px=56, blur=0.5, yaw=-0.5, light=0.0, cut_off=0.2, score=0.1)
    assert factors(quality) == pytest.approx((0.5, 0.6, 0.65, 0.3, 0.8))
    np.testing.assert_allclose(factors_of([quality], [0.9]), [[0.9, *factors(quality)]])
