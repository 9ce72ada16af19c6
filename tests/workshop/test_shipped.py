"""``evaluate shipped``: the table of a bundle, its worst groups, and two bundles held against each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import bundles
import cv2
import msgspec
import numpy as np
import pytest
from astronaut import astronaut

from converters.__main__ import main
from converters.datasets import labelled as data_module
from converters.datasets.labelled import Chip, Sheets
from converters.evaluation import timing
from converters.evaluation.protocols import shipped as shipped_module
from converters.evaluation.protocols.shipped import Shipped
from converters.evaluation.shipped import Measure, Row, against, cost_rows, person_measures, smallest, time_rows, used
from converters.evaluation.stills import Stills, age_error, answer_stills, bin_of, errors_of, find_stills, photograph
from converters.evaluation.subject import Answers, Face, Finder, Subject, shipped_subjects
from converters.evaluation.timing import Timed
from converters.paths import alone
from edgeface.bundle import Bundle, Network, NetworkFile, open_bundle
from edgeface.types import Image

FACE = astronaut()[40:200, 150:310]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The default bundle; for age and gender a network that says of brightness b: 100 b years, female by b."""
    folder = bundles.add_made(bundles.copy(tmp_path_factory.mktemp("made")), "answers")
    defaults = {"age": "answers", "gender": "answers"}
    bundles.write_manifest(folder, lambda tree: tree["defaults"].update(defaults))
    return open_bundle(folder, allow_random=True)


@pytest.fixture(scope="module")
def subject(made: Bundle) -> Subject:
    subjects = shipped_subjects(made, Finder(made), runtime="onnx", precision=None)
    return next(one for one in subjects if one.network.name == "answers")


def painted(years: Sequence[float], labels: Sequence[Mapping[str, str]], subject: Subject) -> Stills:
    """Chips of one brightness each, of which the made network says these ages; not a number: nobody is found."""
    assert subject.finder is not None
    chips = [
        Chip(np.full((100, 100, 3), 0 if np.isnan(said) else round(2.55 * said), np.uint8), dict(row))
        for said, row in zip(years, labels, strict=True)
    ]
    box = np.array([60, 60, 260, 260], np.float32)
    faces = [None if np.isnan(said) else (box, None) for said in years]
    return Stills(finder=subject.finder, chips=chips, faces=faces)


def said(years: Sequence[float], labels: Sequence[Mapping[str, str]], subject: Subject) -> Answers:
    return answer_stills(painted(years, labels, subject), [subject])["answers"]


def rows_of(measures: Sequence[Measure]) -> dict[str, Row]:
    found = {one.row.row: one.row for one in measures}
    assert len(found) == len(measures)
    return found


def test_chips_are_padded_and_enlarged_as_the_sealed_check_does() -> None:
    assert photograph(np.zeros((128, 128, 3), np.uint8)).shape == (2 * (128 + 2 * 38), 2 * (128 + 2 * 38), 3)
    assert photograph(np.zeros((48, 48, 3), np.uint8)).shape == (4 * (48 + 2 * 14), 4 * (48 + 2 * 14), 3)


@pytest.mark.parametrize(
    ("years", "name"),
    [
        (0, "0-2"),
        (2.5, "0-2"),
        (2.6, "3-9"),
        (9.4, "3-9"),
        (9.5, "10-19"),
        (29.4, "20-29"),
        (29.5, "30-39"),
        (140, "70+"),
    ],
)
def test_an_age_lies_in_the_bin_of_its_nearest_whole_year(years: float, name: str) -> None:
    """Two and a half is as near to two: Python takes the even one, and so does the sealed check."""
    assert bin_of(years) == name


def test_the_error_of_an_age() -> None:
    assert age_error(29.4, "20-29") == 0
    assert age_error(29.5, "20-29") == 1
    assert age_error(33.5, "30") == 3.5


def test_a_table_of_ages_in_years(subject: Subject) -> None:
    """Thirty of 20 years said to be 24, thirty of 41 said to be 51; few of 80 are far off and not named."""
    labels = [{"age": "20", "gender": "M"}] * 30 + [{"age": "41", "gender": "F"}] * 30
    labels += [{"age": "80", "gender": "F"}] * 3 + [{"age": "5", "gender": "M"}] * 2 + [{"age": "33", "gender": "M"}]
    years = [24.0] * 30 + [51.0] * 30 + [20.0] * 3 + [5.0, 60.0] + [float("nan")]
    measured = list(person_measures("Set", True, said(years, labels, subject), subject, ["age", "gender"]))
    rows = rows_of(measured)
    assert rows["age MAE, Set"].count == 65, "who was not found is left out"
    assert rows["age MAE, Set"].value == pytest.approx((30 * 4 + 30 * 10 + 3 * 60 + 55) / 65, abs=0.3)
    worst = rows["age MAE, Set, worst decade"]
    assert (worst.group, worst.count) == ("40-49", 30)
    assert worst.value == pytest.approx(10, abs=0.3)
    # Below one half everybody is male, above female.
    assert rows["gender, Set"].value == pytest.approx((30 + 30 + 1) / 65)
    young = rows["gender, Set, below 10 years"]
    assert (young.value, young.count) == (0.5, 2)
    assert young.low is not None
    assert young.high is not None
    assert young.low < 0.5 < young.high


def test_a_table_of_bins_names_the_worst_race(subject: Subject) -> None:
    labels = [{"age": "20-29", "gender": "M", "race": "Black"}] * 30
    labels += [{"age": "50-59", "gender": "M", "race": "White"}] * 30 + [
        {"age": "3-9", "gender": "F", "race": "Indian"}
    ] * 2
    years = [24.0] * 30 + [40.0] * 20 + [55.0] * 10 + [20.0] * 2
    rows = rows_of(list(person_measures("Set", False, said(years, labels, subject), subject, ["age", "gender"])))
    assert rows["right age bin of 9, Set"].value == pytest.approx((30 + 10) / 62)
    assert rows["gender, Set"].value == pytest.approx(50 / 62)
    worst = rows["gender, Set, worst race"]
    assert (worst.group, worst.count) == ("White", 30), "two Indian women are too few to be named"
    assert worst.value == pytest.approx(20 / 30)


def test_two_bundles_are_held_against_each_other_face_by_face(subject: Subject) -> None:
    labels = [{"age": "30", "gender": "M"}] * 40
    first = person_measures("Set", True, said([32.0] * 39 + [np.nan], labels, subject), subject, ["age", "gender"])
    second = person_measures("Set", True, said([40.0] * 20 + [60.0] * 20, labels, subject), subject, ["age", "gender"])
    rows = {one.row.row: against(one, other) for one, other in zip(first, second, strict=True)}
    age, gender = rows["age MAE, Set"], rows["gender, Set"]
    assert age.change == pytest.approx(-(20 * 8 + 19 * 28) / 39, abs=0.3), "on the 39 faces that both found"
    assert gender.change == pytest.approx(19 / 39)
    for row in (age, gender):
        assert row.change is not None
        assert row.change_low is not None
        assert row.change_high is not None
        assert row.change_low < row.change < row.change_high
    assert against(Measure(row=age), None).change == age.change


def test_what_a_bundle_costs_is_that_of_the_networks_in_use(classic: Bundle, made: Bundle) -> None:
    assert used(classic) == {"age-v1": ["age"], "gender-v1": ["gender"], "expression-mini-xception": ["expression"]}
    assert list(used(made)) == ["answers", bundles.EXPRESSION]
    assert used(alone(classic.network("gender-v1"), classic.folder)) == {"gender-v1": ["gender"]}, (
        "it names no defaults"
    )
    macs, size = cost_rows([classic.network(name) for name in used(classic)], "onnx")
    assert macs.value == sum(classic.network(name).macs or 0 for name in used(classic))
    assert size.group == "int8w + int8"
    files = [smallest(classic.network(name).files["onnx"]) for name in used(classic)]
    assert size.value == sum(file.bytes for file in files if file)
    assert [row.unit for row in cost_rows([made.network("answers")], "onnx")] == ["bytes"], "its work is not known"


def test_the_quickest_file_of_each_network_counts_for_the_time_of_all_and_ratios_are_those_of_rounds(
    classic: Bundle,
) -> None:
    age, gender = classic.network("age-v1"), classic.network("gender-v1")
    old = [Timed(age, age.files["onnx"][0], [2.0, 4.0, 8.0])]
    new = [
        Timed(age, age.files["onnx"][0], [1.0, 2.0, 3.0]),
        Timed(gender, gender.files["onnx"][0], [5.0, 9.0, 9.0]),
        Timed(gender, gender.files["litert"][0], [1.0, 1.0, 1.0]),
    ]
    row, other, ratio = time_rows(new, old, "old")
    assert row.row == "CPU time of all, a face, one thread, quickest files, ms"
    kinds = f"onnx {age.files['onnx'][0].precision} + litert {gender.files['litert'][0].precision}"
    assert (row.network, row.group) == ("age-v1 + gender-v1", kinds)
    assert (row.value, row.change, row.unit) == (3.0, -1.0, "ms")
    assert (other.row, other.value) == ("the same of old, ms", 4.0)
    # 2 of 2, 3 of 4, 4 of 8.
    assert (ratio.row, ratio.value, ratio.unit) == ("CPU time of all, of that of old", 0.75, "ratio")
    assert [one.change for one in time_rows(new)] == [None]


def test_files_of_both_bundles_are_timed_in_turns(classic: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock a round passes between any two looks at it: a call a round, of each file in its turn."""
    ticks = count()
    calls: list[str] = []
    whole = open_bundle(bundles.DEFAULT)

    def called(_bundle: Bundle, network: Network, files: Sequence[NetworkFile]) -> list[Callable[[], object]]:
        return [partial(calls.append, file.path) for file in files]

    monkeypatch.setattr(timing, "calls_of", called)
    groups = [(whole, [bundles.AGE]), (classic, ["gender-v1"])]
    own, other = timing.time_together(groups, rounds=2, warm_up=0, clock=lambda: next(ticks) * 0.2)
    paths = [one.file.path for one in (*own, *other)]
    assert {one.network.name for one in own} == {bundles.AGE}
    assert {one.file.runtime for one in own} == {"onnx", "litert"}
    assert calls == paths * 2
    assert {round(ms) for one in (*own, *other) for ms in one.rounds} == {200}


def test_moved_faces_are_cut_where_they_were_moved(subject: Subject) -> None:
    """Left half black, right half white."""
    chip = np.zeros((100, 100, 3), np.uint8)
    chip[:, 50:] = 255
    stills = painted([50.0], [{"age": "30", "gender": "M"}], subject)
    stills.chips[0].image[:] = chip
    plain = errors_of(answer_stills(stills, [subject])["answers"], subject.network, "age")
    shift = np.array([100, 0, 100, 0], np.float32)
    right = answer_stills(stills, [subject], move=lambda face: (face[0] + shift, None))["answers"]
    assert plain == pytest.approx(20, abs=1.5)
    assert errors_of(right, subject.network, "age") == pytest.approx(70, abs=1.5)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sheets of two tiles each: a face, and grey in which there is none."""
    monkeypatch.setitem(data_module.SETS, "fer2013", Sheets(side=48, columns=2, per=4))
    for name in ("utkface", "fairface"):
        monkeypatch.setitem(data_module.SETS, name, Sheets(side=128, columns=2, per=4))
    for name, part, labels in (
        ("fer2013", "publictest", "emotion\npublictest,0,happy\npublictest,1,happy\n"),
        ("utkface", "val", "age,gender,race\nval,0,40,F,White\nval,1,40,F,White\n"),
        ("fairface", "val", "age,gender,race\nval,0,40-49,F,White\nval,1,40-49,F,White\n"),
    ):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        (folder / "labels.csv").write_text(f"part,i,{labels}")
        side = data_module.SETS[name].side
        tile = cv2.resize(FACE, (side, side), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"{part}_000.png"), np.vstack([np.hstack([tile, np.full_like(tile, 127)])] * 2))
    return tmp_path / "data"


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
def test_the_default_bundle_from_its_files(
    runtime: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(shipped_module, "ROUNDS", 1)
    arguments = ["--data", data, "--runtime", runtime, "--precision", "int8", "--against", "default", "--out", tmp_path]
    assert main(["evaluate", "shipped", *map(str, arguments)]) == 0
    report = msgspec.json.decode((tmp_path / f"shipped-{runtime}-int8.json").read_bytes(), type=Shipped)
    assert report.command == (
        f"python -m converters evaluate shipped --bundle default --runtime {runtime} --precision int8 --against default"
    )
    shipped = open_bundle(bundles.DEFAULT)
    in_use = used(shipped)
    others = {network.name for network in shipped.manifest.networks if network.answers} - set(in_use)
    rows = {row.row: row for row in report.rows if row.network not in others}
    assert rows["found, UTKFace val"].value == 0.5
    assert rows["gender, UTKFace val"].value == 1
    assert rows["gender, UTKFace val"].change == 0
    assert rows["expression accuracy, FER-2013 PublicTest"].count == 1
    assert rows["expression accuracy, FER-2013 PublicTest, equalised"].count == 1
    assert [row.unit for row in report.rows[-5:]] == ["macs", "bytes", "ms", "ms", "ratio"]
    assert report.rows[-2].row == "the same of default, ms"
    assert 0.2 < report.rows[-1].value < 5, "of the same bundle, about one"
    said = capsys.readouterr().out
    assert f"| gender, FairFace val | {bundles.GENDER} | 100.0 % | 20.6 to 100.0 % | 1 |" in said
    macs = sum(shipped.network(name).macs or 0 for name in in_use)
    assert f"{macs / 1e6:.1f} M" in said
    assert f"| the same of default, ms | {' + '.join(in_use)} | {report.rows[-2].value:.3f} ms |" in said


def test_a_bundle_that_only_finds_faces_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def only_detectors(tree: bundles.Tree) -> None:
        tree["networks"] = [network for network in tree["networks"] if network["task"] == "detect"]
        tree["defaults"] = {"detect": tree["defaults"]["detect"]}

    folder = bundles.copy(tmp_path / "bundle", only_detectors)
    assert main(["evaluate", "shipped", "--data", str(data), "--bundle", str(folder)]) == 2
    assert f"no network in {folder} answers a question about a face" in capsys.readouterr().err


def test_a_face_is_found_once_for_all_networks(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    assert subject.finder is not None
    looked: list[Image] = []
    real = subject.finder.face

    def face(image: Image) -> Face | None:
        looked.append(image)
        return real(image)

    monkeypatch.setattr(subject.finder, "face", face)
    stills = find_stills(subject.finder, [Chip(FACE, {"age": "40", "gender": "F"})])
    for _ in range(2):
        assert answer_stills(stills, [subject])["answers"].found.tolist() == [True]
    assert len(looked) == 1
