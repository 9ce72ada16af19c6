"""How sure answers may be taken to be: worked examples, and the command on tiny sets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import bundles
import cv2
import face_sets
import msgspec
import numpy as np
import pytest
from astronaut import astronaut

from converters.__main__ import main
from converters.bundles import card as card_module
from converters.evaluation.confidence import (
    at_temperature,
    best_temperature,
    calibration_error,
    choose_threshold,
    covered_share,
    covering_temperature,
    label_loss,
    temperature_of,
    unknown_curve,
)
from converters.evaluation.protocols import confidence as protocol
from converters.evaluation.protocols.confidence import ConfidenceReport
from converters.evaluation.subject import Answers, Finder, shipped_subjects
from converters.evaluation.sureness import Asked, choose_certainty, fit, sureness
from converters.evaluation.whole_bundle import BundleRun
from converters.measurements.chosen import allowed, with_chosen
from converters.measurements.confidence import (
    Confidence,
    Coverage,
    Sureness,
    Threshold,
    coverage_rows,
    read_confidence,
    record,
)
from converters.recipes.reading import read_recipe
from edgeface.bundle import Bundle, open_bundle

FACE = astronaut()[40:200, 150:310]


def test_the_calibration_error_of_a_worked_example() -> None:
    """Claimed are 0.9, 0.8 and twice 0.6; of the first two one is right, of the others both are."""
    sure, right = np.array([0.9, 0.8, 0.6, 0.6]), np.array([True, False, True, True])
    assert calibration_error(sure, right, bins=2) == pytest.approx(abs(1.7 + 1.2 - 3) / 4), "one bin above one half"
    assert calibration_error(sure, right, bins=4) == pytest.approx((abs(1.7 - 1) + abs(1.2 - 2)) / 4)
    assert calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0
    assert calibration_error(np.zeros(0), np.zeros(0, bool)) == 0


def test_the_likelihood_of_labels() -> None:
    rows = np.array([[0.5, 0.5], [0.25, 0.75]])
    assert label_loss(rows, np.array([0, 1])) == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2)
    assert label_loss(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(1e-7)), "and not infinite"


def test_the_temperature_that_was_hidden_is_found() -> None:
    """Labels are drawn from softmax(z); whoever claims softmax(2.5 z) is too sure by 2.5."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (20000, 3))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (honest.cumsum(axis=1) > rng.random((20000, 1))).argmax(axis=1)

    def loss(temperature: float) -> float:
        powers = np.exp(2.5 * logits / temperature)
        return label_loss(powers / powers.sum(axis=1, keepdims=True), truth)

    assert best_temperature(loss) == pytest.approx(2.5, rel=0.03)
    assert best_temperature(lambda t: (np.log(t) - np.log(0.7)) ** 2) == pytest.approx(0.7, rel=1e-4)
    assert best_temperature(lambda t: t) == pytest.approx(0.2, rel=1e-4), "at the end of the range"


def test_the_temperature_at_which_intervals_cover() -> None:
    assert covering_temperature(lambda t: min(1.0, 0.4 * t), 0.8) == pytest.approx(2.0, rel=1e-4)
    assert covering_temperature(lambda _t: 0.1, 0.8) == pytest.approx(5.0, rel=1e-4), "never: the widest"


@pytest.mark.parametrize(
    ("low", "high", "label", "share"),
    [
        (20.0, 30.0, "25", 1.0),
        (25.1, 30.0, "25", 0.0),
        (25.0, 25.0, "25", 1.0),
        (0.0, 100.0, "30-39", 1.0),
        (34.5, 60.0, "30-39", 0.5),
        (60.0, 74.0, "70+", 0.25),
        (3.0, 3.0, "3-9", 1 / 7),
        (80.0, 99.0, "95", 1.0),
    ],
)
def test_how_much_of_a_label_lies_in_an_interval(low: float, high: float, label: str, share: float) -> None:
    assert covered_share(low, high, label) == pytest.approx(share)


def test_the_trade_of_unknown() -> None:
    sure, right = np.array([0.55, 0.7, 0.8, 0.95]), np.array([False, True, False, True])
    assert unknown_curve(sure, right, [0.5, 0.7, 0.9, 0.99]) == [
        (0.5, 1.0, 0.5),
        (0.7, 0.75, pytest.approx(1 / 3)),
        (0.9, 0.25, 0.0),
        (0.99, 0.0, 0.0),
    ]


def test_a_threshold_is_the_lowest_at_which_little_is_wrong_and_enough_is_answered() -> None:
    """Surer answers are righter: 0.505, 0.515 ... are right in 50 % of the cases, those from 0.7 on always."""
    sure = np.repeat(np.arange(0.5, 1.0, 0.01) + 0.005, 2)
    right = (np.arange(100) % 2 == 0) | (sure > 0.7)
    assert choose_threshold([(sure, right)], 1.0, 0.0) == 0, "anything may be wrong"
    assert choose_threshold([(sure, right)], 0.0, 0.1) == 0.7
    assert choose_threshold([(sure, right)], 0.0, 0.75) == 0.62, "at 0.63 only 74 of 100 are answered"
    assert choose_threshold([(sure, right), (sure, sure > 0)], 0.05, 0.1) == 0.63, "10 of 74 beside none"
    assert choose_threshold([(sure, sure < 0)], 0.5, 0.2) == 0.9, "all are wrong: as much silence as may be"


def test_a_threshold_is_chosen_for_labels_alone_and_marked_in_the_curve(classic: Bundle) -> None:
    asked = gender_of(classic, [0.95] * 200 + [0.605] * 40, ["F"] * 200 + ["M"] * 40)
    certainty = choose_certainty([asked], 1.0)
    assert certainty == 0.61
    curve = sureness(asked, 1.0, certainty).curve
    (row,) = (row for row in curve if row.probability == 0.61)
    assert (row.wrong, row.group_wrong) == (0, 0)
    (before,) = (row for row in curve if row.probability == 0.6)
    assert before.wrong == pytest.approx(40 / 240, abs=1e-4)
    assert (before.group, before.group_wrong) == ("age 30-39", before.wrong), "40 men are too few to be named"
    assert sureness(asked, 1.0).certainty is None
    assert choose_certainty([], 1.0) is None


def test_another_temperature_of_one_head(classic: Bundle, tmp_path: Path) -> None:
    network = classic.network("gender-v1")
    assert temperature_of(network, "gender") == 1
    assert temperature_of(at_temperature(network, "gender", 2.0), "gender") == 2
    made = bundles.add_made(bundles.copy(tmp_path), "answers")
    answers = open_bundle(made, allow_random=True).network("answers")
    warmer = at_temperature(answers, "gender", 3.0)
    assert temperature_of(warmer, "gender") == 3
    assert warmer.head == answers.head
    assert temperature_of(answers, "age") is None, "years said outright have no logits"


def gender_of(classic: Bundle, female: list[float], labels: list[str]) -> Asked:
    """What gender-v1 would have said of faces that were all found."""
    outputs = {"probabilities": np.array([[p, 1 - p] for p in female], np.float32)}
    rows = [{"gender": label, "age": "30"} for label in labels]
    answers = Answers(labels=rows, found=np.ones(len(rows), bool), outputs=outputs)
    return Asked(network=classic.network("gender-v1"), task="gender", title="Set", set="fairface", answers=answers)


def test_a_network_that_claims_too_much_is_cooled_down_to_what_holds(classic: Bundle) -> None:
    """It says 0.99 and is right three times of four: the temperature that makes of 99 to 1 three to one."""
    asked = gender_of(classic, [0.99] * 4, ["F", "F", "F", "M"])
    temperature = fit([asked])
    assert temperature is not None
    assert temperature == pytest.approx(np.log(99) / np.log(3), rel=1e-3)
    before, after = sureness(asked, 1.0), sureness(asked, temperature)
    assert before.ece == pytest.approx(0.24, abs=1e-4)
    assert after.ece == pytest.approx(0, abs=1e-3)
    assert [row.answered for row in before.curve if row.probability == 0.8] == [1.0]
    assert [row.answered for row in after.curve if row.probability == 0.8] == [0.0]
    assert min(row.probability for row in before.curve) == 0.5


def test_an_age_covers_what_it_claims_at_its_temperature(classic: Bundle) -> None:
    network = classic.network("age-v1")
    rng = np.random.default_rng(2)
    true = rng.integers(20, 60, 400)
    centre = np.clip(true + rng.normal(0, 9, 400), 5, 75)
    bells = np.exp(-0.5 * ((np.arange(81) - centre[:, None]) / 3) ** 2).astype(np.float32)
    answers = Answers(
        labels=[{"age": str(age)} for age in true], found=np.ones(400, bool), outputs={"probabilities": bells}
    )
    asked = Asked(network=network, task="age", title="Set", set="utkface", answers=answers)
    temperature = fit([asked])
    assert temperature == pytest.approx(5, rel=0.01), "nine years against three would want nine: the widest"
    before, after = sureness(asked, 1.0), sureness(asked, 4.0)
    (whole,) = (row for row in before.coverage if row.group == "all")
    assert whole.value == pytest.approx(0.33, abs=0.07)
    assert {row.group for row in before.coverage} == {"all", *(f"age {a}-{a + 9}" for a in (20, 30, 40, 50))}
    assert after.coverage[0].value > 0.55
    assert after.coverage[0].years == pytest.approx(2 * before.coverage[0].years, rel=0.05)


def test_the_command_writes_and_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    face_sets.fairface(tmp_path / "data", [("val/1.png", "30-39", "Female", "White")])
    cv2.imwrite(str(tmp_path / "data" / "val" / "1.png"), FACE)
    kept: list[Confidence] = []
    monkeypatch.setattr(protocol, "record", kept.extend)
    assert main(["evaluate", "confidence", "--data", str(tmp_path / "data"), "--out", str(tmp_path), "--record"]) == 0
    report = msgspec.json.decode((tmp_path / "confidence-onnx.json").read_bytes(), type=ConfidenceReport)
    assert list(report.found) == kept
    by_task = {(one.network, one.task): one for one in kept}
    networks = open_bundle(bundles.DEFAULT).manifest.networks
    assert set(by_task) == {(n.name, task) for n in networks for task in n.answers if task != "expression"}
    gender = by_task[bundles.GENDER, "gender"]
    assert gender.fitted_on == ("FairFace val",)
    assert gender.error == 0
    said = capsys.readouterr().out
    as_shipped = f"temperature {gender.shipped.temperature:.2f} (as the bundle had it)"
    assert f"{bundles.GENDER} onnx {gender.precision}, gender, FairFace val: 0.0 % wrong; {as_shipped}" in said
    arguments = ["--data", str(tmp_path / "data"), "--out", str(tmp_path), "--fit", "utkface", "--network", bundles.AGE]
    assert main(["evaluate", "confidence", *arguments]) == 0
    report = msgspec.json.decode((tmp_path / "confidence-onnx.json").read_bytes(), type=ConfidenceReport)
    assert {(one.fitted, one.fitted_on) for one in report.found} == {(None, ())}, "no set of the fit is there"


def one(**changes: object) -> Confidence:
    made = Confidence(
        network="gender-v1",
        runtime="onnx",
        precision="fp32",
        weights="",
        task="gender",
        set="Set",
        count=100,
        unit="share",
        error=0.25,
        shipped=Sureness(temperature=1, ece=0.24, curve=(Threshold(probability=0.8, answered=1, wrong=0.25),)),
    )
    return msgspec.structs.replace(made, **changes)


def test_what_was_measured_again_replaces_its_own(tmp_path: Path) -> None:
    path = tmp_path / "confidence.json"
    record([one(), one(set="Other")], path)
    record([one(error=0.5)], path)
    assert read_confidence(path) == [one(set="Other"), one(error=0.5)]


def test_the_card_has_it(classic: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    network = classic.network("gender-v1")
    mine = one(weights=network.source.sha256)
    others = [one(error=0.666), msgspec.structs.replace(mine, precision="int8", error=0.777)]
    monkeypatch.setattr(card_module, "read_confidence", lambda: [mine, *others])
    text = card_module.card(network)
    assert (
        "Gender, Set: 25.0 % wrong; temperature 1.00 (as the bundle had it): expected calibration error 24.0 %." in text
    )
    assert "| 0.8 | 100.0 % | 25.0 % | - | - |" in text
    assert '"unknown below" ["0.8"]' in text
    assert "line [100.0]\n    line [25.0]\n```" in text
    assert "66.6 % wrong" not in text, "other weights"
    assert "77.7 % wrong" not in text, "another file"


@pytest.mark.parametrize(
    ("group", "value", "count", "verdict"),
    [
        ("all", 0.75, 500, "misses"),
        ("all", 0.76, 500, "holds"),
        ("age 0-9", 0.75, 500, "holds"),
        ("age 0-9", 0.91, 500, "misses"),
        ("age 0-9", 0.91, 99, "too few to judge"),
    ],
)
def test_whether_an_interval_holds(group: str, value: float, count: int, verdict: str) -> None:
    row = Coverage(group=group, value=value, count=count, low=None, high=None, years=20.0)
    _, ((_, _, _, said, _),) = coverage_rows(one(task="age", shipped=Sureness(temperature=1, coverage=(row,))))
    assert said == verdict


def test_a_manifest_takes_what_was_chosen_with_its_provenance(classic: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    network = classic.network("gender-v1")
    fitted = Sureness(temperature=1.7, ece=0.02, certainty=0.65)
    mine = one(
        weights=network.source.sha256, set="FairFace val", fitted=fitted, fitted_on=("FairFace val",), count=3000
    )
    made = with_chosen(network, [], [mine])
    assert made.head == msgspec.structs.replace(network.head, temperature=1.7, certainty=0.65)
    assert [(fact.metric, fact.value, fact.set, fact.count) for fact in made.chosen] == [
        ("gender.temperature", 1.7, "FairFace val", 3000),
        ("gender.certainty", 0.65, "FairFace val", 3000),
    ]
    assert made.chosen[0].command == "python -m converters evaluate confidence --network gender-v1 --record"
    monkeypatch.setattr(card_module, "read_confidence", lambda: [])
    assert "| gender.certainty | 0.65 | FairFace val | 3000 | `python -m" in card_module.card(made)
    for other in (
        msgspec.structs.replace(mine, weights="0" * 64),
        msgspec.structs.replace(mine, fitted_on=("UTKFace val",), set="UTKFace val"),
        msgspec.structs.replace(mine, fitted=None, fitted_on=()),
    ):
        assert with_chosen(network, [], [other]) == network


def test_what_utkface_chose_is_taken_where_the_recipe_lets_it_choose_and_nowhere_else(classic: Bundle) -> None:
    network = classic.network("gender-v1")
    both = ("UTKFace val", "FairFace val")
    fitted = Sureness(temperature=1.7, ece=0.02, certainty=0.65)
    first = one(weights=network.source.sha256, set=both[0], fitted=fitted, fitted_on=both, count=2000)
    second = msgspec.structs.replace(first, set=both[1], count=3000)
    narrow = msgspec.structs.replace(
        second, fitted=Sureness(temperature=0.9, certainty=0.7), fitted_on=("FairFace val",), set="FairFace val"
    )
    assert with_chosen(network, [], [first, second]) == network
    assert with_chosen(network, [], [first, second], judged_on=["fairface"]) == network
    made = with_chosen(network, [], [second, first], judged_on=["utkface", "fairface"], bundle="build/bundles/mine")
    assert made.head == msgspec.structs.replace(network.head, temperature=1.7, certainty=0.65)
    assert {(fact.set, fact.count) for fact in made.chosen} == {("UTKFace val + FairFace val", 5000)}
    assert made.chosen[0].command == (
        "python -m converters evaluate confidence --bundle build/bundles/mine --network gender-v1 --record"
    )
    # A fit on fewer sets that is on record, too, is no second one.
    kept = with_chosen(network, [], [narrow, first], judged_on=["utkface", "fairface"])
    assert [(fact.metric, fact.value) for fact in kept.chosen] == [
        ("gender.temperature", 1.7),
        ("gender.certainty", 0.65),
    ]


def test_default_is_never_chosen_by_utkface_and_research_is() -> None:
    for name in ("default", "classic"):
        for built in read_recipe(name).networks:
            assert "utkface" not in allowed(built), built
    (built,) = read_recipe("research").networks
    assert allowed(built) == ("utkface", "fairface")
    assert allowed("nobodys-network") == ("fairface", "fer2013")


def test_without_a_word_temperatures_are_fitted_where_the_recipe_allows(
    classic: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [
        dataclasses.replace(gender_of(classic, [0.7, 0.4], ["F", "M"]), title=title, set=name)
        for name, title in (("utkface", "UTKFace val"), ("fairface", "FairFace val"))
    ]
    finder = Finder(open_bundle(bundles.DEFAULT))
    run = BundleRun(
        bundle=classic, finder=finder, subjects=shipped_subjects(classic, finder, runtime="onnx", precision=None)
    )
    assert {c.fitted_on for c in protocol.confidences(run, asked)} == {("FairFace val",)}
    assert {c.fitted_on for c in protocol.confidences(run, asked, ["utkface"])} == {("UTKFace val",)}
    monkeypatch.setattr(protocol, "allowed", lambda _name: ("utkface", "fairface"))
    assert {c.fitted_on for c in protocol.confidences(run, asked)} == {("UTKFace val", "FairFace val")}
