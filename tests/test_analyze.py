"""`analyze`: the documented numbers, sane ones on a real face, and nothing lost when something goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from astronaut import astronaut, write_film, write_picture
from bundles import AGE, DEFAULT, EXPRESSION, GENDER

from edgeface.bundle import open_bundle
from edgeface.cli.main import main

ROOT = Path(__file__).parents[1]
FACE = {"box", "score", "landmarks", "age", "gender", "expression", "known", "quality", "pose"}
EXPRESSIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("EDGEFACE")]:
        monkeypatch.delenv(name)


@pytest.fixture
def analyze(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[dict[str, Any]], str]]:
    """Run the command; exit code, the objects on standard output, and what stands on standard error."""

    def run(*words: object) -> tuple[int, list[dict[str, Any]], str]:
        code = main(["analyze", *(str(word) for word in words)])
        out, errors = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], errors

    return run


def picture_in(path: Path) -> np.ndarray:
    """Read a drawn file as it is stored."""
    picture: np.ndarray | None = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "she.mp4", seconds=2.0)


def test_the_astronaut(analyze: Callable[..., Any], tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "she.png")
    code, (line,), errors = analyze("--json", picture)
    assert (code, errors) == (0, "")
    assert list(line) == ["path", "frame", "width", "height", "faces"]
    assert (line["path"], line["frame"], line["width"], line["height"]) == (str(picture), 0, 512, 512)
    (face,) = line["faces"]
    assert set(face) == FACE
    assert 0.6 <= face["score"] <= 1
    x1, y1, x2, y2 = face["box"]
    assert (x1, y1, x2, y2) == pytest.approx((178, 63, 268, 176), abs=12)
    eye, other_eye, nose, mouth, other_mouth = face["landmarks"]
    assert all(x1 < x < x2 and y1 < y < y2 for x, y in face["landmarks"])
    assert eye[0] < nose[0] < other_eye[0]
    assert mouth[0] < other_mouth[0]
    assert max(eye[1], other_eye[1]) < nose[1] < min(mouth[1], other_mouth[1])
    assert list(face["age"]) == ["years", "low", "high"]
    # Eileen Collins was 37 or younger when the picture was taken; the card states the network's error.
    assert face["age"]["years"] == pytest.approx(30, abs=12)
    assert face["age"]["low"] <= face["age"]["years"] <= face["age"]["high"]
    assert list(face["gender"]) == ["label", "probability"]
    assert face["gender"]["label"] == "female"
    assert 0.5 <= face["gender"]["probability"] <= 1
    assert list(face["expression"]) == ["label", "probabilities"]
    assert face["expression"]["label"] == "happy"
    assert list(face["expression"]["probabilities"]) == EXPRESSIONS
    assert sum(face["expression"]["probabilities"].values()) == pytest.approx(1, abs=0.01)
    assert face["known"] == {"age": True, "gender": True, "expression": True}
    assert list(face["quality"]) == ["size_px", "blur", "yaw", "light", "cut_off", "score"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["she.png"]


@pytest.mark.parametrize(
    ("picture", "faces"),
    [
        pytest.param(lambda: cv2.cvtColor(astronaut(), cv2.COLOR_BGR2GRAY), 1, id="grey"),
        pytest.param(lambda: cv2.cvtColor(astronaut(), cv2.COLOR_BGR2BGRA), 1, id="with transparency"),
        pytest.param(lambda: astronaut().astype(np.uint16) * 257, 1, id="16 bits"),
        pytest.param(lambda: np.zeros((1, 1, 3), np.uint8), 0, id="one pixel"),
        pytest.param(lambda: np.full((2, 700, 3), 130, np.uint8), 0, id="a line"),
        pytest.param(lambda: np.full((300, 400, 3), 130, np.uint8), 0, id="nobody"),
        pytest.param(lambda: np.tile(cv2.resize(astronaut(), (256, 256)), (1, 2, 1)), 2, id="two"),
    ],
)
def test_pictures_of_all_kinds(
    analyze: Callable[..., Any], tmp_path: Path, picture: Callable[[], Any], faces: int
) -> None:
    assert cv2.imwrite(str(tmp_path / "x.png"), picture())
    code, (line,), _ = analyze("--json", tmp_path / "x.png")
    assert code == 0
    assert len(line["faces"]) == faces
    assert all(face["gender"]["label"] == "female" for face in line["faces"])


def test_a_lower_score_finds_more(analyze: Callable[..., Any], tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "she.png")
    _, (usual,), _ = analyze("--json", picture)
    _, (more,), _ = analyze("--json", "--score", "0.02", picture)
    assert len(more["faces"]) > len(usual["faces"])
    assert min(face["score"] for face in more["faces"]) < 0.3
    assert more["faces"][0] == usual["faces"][0]


def test_what_lies_beside(analyze: Callable[..., Any], tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "she.png")
    code, lines, errors = analyze(picture, "--crops")
    assert (code, lines) == (0, [])
    assert errors == "edgeface: results are in edgeface-out\n"
    out = tmp_path / "edgeface-out"
    names = {path.name for path in out.iterdir()}
    assert names == {"she.png.json", "she.png.txt", "she.png.faces.jpg"} | {
        f"she.png.face1.{network}.png" for network in (AGE, GENDER, EXPRESSION)
    }
    assert json.loads((out / "she.png.json").read_text())["faces"][0]["gender"]["label"] == "female"
    text = (out / "she.png.txt").read_text().splitlines()
    assert text[0] == f"{picture}: 1 face"
    assert text[1].startswith("face 1: box 1")
    assert " years (" in text[1]
    assert "female" in text[1]
    drawn = picture_in(out / "she.png.faces.jpg").astype(int)
    changed = np.abs(drawn - astronaut()).max(axis=2) > 60
    rows, columns = np.nonzero(changed)
    assert 0.002 < changed.mean() < 0.2
    assert 60 <= rows.min() < 70
    assert 165 <= columns.min() < 185
    assert not changed[:50].any()
    shipped = open_bundle(DEFAULT)
    crop, side = picture_in(out / f"she.png.face1.{AGE}.png"), shipped.network(AGE).input.width or 0
    assert crop.shape == (side, side, 3)
    # A face is redder than it is blue: the crop is stored in a viewer's order.
    middle = crop[side // 4 : -side // 4, side // 4 : -side // 4]
    assert middle[..., 2].mean() > middle[..., 0].mean() + 20
    grey, small = picture_in(out / f"she.png.face1.{EXPRESSION}.png"), shipped.network(EXPRESSION).input.width
    assert grey.shape[:2] == (small, small)
    assert not list(out.glob(".edgeface-*"))


def test_json_and_files_where_both_are_wanted(analyze: Callable[..., Any], tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "she.png")
    code, (line,), _ = analyze("--json", "--out", tmp_path / "own", picture)
    assert code == 0
    assert json.loads((tmp_path / "own" / "she.png.json").read_text()) == line


def test_files_of_one_name_do_not_overwrite_each_other(analyze: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = write_picture(tmp_path / "a" / "x.png"), tmp_path / "b" / "x.png"
    assert cv2.imwrite(str(second), np.zeros((40, 40, 3), np.uint8))
    code, _, errors = analyze(first, second)
    assert code == 0
    assert "2 of 2 files analysed, 0 bad" in errors
    out = tmp_path / "edgeface-out"
    paths = [json.loads((out / name).read_text())["path"] for name in ("x.png.json", "x-2.png.json")]
    assert paths == [str(first), str(second)]


def test_a_folder_with_a_bad_file(analyze: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    whole = write_picture(folder / "picture 1.png")
    (folder / "picture 2.png").write_bytes(whole.read_bytes()[:5000])
    (folder / "picture 3.jpg").write_text("no picture")
    write_picture(folder / "picture 10.png")
    (folder / "notes.txt").write_text("not even by name")
    code, lines, errors = analyze("--json", folder)
    assert code == 1
    assert [Path(line["path"]).name for line in lines] == ["picture 1.png", "picture 10.png"]
    assert all(len(line["faces"]) == 1 for line in lines)
    told = errors.splitlines()
    assert told[-1] == "edgeface: 2 of 4 files analysed, 2 bad"
    assert [line.split(": ", 1)[0] for line in told] == ["edgeface"] * 3
    assert "picture 2.png" in told[0]
    assert "picture 3.jpg" in told[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["gone.jpg"], "edgeface: gone.jpg does not exist; check the path", id="missing"),
        pytest.param(
            ["."],
            "edgeface: . holds no pictures or videos; give a folder with pictures or videos, or a file",
            id="empty folder",
        ),
        pytest.param(["--set", "detector.size=1x1", "."], "edgeface: configuration: detector.size: ", id="size"),
        pytest.param(["--bundle", "./none", "."], "edgeface: there is no bundle folder ./none; ", id="bundle"),
        pytest.param(["--config", "none.toml", "."], "edgeface: none.toml does not exist; ", id="configuration"),
    ],
)
def test_usage(analyze: Callable[..., Any], words: list[str], said: str) -> None:
    code, lines, errors = analyze(*words)
    assert (code, lines) == (2, [])
    assert errors.startswith(said)
    assert errors.count("\n") == 1


def test_results_in_the_folder_of_their_pictures_are_not_analysed(
    analyze: Callable[..., Any], tmp_path: Path, film: Path
) -> None:
    pictures, more = tmp_path / "pics", tmp_path / "more"
    sources = []
    for folder in (pictures, more):
        folder.mkdir()
        sources.append(write_picture(folder / "she.png"))
    sources.insert(1, pictures / film.name)
    shutil.copy(film, pictures)
    words = ("--out", pictures, "--crops", pictures, more)
    for _ in range(2):
        code, _, errors = analyze(*words)
        assert (code, errors.splitlines()[-2]) == (0, "edgeface: 3 of 3 files analysed, 0 bad")
    mine = write_picture(pictures / "our.faces.jpg")
    _, lines, _ = analyze("--json", pictures)
    assert {line["path"] for line in lines} == {str(path) for path in (mine, *sources[:2])}


@pytest.mark.parametrize("score", ["0", "1.5", "-1", "nan", "high"])
def test_a_score_that_is_none(score: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["analyze", f"--score={score}", "x.png"])
    assert caught.value.code == 2
    assert f"{score} is not between 0 and 1" in capsys.readouterr().err


def test_a_video(analyze: Callable[..., Any], film: Path, tmp_path: Path) -> None:
    code, lines, _ = analyze("--json", "--out", tmp_path / "own", film)
    assert code == 0
    *frames, closing = lines
    assert [line["frame"] for line in frames] == list(range(20))
    faces = [face for line in frames for face in line["faces"]]
    assert len(faces) == 20
    assert all(set(face) == FACE | {"track", "visit"} for face in faces)
    assert {(face["track"], face["visit"]) for face in faces} == {(1, "1")}
    assert faces[0]["age"] is faces[0]["gender"] is faces[0]["expression"] is None
    assert faces[0]["known"] == {"age": False, "gender": False, "expression": False}
    assert faces[-1]["known"] == {"age": True, "gender": True, "expression": True}
    assert set(closing) == {"path", "visits"}
    (visit,) = closing["visits"]
    fields = ["track", "visit", "started", "ended", "seconds", "age", "gender", "expression", "attention"]
    assert list(visit) == fields
    assert visit["attention"]["glances"] == 1
    assert (visit["track"], visit["started"], visit["ended"]) == (1, 0.0, pytest.approx(1.9))
    assert visit["gender"]["label"] == "female"
    assert visit["age"]["years"] == pytest.approx(30, abs=12)
    assert visit["age"]["samples"] >= 3
    assert sum(visit["expression"]["shares"].values()) == pytest.approx(1, abs=0.01)
    own = tmp_path / "own"
    assert {path.name for path in own.iterdir()} == {f"she.mp4{end}" for end in (".json", ".txt", ".faces.mp4")}
    assert [json.loads(line) for line in (own / "she.mp4.json").read_text().splitlines()] == lines
    text = (own / "she.mp4.txt").read_text().splitlines()
    assert text[0].endswith("she.mp4: 1 visit")
    assert text[1].startswith("person 1: 0.0 s to 1.9 s, about ")
    capture = cv2.VideoCapture(str(own / "she.mp4.faces.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 20
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)


def test_a_video_is_searched_as_often_as_a_camera(analyze: Callable[..., Any], film: Path) -> None:
    code, (*frames, closing), _ = analyze("--json", "--set", "detector.interval=0.5", film)
    assert code == 0
    searched = [line["frame"] for line in frames if line.get("searched", True)]
    assert searched == [0, 5, 10, 15]
    assert [line["frame"] for line in frames if line["faces"]] == searched
    (visit,) = closing["visits"]
    assert (visit["started"], visit["ended"]) == (0.0, 1.5)


def test_the_same_video_gives_the_same_numbers(analyze: Callable[..., Any], film: Path) -> None:
    assert analyze("--json", film) == analyze("--json", film)


def test_a_video_that_ends_too_early_keeps_its_frames_and_visits(
    analyze: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, film: Path
) -> None:
    from edgeface.errors import SourceError  # noqa: PLC0415
    from edgeface.sources.video import VideoFile  # noqa: PLC0415

    whole = VideoFile.frames

    def half(self: VideoFile) -> Iterator[Any]:
        for frame in whole(self):
            if frame.index == 12:
                raise SourceError("ends after 1.2 of 2.0 s", fix="copy it again")
            yield frame

    monkeypatch.setattr(VideoFile, "frames", half)
    code, lines, errors = analyze("--json", film)
    assert code == 1
    assert len(lines) == 13
    (visit,) = lines[-1]["visits"]
    assert visit["ended"] == pytest.approx(1.1)
    assert "edgeface: ends after 1.2 of 2.0 s; copy it again" in errors


def test_a_file_name_that_is_no_text(analyze: Callable[..., Any], tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe \xc3\xbc.png")
    picture = write_picture(tmp_path / "x.png")
    picture.rename(path)
    code, (line,), _ = analyze("--json", path)
    assert (code, line["path"]) == (0, path)
    code, _, _ = analyze(path)
    assert code == 0


def test_a_folder_for_results_that_cannot_be_made(analyze: Callable[..., Any], film: Path, tmp_path: Path) -> None:
    (tmp_path / "own").write_text("a file")
    for source in (write_picture(tmp_path / "she.png"), film):
        code, _, errors = analyze("--out", tmp_path / "own" / "deeper", source)
        assert code == 1
        assert "cannot be made" in errors
        assert "Traceback" not in errors


def test_ctrl_c_keeps_what_is_done(tmp_path: Path) -> None:
    film = write_film(tmp_path / "long.mp4", seconds=60)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("EDGEFACE")}
    child = subprocess.Popen(
        [sys.executable, "-m", "edgeface", "analyze", "--json", "--out", str(tmp_path / "own"), str(film)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    assert child.stdout is not None
    seen = [json.loads(child.stdout.readline()) for _ in range(15)]
    child.send_signal(signal.SIGINT)
    rest, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in errors
    lines = seen + [json.loads(line) for line in rest.splitlines()]
    assert len(lines) < 600
    *frames, closing = lines
    assert [line["frame"] for line in frames] == list(range(len(frames)))
    assert closing["visits"][0]["started"] == 0.0
    assert closing["visits"][0]["ended"] == pytest.approx((len(frames) - 1) / 10, abs=0.15)
    kept = (tmp_path / "own" / "long.mp4.json").read_text().splitlines()
    assert abs(len(kept) - len(lines)) <= 1
    assert json.loads(kept[-1]) == closing


def test_as_a_camera_sees_it(analyze: Callable[..., Any], film: Path, tmp_path: Path) -> None:
    config = tmp_path / "edgeface.toml"
    config.write_text(
        "[cameras.door]\nmirror = true\n"
        '[[cameras.door.lines]]\nname = "entry"\nfrom = [0.5, 1.0]\nto = [0.5, 0.0]\n'
        '[[cameras.door.zones]]\nname = "all"\nshape = [0.0, 0.0, 1.0, 1.0]\n'
    )
    words = ("--json", "--config", config, "--camera", "door")
    code, lines, _ = analyze(*words, "--out", tmp_path / "own", film)
    assert code == 0
    (visit,) = lines[-1]["visits"]
    assert visit["lines"] == {"entry": {"in": 0, "out": 0}}
    assert visit["zones"]["all"] == pytest.approx(visit["seconds"])
    assert f"in all {visit['zones']['all']:.1f} s" in (tmp_path / "own" / "she.mp4.txt").read_text()
    picture = write_picture(tmp_path / "she.png")
    (mirrored,) = analyze(*words, "--out", tmp_path / "drawn", picture)[1]
    (straight,) = analyze("--json", picture)[1]
    right = straight["faces"][0]["box"][2]
    assert mirrored["faces"][0]["box"][0] == pytest.approx(512 - right, abs=12)
    drawn = cv2.imread(str(tmp_path / "drawn" / "she.png.faces.jpg"))
    assert drawn is not None
    assert (drawn[60:440, 255:257] > 240).all(axis=2).mean() > 0.5, "the line stands in the middle"
    code, _, errors = analyze("--json", "--camera", "desk", picture)
    assert (code, "there is no camera desk" in errors) == (2, True)
