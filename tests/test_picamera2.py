"""A Pi's camera behind picamera2: the product's own child on a stand-in for the library, with both its traps."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picamera2_cases import EXPECTED
from raw_pictures import planes, ramp
from scenes_live import alive, put_program, wait_until

from edgeface.cli.main import main
from edgeface.config import Camera, Limits, load_config
from edgeface.diagnosis import camera as doctor
from edgeface.errors import ConfigError, SourceError
from edgeface.sources import Source, open_source, picamera2_child, picamera2_pipe, recipe_of
from edgeface.sources.child import Child
from edgeface.sources.live import LiveSource
from edgeface.sources.picamera2_pipe import PYTHON, SMALL_SIDE, picamera2, small_size
from edgeface.types import Frame, Image

TESTS = Path(__file__).parent
PRETENDED = TESTS / "pretend_picamera2"
W, H = 768, 432
SMALL = (640, 360)
PROGRAM = """
import os, runpy, sys
assert sys.argv[1:3] == ["-I", "-B"]
with open(os.environ["STANDIN_PID"], "a") as file:
    file.write(f"{{os.getpid()}}\\n")
sys.path[:0] = {path!r}
sys.argv = sys.argv[3:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

Play = Callable[..., Source]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """A source whose system's Python has the pretended picamera2."""
    monkeypatch.setenv("STANDIN_PID", str(tmp_path / "pid"))
    use(tmp_path, monkeypatch, str(PRETENDED))

    def start(camera: dict[str, Any] | None = None, **settings: Any) -> Source:
        for name, picture in (("main", settings.get("main")), ("lores", settings.get("lores"))):
            if picture is not None:
                (tmp_path / name).write_bytes(picture)
                settings[name] = str(tmp_path / name)
        monkeypatch.setenv("PRETEND_PICAMERA2", json.dumps(settings))
        usual: dict[str, Any] = {"source": "picamera2", "width": W, "height": H, "fps": 50.0}
        given = Camera(**usual | {"open_timeout": 8.0, "read_timeout": 8.0} | (camera or {}))
        return open_source("door", given, limits=Limits(), started_at=datetime.now(timezone.utc))

    return start


def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *path: str) -> None:
    program = put_program(tmp_path / "bin", "python3", PROGRAM.format(path=list(path)))
    monkeypatch.setattr(picamera2_pipe, "PYTHON", str(program))


def first(source: Source, count: int = 1) -> list[Frame]:
    frames = source.frames()
    try:
        return [next(frames) for _ in range(count)]
    finally:
        source.close()


def fails(source: Source) -> str:
    with pytest.raises(SourceError) as caught:
        for _ in source.frames():
            pass
    return str(caught.value)


def pids(tmp_path: Path) -> list[int]:
    return [int(line) for line in (tmp_path / "pid").read_text().split()]


def off(seen: Image | None, wanted: Image) -> np.ndarray:
    """How far pixels are from what they were, but for the seam between the corner and the ramp, which share colours."""
    assert seen is not None and seen.shape == wanted.shape
    height, width = wanted.shape[:2]
    difference: np.ndarray = np.abs(seen.astype(int) - wanted)
    difference[height // 4 - 2 : height // 4 + 2] = difference[:, width // 4 - 2 : width // 4 + 2] = 0
    # The stand-in, as a sensor, gives no picture twice: its first pixel counts.
    difference[:2, :2] = 0
    return difference


@pytest.mark.parametrize("range_", ["limited", "full"])
@pytest.mark.parametrize("padding", [0, 64])
@pytest.mark.parametrize("format_", ["YUV420", "NV12"])
def test_both_pictures_are_what_they_were(play: Play, format_: str, padding: int, range_: str) -> None:
    def raw(picture: np.ndarray) -> bytes:
        stride = picture.shape[1] + padding
        return planes(picture, stride=stride, full=range_ == "full", interleaved=format_ == "NV12")

    main_, small = ramp(W, H), ramp(*SMALL)[:, ::-1].copy()
    source = play(main=raw(main_), lores=raw(small), format=format_, padding=padding, range=range_)
    assert source.live
    (frame,) = first(source)
    assert off(frame.image, main_).max() <= 3
    assert frame.small is not None
    assert off(frame.small[:, ::-1], ramp(*SMALL)).max() <= 3


def test_the_system_s_python_is_started_alone() -> None:
    recipe = picamera2(Camera(source="picamera2", width=1920, height=1080, fps=10, read_timeout=5))
    assert recipe.programs == (PYTHON,) == ("/usr/bin/python3",)
    words = recipe.arguments(7)
    assert words[:2] == ["-I", "-B"]
    assert words[3:] == ["--fd", "7", "--main", "1920x1080", "--fps", "10", "--wait", "4", "--lores", "640x360"]


def test_the_child_needs_nothing_of_ours() -> None:
    """It runs where only the standard library is: also with the oldest Python that has picamera2."""
    source = Path(picamera2_child.__file__).read_text()
    assert "edgeface." not in "".join(line for line in source.splitlines() if "import" in line)
    done = subprocess.run(
        [sys.executable, "-ISB", picamera2_child.__file__, "--help"], capture_output=True, text=True, check=True
    )
    assert "--lores" in done.stdout
    ast.parse(source, feature_version=(3, 9))


def test_a_small_picture_comes_alone(play: Play) -> None:
    (frame,) = first(play({"width": 320, "height": 240}))
    assert frame.image.shape == (240, 320, 3)
    assert frame.small is None


def test_turned_and_painted_over_alike(play: Play) -> None:
    grey = np.full((H, W, 3), 200, np.uint8)
    masks = {"masks": ((0.0, 0.0, 0.5, 0.25),), "rotate": 90}
    source = play(masks, main=planes(grey, full=False), lores=planes(grey[: SMALL[1], : SMALL[0]], full=False))
    (frame,) = first(source)
    assert frame.small is not None
    for picture in (frame.image, frame.small):
        height, width = picture.shape[:2]
        assert height > width
        assert not picture[: height // 4, : width // 2].any()
        assert picture[height // 4 :, width // 2 :].min() > 150
    assert frame.painted == pytest.approx(1 / 8, abs=0.01)


TIMED_OUT = "[0:1] [9] ERROR RPI pipeline_base.cpp:1346 Camera frontend has timed out!"


def test_a_front_end_that_falls_silent(play: Play, tmp_path: Path) -> None:
    """The trap of the lost wait is not met: a wait that timed out is the last."""
    said = fails(play({"read_timeout": 0.5}, silent_after=3, say=TIMED_OUT))
    complaint = "the camera gave no picture for 0.4 s (libcamera: Camera frontend has timed out!)"
    assert said == f"picamera2 768x432 at 50 fps: {complaint}; check the ribbon cable at both ends"
    wait_until(lambda: not alive(pids(tmp_path)[0]))


def test_a_stop_that_never_returns_holds_up_nobody(play: Play, tmp_path: Path) -> None:
    """A kernel that never ends the stream: the child says why, tries for a while, and is killed."""
    started_s = time.monotonic()
    said = fails(play({"read_timeout": 0.5}, silent_after=3, stuck=True))
    assert "gave no picture for 0.4 s; check the ribbon cable" in said
    assert time.monotonic() - started_s < 6
    wait_until(lambda: not alive(pids(tmp_path)[0]))


@pytest.mark.parametrize("where", ["import", "open"])
def test_what_hangs_before_the_first_picture_is_killed(play: Play, tmp_path: Path, where: str) -> None:
    said = fails(play({"open_timeout": 2.5}, **{where: "hangs"}))
    assert "gave no frame for 2.5 s; it is opened again" in said
    wait_until(lambda: not alive(pids(tmp_path)[0]))


def test_a_sudden_end_is_told(play: Play) -> None:
    assert "picamera2 768x432 at 50 fps: " in (said := fails(play(die_after=3)))
    assert "python3 ended with 255; it is opened again" in said, "what was said at its start does not explain its end"


def test_closing_ends_the_child_by_its_own_way(play: Play, tmp_path: Path) -> None:
    source = play()
    assert isinstance(source, LiveSource) and isinstance(source.device, Child)
    first(source, 3)
    process = source.device._child
    assert process is not None and process.returncode == 0, "killed, before it could close the camera"
    assert not alive(pids(tmp_path)[0])


def test_nothing_is_left_open(play: Play) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        first(play())
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cameras": []}, "libcamera finds no camera; check the ribbon cable, and camera_auto_detect=1 in /boot/"),
        (
            {"cameras": [{"Model": "HD Webcam", "Id": "/base/scb/usb@1/1-1.2", "Num": 0}]},
            "picamera2 finds only USB cameras; set source to a number, see `edgeface cameras`",
        ),
        ({"open": "busy"}, "another program has the camera; end it: rpicam-hello, motion, another service"),
        (
            {"configure": "memory"},
            "there is no memory for pictures of 768x432; set a smaller width and height, or dtov",
        ),
        ({"format": "YUYV"}, "pictures come as YUYV, not YUV420; for a camera on USB set source to its number"),
        (
            {"import": "numpy"},
            "numpy.dtype size changed, may indicate binary incompatibility. Expected 96, got 88; sudo",
        ),
        (
            {"import": "binary"},
            "No module named 'libcamera._libcamera'; sudo apt install python3-picamera2 (Raspberry Pi OS), and",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_fix(play: Play, settings: dict[str, Any], words: str, tmp_path: Path) -> None:
    said = fails(play(**settings))
    assert said.startswith("picamera2 768x432 at 50 fps: ")
    assert words in said
    assert "\n" not in said
    wait_until(lambda: not alive(pids(tmp_path)[0]))


def test_a_picture_that_is_too_large(play: Play) -> None:
    said = fails(play({"width": 4624, "height": 3472}))
    assert "this camera gives pictures of at most 4608x2592, not 4624x3472; set width and height" in said


def test_a_camera_that_gives_another_size_is_believed(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        (frame,) = first(play(size=[640, 480]))
    assert frame.image.shape == (480, 640, 3)
    assert "the camera gives 640x480 instead" in caplog.text
    assert "imx708 gives 640x480 YUV420 and 640x480 YUV420, limited range" in caplog.text


def test_the_first_camera_that_is_not_on_usb(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    """Cameras are numbered by their place in the list, whatever libcamera's own number."""
    webcam = {"Model": "HD Webcam", "Id": "/base/scb/usb@1/1-1.2", "Num": 0}
    listed = [{"Model": "imx219", "Id": "/base/i2c@1/imx219@10", "Num": 1}, webcam]
    for cameras in (listed, [webcam, {**listed[0], "Num": 0}]):
        with caplog.at_level("INFO"):
            first(play(cameras=cameras))
        assert "imx219 gives " in caplog.text
        caplog.clear()


TWO = [
    {"Model": "imx708", "Id": "/base/axi/pcie@1000120000/rp1/i2c@88000/imx708@1a", "Num": 1},
    {"Model": "imx219", "Id": "/base/axi/pcie@1000120000/rp1/i2c@80000/imx219@10", "Num": 0},
    {"Model": "HD Webcam", "Id": "/base/axi/pcie@1000120000/rp1/usb@200000-2:1.0-046d", "Num": 2},
]


@pytest.mark.parametrize(
    ("source", "model"),
    [("picamera2", "imx708"), ("picamera2:0", "imx708"), ("picamera2:1", "imx219"), ("picamera:1", "imx219")],
)
def test_which_of_two_on_ribbon_cables(
    play: Play,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    source: str,
    model: str,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("edgeface.sources.PACKAGE", tmp_path)
    with caplog.at_level("INFO"):
        first(play({"source": source}, cameras=TWO))
    assert f"{model} gives " in caplog.text


@pytest.mark.parametrize(("cameras", "there"), [(TWO, "cameras 0 to 1"), (TWO[1:], "camera 0")])
def test_a_number_that_no_camera_has(play: Play, cameras: list[dict[str, Any]], there: str) -> None:
    said = fails(play({"source": "picamera2:2"}, cameras=cameras))
    assert f"libcamera finds {there} and no camera 2; check its ribbon cable" in said


@pytest.mark.parametrize("source", ["picamera2:", "picamera2:x", "picamera2:-1", "picamera2: 1", "csi:1.5", "csi:²"])
def test_a_number_that_is_none_is_an_error_of_the_configuration(source: str) -> None:
    name, _, number = source.partition(":")
    words = f"cameras.door.source: {number!r} is no camera's number; write {name}:0 or {name}:1, as `edgeface cameras`"
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_config(overrides={"cameras": {"door": {"source": source}}})


def test_a_numpy_of_pip_that_hides_the_system_s(monkeypatch: pytest.MonkeyPatch) -> None:
    def clashes(name: str) -> None:
        raise ValueError("numpy.dtype size changed")

    there = "/usr/local/lib/python3.11/dist-packages/numpy/__init__.py"
    monkeypatch.setattr(picamera2_child, "import_module", clashes)
    monkeypatch.setattr(picamera2_child, "find_spec", lambda name: ModuleSpec(name, None, origin=there))
    with pytest.raises(picamera2_child.CameraError, match="numpy.dtype size changed") as caught:
        picamera2_child.load()
    assert caught.value.fix == f"remove the numpy that hides the system's: sudo pip uninstall numpy ({there})"


def test_no_picamera2_and_no_python(play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = play()
    use(tmp_path, monkeypatch, str(tmp_path))
    said = fails(play())
    assert "picamera2 is not installed for " in said
    assert said.endswith("; sudo apt install python3-picamera2 (Raspberry Pi OS)")
    monkeypatch.setattr(picamera2_pipe, "PYTHON", "/nowhere/python3")
    said = (
        "picamera2 needs /nowhere/python3, which is not installed; sudo apt install python3-picamera2 (Raspberry Pi OS)"
    )
    assert fails(play()) == said
    source.close()


@pytest.mark.parametrize("text", [b"nonsense", b'{"main": {"format": "YUV420", "size": [0, 2], "stride": 2}}', b"\xff"])
def test_a_head_that_is_none(text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = text.ljust(picamera2_child.HEAD_BYTES)
    program = put_program(tmp_path / "bin", "python3", f"import os, sys\nos.write(int(sys.argv[5]), {line!r})")
    monkeypatch.setattr(picamera2_pipe, "PYTHON", str(program))
    source = open_source("door", Camera(source="picamera2"), limits=Limits(), started_at=datetime.now(timezone.utc))
    assert "no head came" in fails(source)


def child(tmp_path: Path, fd: int, **settings: Any) -> subprocess.Popen[bytes]:
    """The program alone, its pictures going wherever ``fd`` leads."""
    program = put_program(tmp_path / "bin", "python3", PROGRAM.format(path=[str(PRETENDED)]))
    words = [*picamera2(Camera(source="picamera2", width=W, height=H, fps=50, read_timeout=0.5)).arguments(fd)]
    environ = {**os.environ, "STANDIN_PID": str(tmp_path / "pid"), "PRETEND_PICAMERA2": json.dumps(settings)}
    return subprocess.Popen([program, *words], pass_fds=(fd,), stderr=subprocess.PIPE, env=environ)


def test_a_child_whose_reader_has_died_ends(tmp_path: Path) -> None:
    read, write = os.pipe()
    process = child(tmp_path, write)
    os.close(write)
    assert os.read(read, 1)
    os.close(read)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, b"Traceback" in said) == (0, False)


@pytest.mark.parametrize("stuck", [False, True], ids=["the camera closes", "it does not"])
def test_the_child_gives_up_by_itself(tmp_path: Path, stuck: bool) -> None:
    """Also where nobody is there to kill it."""
    read, write = os.pipe()
    process = child(tmp_path, write, silent_after=2, stuck=stuck)
    os.close(write)
    with os.fdopen(read, "rb") as pictures:
        assert len(pictures.read()) > W * H
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert b"edgeface: the camera gave no picture for 0.4 s; check" in said
    assert (b"the camera is closed" in said) is not stuck


def test_writing_has_a_number_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picamera2_child, "WRITE_S", 0.05)
    read, write = os.pipe()
    os.set_blocking(write, False)
    with pytest.raises(picamera2_child.CameraError, match="nobody took a picture for 0.05 s"):
        picamera2_child.write(write, bytes(1 << 21))
    for fd in (read, write):
        os.close(fd)


def test_an_error_is_one_line_with_one_semicolon(capfd: pytest.CaptureFixture[str]) -> None:
    picamera2_child.say(picamera2_child.CameraError("a; b\nc", "d; e"))
    assert capfd.readouterr().err.strip() == "edgeface: a, b c; d, e"


even = st.integers(1, 8192).map(lambda half: 2 * half)


@given(even, even)
def test_the_small_picture_has_the_same_shape(width: int, height: int) -> None:
    small = small_size((width, height))
    if max(width, height) <= SMALL_SIDE:
        assert small is None
        return
    assert small is not None
    assert all(side >= 2 and side % 2 == 0 for side in small)
    assert max(small) <= SMALL_SIDE
    assert small[0] <= width and small[1] <= height
    # Exact, or each side off by no more than the nearest even number is.
    longest = max(width, height)
    exact = small[0] * height == small[1] * width
    pairs = zip(small, (width, height), strict=True)
    near = all(abs(side - full * SMALL_SIDE / longest) <= 1.001 or side == 2 for side, full in pairs)
    assert exact or (max(small) == SMALL_SIDE and near)


@pytest.mark.parametrize(
    ("main_wh", "small_wh"),
    [
        ((1280, 720), (640, 360)),
        ((1920, 1080), (640, 360)),
        ((2304, 1296), (640, 360)),
        ((1640, 1232), (640, 480)),
        ((1024, 768), (640, 480)),
        ((720, 1280), (360, 640)),
        ((640, 480), None),
    ],
)
def test_usual_sizes(main_wh: tuple[int, int], small_wh: tuple[int, int] | None) -> None:
    assert small_size(main_wh) == small_wh


@pytest.mark.parametrize("case", sorted(EXPECTED))
def test_the_stand_in_does_what_picamera2_does(case: str) -> None:
    """The same cases are run with the real one: `scripts/slow picamera2`."""
    words = [sys.executable, "-S", str(TESTS / "picamera2_cases.py"), case]
    environ = {"PYTHONPATH": str(PRETENDED)}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == EXPECTED[case], done.stderr


def test_picamera_takes_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def name() -> str:
        recipe = recipe_of(Camera(source="picamera"))
        assert recipe is not None
        return recipe.name

    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("edgeface.sources.PACKAGE", tmp_path / "picamera2")
    assert name() == "picamera"
    (tmp_path / "picamera2").mkdir()
    assert name() == "picamera2"
    put_program(tmp_path / "bin", "rpicam-vid", "")
    assert name() == "picamera"
    assert recipe_of(Camera(source=0)) is None


def test_cameras_lists_those_of_picamera2(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play()
    assert main(["cameras"]) == 0
    assert "picamera2: imx708 (/base/soc/i2c0mux/i2c@1/imx708@1a)" in capsys.readouterr().out
    play(cameras=TWO)
    assert main(["cameras"]) == 0
    assert 'source = "picamera2:1"  imx219 (/base/axi/' in capsys.readouterr().out
    play(cameras=[])
    assert main(["cameras"]) == 0
    assert "picamera2: libcamera finds no camera" in capsys.readouterr().out
    use(tmp_path, monkeypatch, str(tmp_path))
    assert main(["cameras", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["picamera2"]
    assert told["cameras"] == []
    assert "picamera2 is not installed for" in told["problem"]


def test_doctor_says_where_it_is(play: Play) -> None:
    play()
    assert doctor._place(Camera(source="picamera2:1")).startswith("picamera2:1 by /")
    assert doctor._place(Camera(source="picamera2")).startswith("picamera2 by /")


def test_close_while_it_waits(play: Play) -> None:
    """From another thread, as the daemon does."""
    source = play(silent_after=2)
    seen: list[int] = []
    reader = threading.Thread(target=lambda: seen.extend(frame.index for frame in source.frames()))
    reader.start()
    wait_until(lambda: bool(seen))
    source.close()
    reader.join(10)
    assert not reader.is_alive()
