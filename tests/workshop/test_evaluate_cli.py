"""``python -m converters evaluate``: what it teaches, refuses, and writes."""

from __future__ import annotations

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from astronaut import astronaut
from bundles import AGE, EXPRESSION

from converters.__main__ import main
from converters.bundles.remeasure import remeasure
from converters.datasets import labelled as data_module
from converters.datasets.labelled import Sheets
from converters.evaluation import bundle_figures as cli
from converters.measurements import measured
from converters.paths import BUNDLE
from edgeface.bundle import BoxCrop, Measured, SquareCrop, open_bundle

FACE_XYWH = (178, 63, 90, 113)
"""The astronaut's face in her 512 x 512 picture."""
QUICK = ["--network", "yunet", "--runtime", "onnx", "--precision", "fp32", "--bundle", str(BUNDLE)]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the figures go in place of the committed ones."""
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr(measured, "RESULTS", folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A WIDER FACE of two photographs: one with the astronaut, one with nobody."""
    root = tmp_path / "data" / "widerface"
    (root / "images" / "space").mkdir(parents=True)
    (root / "images.txt").write_text("space/astronaut\nspace/nobody\n")
    x, y, w, h = FACE_XYWH
    (root / "boxes.csv").write_text(f"event,image,x,y,w,h,easy,medium,hard\nspace,astronaut,{x},{y},{w},{h},1,1,1\n")
    # The decoder goes by what a file holds, not by its name.
    for name, picture in (("astronaut", astronaut()), ("nobody", astronaut()[300:, 300:])):
        (root / "images" / "space" / f"{name}.avif").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return root.parent


@pytest.mark.parametrize(
    ("command", "teaches"),
    [
        pytest.param(["evaluate"], ["detectors", "attributes", "boxes", "EDGEFACE_DATA"], id="evaluate"),
        pytest.param(
            ["evaluate", "detectors"],
            ["WIDER FACE", "--network", "--size", "WxH", "--limit", "nothing is written", "--data"],
            id="detectors",
        ),
        pytest.param(["evaluate", "attributes"], ["age, gender and expression", "--detector"], id="attributes"),
        pytest.param(["evaluate", "boxes"], ["box_to_reference", "--limit"], id="boxes"),
        pytest.param(["card"], ["models/README.md", "docs/cards", "converters/measurements"], id="card"),
    ],
)
def test_help_teaches(command: list[str], teaches: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in teaches:
        assert words in text


@pytest.mark.parametrize("protocol", ["detectors", "attributes", "boxes"])
def test_no_data_is_one_line_and_exit_2(
    protocol: str, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere"
    assert main(["evaluate", protocol, "--data", str(nowhere), "--bundle", str(BUNDLE)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (f"edgeface: there is no labelled data at {nowhere}; set EDGEFACE_DATA or give --data DIR\n")
    assert list(results.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(
            ["--network", "yolo9000"], "there is no network 'yolo9000' for this; choose one of: ", id="network"
        ),
        pytest.param(["--network", AGE], f"there is no network '{AGE}' for this; choose one of: ", id="of a task"),
        pytest.param(
            ["--precision", "int3"], "no file of the bundle is of this runtime and precision; ", id="precision"
        ),
    ],
)
def test_a_choice_that_measures_nothing_is_one_line_and_exit_2(
    arguments: list[str], says: str, results: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "detectors", *arguments, "--data", str(data), "--bundle", str(BUNDLE)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"edgeface: {says}")
    assert said.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--limit", "0"], ["--limit", "-3"], ["--size", "large"], ["--size", "0x320"]])
def test_values_out_of_range_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "detectors", *arguments])
    assert stop.value.code == 2
    assert f"argument {arguments[0]}: expected" in capsys.readouterr().err


def test_limit_measures_and_writes_nothing(results: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "detectors", *QUICK, "--size", "320x320", "--limit", "1", "--data", str(data)]) == 0
    assert "yunet onnx fp32 320x320: 1.000 / 1.000 / 1.000" in capsys.readouterr().out
    assert list(results.iterdir()) == []


def test_figures_are_written_with_size_count_and_command(results: Path, data: Path) -> None:
    assert main(["evaluate", "detectors", *QUICK, "--size", "320x320", "--data", str(data)]) == 0
    rows = read(results / "yunet.json")
    assert {row.metric for row in rows} == {"AP easy", "AP medium", "AP hard"}
    for row in rows:
        assert (row.value, row.count, row.size, row.runtime, row.precision) == (1.0, 1, "320x320", "onnx", "fp32")
        assert row.command == "python -m converters evaluate detectors --network yunet --bundle default"


def test_what_was_measured_again_replaces_its_row_and_no_other(results: Path, data: Path) -> None:
    other = Measured(metric="AP easy", value=0.5, set=cli.WIDER, count=580, size="640x640")
    stale = Measured(metric="AP easy", value=0.4, set=cli.WIDER, count=580, size="320x320")
    (results / "yunet.json").write_bytes(msgspec.json.encode([stale, other]))
    assert main(["evaluate", "detectors", *QUICK, "--size", "320x320", "--data", str(data)]) == 0
    rows = {(row.metric, row.size): row for row in read(results / "yunet.json")}
    assert len(rows) == len(read(results / "yunet.json")) == 4
    assert rows["AP easy", "640x640"] == other
    assert rows["AP easy", "320x320"].value == 1.0


def read(path: Path) -> list[Measured]:
    return msgspec.json.decode(path.read_bytes(), type=list[Measured])


def test_a_network_cut_by_boxes_is_measured_beside_the_bundles_own_detector(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Astronauts for faces: one of every two tiles of a sheet is her face."""
    monkeypatch.setitem(data_module.SETS, "fer2013", Sheets(side=48, columns=2, per=4))
    for name in ("utkface", "fairface"):
        monkeypatch.setitem(data_module.SETS, name, Sheets(side=128, columns=2, per=4))
    face = astronaut()[40:200, 150:310]
    for name, part, labels in (
        ("fer2013", "publictest", "emotion\npublictest,0,happy\npublictest,1,happy\n"),
        ("utkface", "val", "age,gender,race\nval,0,40,F,White\nval,1,40,F,White\n"),
        ("fairface", "val", "age,gender,race\nval,0,40-49,F,White\nval,1,40-49,F,White\n"),
    ):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        (folder / "labels.csv").write_text(f"part,i,{labels}")
        side = data_module.SETS[name].side
        tile = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"{part}_000.png"), np.vstack([np.hstack([tile, tile])] * 2))
    monkeypatch.setenv(data_module.ENVIRONMENT, str(tmp_path / "data"))
    networks = open_bundle(BUNDLE).manifest.networks
    by_boxes = [network.name for network in networks if isinstance(network.input.crop, BoxCrop | SquareCrop)]
    assert EXPRESSION in by_boxes
    assert remeasure(BUNDLE, limit=1) == by_boxes
    assert list(results.iterdir()) == []
    remeasure(BUNDLE)
    assert sorted(path.stem for path in results.iterdir()) == sorted(by_boxes)
    rows = [row for row in read(results / f"{EXPRESSION}.json") if row.group == "all" and row.detector == "yunet"]
    assert {("found", 2), ("accuracy", 2)} <= {(row.metric, row.count) for row in rows}
