"""The protocols' commands on tiny sets, with networks whose answers are known: figures, pictures, and refusals.

The made network `answers` says of a picture's brightness b (0 to 1): 100 b years; female by b, male by 1 - b; valence
2 b - 1 and arousal 0.25.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import bundles
import cv2
import face_sets
import msgspec
import numpy as np
import pytest
from astronaut import astronaut
from test_layouts import wider

from converters.__main__ import main
from converters.cli import evaluate
from converters.datasets.layouts import LAYOUTS
from converters.evaluation.protocols import speed, verification
from converters.evaluation.report import Report
from converters.evaluation.statistics import Figure
from converters.evaluation.subject import open_subject
from edgeface.bundle import Measured

YEAR = 2.55
"""Brightness that the made network takes for one year."""
EXPRESSION = {
    "task": "expression",
    "head": {"kind": "categorical", "labels": ["happiness", "sadness"], "output": "gender"},
    "also": {},
}
"""The made network as one for expressions: what is bright is happy."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default bundle with the made networks beside its own."""
    return bundles.add_made(bundles.copy(tmp_path_factory.mktemp("made")), "answers")


def measure(out: Path, *arguments: str | Path) -> Report:
    """Run a protocol; give its report, after a look at its picture."""
    assert main(["evaluate", *map(str, arguments), "--out", str(out)]) == 0
    (path,) = out.glob("*.json")
    picture = cv2.imread(str(path.with_suffix(".png")))
    assert picture is not None
    assert min(picture.shape[:2]) > 200
    assert picture.std() > 10, "the picture is blank"
    return msgspec.json.decode(path.read_bytes(), type=Report)


def figure(report: Report, metric: str, group: str = "all", **wanted: str) -> Measured:
    rows = [
        row
        for row in report.figures
        if (row.metric, row.group) == (metric, group) and all(getattr(row, k) == v for k, v in wanted.items())
    ]
    assert len(rows) == 1, f"{len(rows)} figures {metric} of {group}"
    return rows[0]


def test_age_on_chips_by_their_names(made: Path, tmp_path: Path) -> None:
    years = {"25_0_0": 22, "35_1_1": 45, "61_1_1": 61, "5_0_2": 8}
    names = {f"{name}_20170119172106986.jpg": round(YEAR * said) for name, said in years.items()}
    data = face_sets.utkface(tmp_path / "UTKFace", names)
    report = measure(
        tmp_path / "out", "age", "--data", data, "--bundle", made, "--network", "answers", "--mode", "chip"
    )
    assert (report.protocol, report.mode, report.detector, report.layouts) == ("age", "chip", None, ("utkface-names",))
    assert report.command.endswith("age --network answers --runtime onnx --precision fp32 --mode chip --bundle bundle")
    for metric, group, value, count in (
        ("MAE years", "all", 4, 4),
        ("bias years", "all", 2.5, 4),
        ("MAE years", "21-40", 6.5, 2),
        ("RMSE years", "21-40", np.sqrt((9 + 100) / 2), 2),
        ("MAE years", "21-60", 6.5, 2),
        ("MAE years", "age 61-70", 0, 1),
        ("MAE years", "race Black", 5, 2),
        ("CS(1)", "all", 0.25, 4),
        ("CS(5)", "all", 0.75, 4),
        ("CS(10)", "21-40", 0.5, 2),
        ("found", "all", 1, 4),
    ):
        row = figure(report, metric, group)
        assert row.count == count, (metric, group)
        # Brightness has steps: a year is two and a half of them.
        assert row.value == pytest.approx(value, abs=0.26 if "years" in metric else 0), (metric, group)
    curve = report.tables["CS(T), UTKFace"]
    assert curve["years"][:4] == [0, 1, 2, 3]
    assert curve["all"][-1] == 1


def test_end_to_end_counts_who_is_not_found(made: Path, tmp_path: Path) -> None:
    face = astronaut()[40:200, 150:310]
    data = tmp_path / "UTKFace"
    data.mkdir()
    for name, picture in (("30_1_0", face), ("40_0_1", np.full_like(face, 127))):
        (data / f"{name}_20170119172106986.jpg").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    report = measure(tmp_path / "out", "gender", "--data", data, "--bundle", made, "--network", bundles.GENDER)
    assert (report.mode, report.detector) == ("end-to-end", "yunet")
    assert figure(report, "found").value == 0.5
    assert figure(report, "accuracy").count == 1
    assert figure(report, "accuracy").value == 1
    assert figure(report, "accuracy, misses as errors").value == 0.5
    assert figure(report, "accuracy", "race White").count == 1
    assert not [row for row in report.figures if row.group == "race Black" and row.metric == "accuracy"]


def test_nobody_found_is_one_line(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = face_sets.utkface(tmp_path, {"40_0_1_20170119172106986.jpg": 127})
    assert main(["evaluate", "gender", "--data", str(data), "--bundle", str(made), "--out", str(tmp_path / "o")]) == 2
    assert capsys.readouterr().err == (
        "edgeface: no face was found, so nothing can be measured; give other pictures or --mode chip\n"
    )
    assert not (tmp_path / "o").exists()


def test_gender_on_both_sets_of_one_folder(made: Path, tmp_path: Path) -> None:
    """Fair pictures are painted black, then in level 10: all are said to be male."""
    face_sets.utkface(tmp_path, {"25_1_0_20170119172106986.jpg": 200, "25_0_0_20170119172106987.jpg": 200})
    face_sets.fairface(tmp_path, [("val/1.png", "3-9", "Male", "East Asian"), ("val/2.png", "70+", "Female", "White")])
    report = measure(
        tmp_path / "out", "gender", "--data", tmp_path, "--bundle", made, "--network", "answers", "--mode", "chip"
    )
    assert report.sets == ("UTKFace", "FairFace val")
    assert figure(report, "accuracy", set="UTKFace").value == 0.5
    assert figure(report, "accuracy", "gender female", set="UTKFace").value == 1
    assert figure(report, "accuracy", "race East Asian").value == 1
    assert figure(report, "accuracy", "age 70+").value == 0


@pytest.fixture(scope="module")
def expression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.add_made(bundles.copy(tmp_path_factory.mktemp("expression")), "answers", **EXPRESSION)


HAPPY, SAD = 3, 4


def test_expression_against_fer_and_fer_plus_with_and_without_copies(expression: Path, tmp_path: Path) -> None:
    rows = [
        ("Training", HAPPY, 210),
        ("PublicTest", HAPPY, 210),  # a copy; right
        ("PublicTest", HAPPY, 40),  # wrong; the taggers said sad
        ("PublicTest", SAD, 30),
        ("PublicTest", SAD, 20),  # the taggers saw contempt
        ("PublicTest", 2, 10),  # fear: the network cannot say so
    ]
    votes: list[dict[str, int]] = [
        {"happiness": 9},
        {"happiness": 9},
        {"sadness": 8},
        {"sadness": 10},
        {"contempt": 9},
        {"unknown": 5, "sadness": 5},
    ]
    face_sets.fer2013(tmp_path, rows, votes)
    report = measure(tmp_path / "out", "expression", "--data", tmp_path, "--bundle", expression, "--network", "answers")
    assert (report.mode, report.sets) == ("chip", ("FER-2013 PublicTest", "FER+ PublicTest"))
    fer, plus = ({"set": title} for title in report.sets)
    assert (figure(report, "accuracy", **fer).value, figure(report, "accuracy", **fer).count) == (0.75, 4)
    clean = figure(report, "accuracy", "no copy in training", **fer)
    assert clean.value == pytest.approx(2 / 3, abs=1e-4)
    assert clean.count == 3
    assert figure(report, "macro-F1", **fer).value == pytest.approx((2 / 3 + 4 / 5) / 2, abs=1e-4)
    assert figure(report, "accuracy", **plus).value == 1
    assert figure(report, "accuracy", **plus).count == 3
    for metric, label, value in (
        ("sensitivity", "happy", 0.5),
        ("miss rate", "happy", 0.5),
        ("precision", "happy", 1),
        ("false discovery rate", "happy", 0),
        ("sensitivity", "sad", 1),
        ("precision", "sad", 2 / 3),
        ("false discovery rate", "sad", 1 / 3),
    ):
        assert figure(report, metric, label, **fer).value == pytest.approx(value, abs=1e-4), (metric, label)
    miss, hit = figure(report, "miss rate", "happy", **fer), figure(report, "sensitivity", "happy", **fer)
    assert hit.low is not None
    assert miss.high == pytest.approx(1 - hit.low, abs=1e-4)
    table = report.tables["confusion, FER-2013 PublicTest"]
    assert (table["labels"], table["rows are the truth"]) == (["happy", "sad"], [[1, 1], [0, 2]])
    assert any(
        "FER-2013 PublicTest: 1 faces left out, which the network cannot name: fear 1" in n for n in report.notes
    )
    assert any("FER+ PublicTest: 2 faces left out" in n and "contempt 1, unknown 1" in n for n in report.notes)
    assert any("1 of 4 faces are copies" in note for note in report.notes)
    assert any("200 draws of 2 faces of each label" in note for note in report.notes)


def test_the_shipped_network_on_expressions_from_pixels_in_a_table(tmp_path: Path) -> None:
    """The astronaut smiles, at 48 pixels as FER-2013 has it."""
    face = cv2.resize(cv2.cvtColor(astronaut()[62:176, 166:280], cv2.COLOR_BGR2GRAY), (48, 48))
    row = f"{HAPPY},{' '.join(map(str, face.ravel().tolist()))},PublicTest"
    (tmp_path / "fer2013.csv").write_text(f"emotion,pixels,Usage\n{row}\n")
    report = measure(tmp_path / "out", "expression", "--data", tmp_path, "--layout", "fer2013-csv")
    assert report.network == bundles.EXPRESSION
    assert figure(report, "accuracy").value == 1
    assert report.sets == ("FER-2013 PublicTest",), "without votes FER+ has no figures"


def test_valence_and_arousal(made: Path, tmp_path: Path) -> None:
    levels = [0, 64, 128, 192, 255]
    said = [2 * level / 255 - 1 for level in levels]
    truth = [value - 0.1 for value in said[1:]]
    data = face_sets.affect(tmp_path / "faces", [(f"{i}.png", v, 0.25) for i, v in enumerate([-1, *truth])], levels)
    report = measure(tmp_path / "out", "affect", "--data", data, "--bundle", made, "--network", "answers")
    assert report.sets == ("faces",)
    assert figure(report, "RMSE valence").value == pytest.approx(np.sqrt(4 * 0.01 / 5), abs=1e-3)
    assert figure(report, "RMSE arousal").value == pytest.approx(0, abs=1e-3)
    # Every face is alone in its cell: the grid's figure is the mean of five errors.
    assert figure(report, "normalised RMSE valence").value == pytest.approx(4 * 0.1 / 5, abs=1e-3)
    assert figure(report, "SAGR valence").value == pytest.approx(0.8), "128 is just above nought, its truth below"
    assert figure(report, "CCC valence").value == pytest.approx(0.99, abs=0.01)
    assert figure(report, "CCC arousal").value == pytest.approx(1, abs=1e-3)
    row = figure(report, "RMSE valence")
    assert row.low is not None
    assert row.high is not None
    assert row.low <= row.value <= row.high


def quadrants(path: Path, levels: tuple[int, int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.array(levels, np.uint8).reshape(2, 2)
    picture = np.repeat(np.repeat(small, 4, axis=0), 4, axis=1)[..., None].repeat(3, axis=2)
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one built network: its vector is the brightness of a picture's four quarters."""
    onnx = pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("quarters")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["input"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Flatten", ["pooled"], ["vector"]),
        ],
        "quarters",
        [helper.make_tensor_value_info("input", kind, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("vector", kind, ["n", 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (folder / "quarters.onnx").write_bytes(model.SerializeToString())
    (folder / "selftest").mkdir()
    np.savez(folder / "selftest" / "quarters.npz", input=np.zeros((1, 8, 8, 1), np.uint8), vector=np.zeros((1, 4)))
    tree: dict[str, Any] = json.loads((bundles.DEFAULT / "manifest.json").read_text())["networks"][0]
    tree |= {"name": "quarters", "task": "embedding", "parameters": 0, "measured": []}
    tree |= {"head": {"kind": "embedding", "output": "vector", "length": 4, "threshold": 0.1}}
    tree |= {
        "input": {"color": "grey", "mean": [0.0], "scale": 1.0, "height": 8, "width": 8, "crop": {"kind": "square"}}
    }
    for key in ("box_to_reference", "landmarks_to_reference", "also", "time"):
        tree.pop(key, None)
    file = {"runtime": "onnx", "precision": "fp32", "layout": "NCHW", "input": "input", "batches": [1, 4]}
    tree["files"] = {"onnx": [file | {"outputs": {"vector": "vector"}} | stated(folder, "quarters.onnx")]}
    tree["selftest"] = stated(folder, "selftest/quarters.npz")
    (folder / "network.json").write_text(json.dumps(tree))
    return folder


def stated(folder: Path, path: str) -> dict[str, Any]:
    data = (folder / path).read_bytes()
    return {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.fixture
def two_people(tmp_path: Path) -> Path:
    """Ann is bright above, Bob on the left; of either there are pictures in two exposures."""
    for number, gain in enumerate((1.0, 0.5, 0.8)):
        for name, quarters in (("Ann", (200, 200, 20, 20)), ("Bob", (200, 20, 200, 20))):
            levels = tuple(round(gain * level) for level in quarters)
            quadrants(tmp_path / "lfw" / name / f"{name}_{number + 1:04}.png", levels)  # type: ignore[arg-type]
    lines = ["Ann 1 2", "Ann 1 Bob 1", "Bob 1 2", "Bob 2 Ann 3", "Ann 2 3", "Ann 2 Bob 3"]
    (tmp_path / "pairs.txt").write_text("\n".join(["3 1", *lines]) + "\n")
    return tmp_path


def test_verification_of_one_built_network_over_folds(embedder: Path, two_people: Path, tmp_path: Path) -> None:
    report = measure(tmp_path / "out", "verification", "--data", two_people, "--bundle", embedder, "--mode", "chip")
    assert (report.network, report.layouts) == ("quarters", ("lfw-pairs",))
    assert figure(report, "accuracy at cosine 0.1").value == 1
    assert figure(report, "accuracy at cosine 0.1", "two people").count == 3
    for distance in ("cosine", "euclidean"):
        assert figure(report, "AUC", distance).value == 1
        assert figure(report, "accuracy over folds", distance).value == 1
    between = 1 - (200 * 200 + 2 * 200 * 20 + 20 * 20) / (2 * 200**2 + 2 * 20**2)
    assert figure(report, "best threshold", "cosine").value == pytest.approx(between / 2, abs=0.01)
    assert report.tables["ROC, cosine"]["true accepts"][-1] == 1


def test_verification_of_all_pairs_of_a_folder_per_person(embedder: Path, two_people: Path, tmp_path: Path) -> None:
    (two_people / "pairs.txt").unlink()
    report = measure(tmp_path / "out", "verification", "--data", two_people, "--bundle", embedder, "--mode", "chip")
    assert figure(report, "AUC", "cosine").count == 15
    assert not [row for row in report.figures if row.metric == "accuracy over folds"]
    assert any("smoke test" in note for note in report.notes)


def test_pairs_of_one_kind_are_one_line(embedder: Path, two_people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", two_people, "--bundle", embedder, "--mode", "chip", "--limit", "1"]
    assert main(["evaluate", "verification", *map(str, arguments)]) == 2
    assert "pairs of one person and of two are both needed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "same", "expected"),
    [
        pytest.param([0.1, 0.2, 0.6, 0.8], [1, 1, 0, 0], 0.4, id="between the kinds"),
        pytest.param([0.1, 0.5, 0.4, 0.8], [1, 1, 0, 0], 0.25, id="one beyond: the closer cut wins"),
        pytest.param([0.3, 0.3, 0.3, 0.9], [1, 1, 0, 0], 0.6, id="equal distances stay together"),
        pytest.param([0.1, 0.2], [0, 0], 0.1 - 1e-6, id="nobody is the same"),
        pytest.param([0.1, 0.2], [1, 1], 0.2, id="all are"),
    ],
)
def test_the_threshold_with_the_fewest_errors(values: list[float], same: list[int], expected: float) -> None:
    assert verification.best_threshold(np.array(values), np.array(same, bool)) == pytest.approx(expected)


def test_folds_choose_their_threshold_on_the_others() -> None:
    """Every fold is perfect by itself; the third lies elsewhere, and its own threshold is not allowed."""
    values = np.array([0.1, 0.9, 0.1, 0.9, 1.1, 1.9])
    same = np.array([True, False] * 3)
    found = verification.by_folds(values, same, np.array([0, 0, 1, 1, 2, 2]))
    assert isinstance(found, Figure)
    assert found.value == pytest.approx((1 + 1 + 0.5) / 3)
    assert found.low is not None
    assert found.low < found.value


def test_distances_of_unit_vectors() -> None:
    vectors = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    cosine, euclidean = verification.distances(vectors, [(0, 0), (0, 1), (0, 2)])
    np.testing.assert_allclose(cosine, [0, 1, 2])
    np.testing.assert_allclose(euclidean, [0, np.sqrt(2), 2])


def test_wider_face_in_its_makers_layout(tmp_path: Path) -> None:
    face = [178, 63, 90, 113]
    counted = {level: [[[1], []]] for level in ("easy", "medium", "hard")}
    data = wider(tmp_path / "WIDER", {"0--Space": {"astronaut": [face], "nobody": []}}, counted)
    for name, picture in (("astronaut", astronaut()), ("nobody", astronaut()[300:, 300:])):
        path = data / "WIDER_val" / "images" / "0--Space" / f"{name}.jpg"
        path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    report = measure(
        tmp_path / "out", "widerface", "--data", data, "--network", "yunet", "--size", "320x320", "--size", "640x640"
    )
    assert report.sets == ("WIDER FACE validation part, 2 images",)
    assert report.layouts == ("wider-mat",)
    for size in ("320x320", "640x640"):
        assert figure(report, "AP hard", size=size).value == pytest.approx(1, abs=2e-3)
    assert report.tables["easy, 320x320"]["recall"][-1] == 1


def test_speed_in_the_published_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = measure(tmp_path / "out", "speed", "--network", bundles.GENDER, "--runs", "1", "--threads", "1")
    assert {row.set for row in report.figures} == {"astronaut at 1920x1080", "astronaut at 1280x720"}
    assert all(row.value > 0 for row in report.figures)
    said = capsys.readouterr().out
    assert "| Network, 1920x1080 | CPU | CPU time |" in said
    assert re.search(rf"\| {bundles.GENDER} \(\w+\) \| \d", said)


def test_where_the_time_of_a_picture_goes() -> None:
    def timing(row: str, ms: float, *, used: bool) -> speed.Timing:
        return speed.Timing(row=row, precision="fp32", ms=ms, ms_p95=ms, cpu_ms=ms, used=used)

    rows = [timing("detector", 20, used=True), timing("same, larger", 90, used=False), timing("age", 5, used=True)]
    told = speed.outside([*rows, timing("one picture", 40, used=False)])
    assert told == {
        "networks ms": 25.0,
        "one picture ms": 40.0,
        "outside ms": 15.0,
        "share outside": 0.375,
        "pictures a second": 25.0,
    }
    assert speed.outside(rows) == {}


@pytest.mark.parametrize("size_wh", speed.SIZES)
def test_one_person_fills_the_height_of_the_timed_picture(size_wh: tuple[int, int]) -> None:
    picture = speed.scene(size_wh)
    assert (picture.shape[1], picture.shape[0]) == size_wh
    assert len(bundles.networks().detect(picture, min_score=0.7)) == 1


def test_a_network_with_a_memory_sees_each_still_for_its_whole_window(tmp_path: Path) -> None:
    """The made network counts looks: after its window of 20 all its ranks are passed, 20 + 12 years."""
    folder = bundles.add_made(bundles.copy(tmp_path), "step")
    subject = open_subject(str(folder), "age", network="step")
    outputs = subject.run(np.zeros((3, 8, 8, 1), np.uint8))
    np.testing.assert_allclose(outputs["counted"], [[20], [20], [20]])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["affect"], "has no network for affect; give another with --bundle", id="no such task"),
        pytest.param(
            ["age", "--network", bundles.EXPRESSION],
            f"there is no network '{bundles.EXPRESSION}' for age; choose one of: {bundles.AGE}",
            id="task",
        ),
        pytest.param(["age", "--precision", "int3"], f"network {bundles.AGE} has no int3 for onnx", id="precision"),
        pytest.param(["age", "--bundle", "nowhere"], "bundle 'nowhere' is in none of", id="bundle"),
        pytest.param(["age", "--detector", "yolo"], "has no network 'yolo'", id="detector"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    face_sets.utkface(tmp_path, {"25_1_0_20170119172106986.jpg": 200})
    face_sets.affect(tmp_path, [("1.png", 0, 0)])
    assert main(["evaluate", *arguments, "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_an_untrained_network_is_measured_on_demand_and_said_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = bundles.add_made(bundles.copy(tmp_path / "made"), "answers", random_weights=True)
    data = face_sets.affect(tmp_path / "faces", [("1.png", 0.5, 0), ("2.png", 0, 0.5)])
    asked: list[str | Path] = ["affect", "--data", data, "--bundle", folder, "--network", "answers"]
    assert main(["evaluate", *map(str, asked)]) == 2
    assert "random weights" in capsys.readouterr().err
    report = measure(tmp_path / "out", *asked, "--allow-random")
    assert any("never trained" in note for note in report.notes)


@pytest.mark.parametrize(
    ("protocol", "teaches"),
    [
        pytest.param("widerface", ["WIDER_val", "wider_easy_val.mat", "--size"], id="widerface"),
        pytest.param("expression", ["fer2013.csv", "fer2013new.csv", "200-fold", "end-to-end"], id="expression"),
        pytest.param("age", ["CS(T)", "[age]_[gender]_[race]_[date].jpg", "21-40"], id="age"),
        pytest.param("gender", ["fairface_label_val.csv", "race"], id="gender"),
        pytest.param("affect", ["71x71", "path, valence, arousal"], id="affect"),
        pytest.param("verification", ["pairs.txt", "threshold"], id="verification"),
        pytest.param("speed", ["1920x1080", "--threads"], id="speed"),
    ],
)
def test_help_teaches(protocol: str, teaches: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", protocol, "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (*teaches, "Example: python -m converters evaluate"):
        assert words in text


def test_the_page_on_measuring_names_commands_and_layouts_that_exist() -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    lines = re.findall(r"^python -m converters (evaluate .*)$", page, flags=re.MULTILINE)
    parser = argparse.ArgumentParser()
    evaluate.register(parser.add_subparsers())
    named = {parser.parse_args(line.split()).run.__module__.rpartition(".")[2] for line in lines}
    known = {"wider", "expression", "age", "gender", "affect", "verification", "speed"}
    assert known <= named <= set(evaluate.PROTOCOLS)
    layouts = {name for of_set in LAYOUTS.values() for name in of_set} | {"wider-mat", "lfw-pairs", "people"}
    assert layouts <= set(re.findall(r"`([a-z0-9-]+)`", page))
