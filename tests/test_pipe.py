"""Child pipes: programs on PATH that check their arguments, then emit, stall, tear a picture or die."""

from __future__ import annotations

import ast
import json
import os
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from raw_pictures import planes, ramp
from scenes_live import alive, put_program, wait_until

import edgeface
from edgeface.config import Camera, Limits
from edgeface.errors import SourceError
from edgeface.sources import Source, open_source
from edgeface.sources.live import LiveSource
from edgeface.sources.pipe import ChildPipe, picamera

W, H = 128, 96
COLOURS = [(32, 64, 200), (200, 180, 40), (90, 90, 90), (20, 220, 120)]

PROGRAM = """
import json, os, signal, sys, time
with open(os.environ["STANDIN_PID"], "a") as file:
    file.write(f"{os.getpid()}\\n")
with open(os.environ["STANDIN_ARGUMENTS"], "w") as file:
    json.dump(sys.argv[1:], file)
out = 1
for argument in sys.argv:
    if argument.startswith("fd="):
        out = int(argument[3:])
        os.write(1, b"GST_ARGUS: Creating output stream\\n")
for step in json.load(open(os.environ["STANDIN_STEPS"])):
    if step[0] == "write":
        data = bytes.fromhex(step[1])
        while data:
            data = data[os.write(out, data):]
    elif step[0] == "pause":
        time.sleep(step[1])
    elif step[0] == "say":
        os.write(2, step[1].encode())
    elif step[0] == "environ":
        with open(step[1], "w") as file:
            json.dump(dict(os.environ), file)
    elif step[0] == "ignore":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif step[0] == "exit":
        os._exit(step[1])
    elif step[0] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
"""

Play = Callable[..., Source]


def i420(colour: tuple[int, int, int]) -> str:
    return planes(np.full((H, W, 3), colour, np.uint8)).hex()


PICTURES = [i420(colour) for colour in COLOURS]
LIMITED = [planes(np.full((H, W, 3), colour, np.uint8), full=False).hex() for colour in COLOURS]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    for name in ("rpicam-vid", "gst-launch-1.0"):
        put_program(tmp_path / "bin", name, PROGRAM)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("pid", "arguments", "steps"):
        monkeypatch.setenv(f"STANDIN_{name.upper()}", str(tmp_path / name))

    def start(*steps: tuple[object, ...], patience_s: float | None = None, **options: Any) -> Source:
        (tmp_path / "steps").write_text(json.dumps(steps))
        settings: dict[str, Any] = {"source": "picamera", "width": W, "height": H, "fps": 10.0, "read_timeout": 8.0}
        camera = Camera(**settings | options)
        if patience_s is not None:
            return LiveSource("door", camera, ChildPipe(picamera(camera), patience_s=patience_s))
        return open_source("door", camera, limits=Limits(), started_at=datetime.now(timezone.utc))

    return start


def pids(tmp_path: Path) -> list[int]:
    return [int(line) for line in (tmp_path / "pid").read_text().split()]


def read(source: Source, error: str) -> list[tuple[int, ...]]:
    """Colour of every frame until the source says ``error``."""
    seen: list[tuple[int, ...]] = []
    with pytest.raises(SourceError, match=error):
        seen.extend(tuple(int(v) for v in frame.image[H // 2, W // 2]) for frame in source.frames())
    return seen


def all_of(source: Source, error: str) -> list[tuple[int, ...]]:
    """Colour of every picture of the child itself: a live source would drop those that nobody took in time."""
    assert isinstance(source, LiveSource)
    device, seen = source.device, []
    device.open()
    try:
        with pytest.raises(SourceError, match=error):
            while True:
                image = device.read()
                if isinstance(image, np.ndarray):
                    seen.append(tuple(int(v) for v in image[H // 2, W // 2]))
    finally:
        device.release()
    return seen


def is_near(seen: tuple[int, ...], colour: tuple[int, int, int]) -> bool:
    return all(abs(a - b) <= 4 for a, b in zip(seen, colour, strict=True))


def spaced(*pictures: str, pause_s: float = 0.1) -> list[tuple[object, ...]]:
    return [step for picture in pictures for step in (("write", picture), ("pause", pause_s))]


def test_picamera_is_asked_for_raw_pictures_and_they_arrive(play: Play, tmp_path: Path) -> None:
    source = play(*spaced(*PICTURES), ("say", "ERROR: *** camera front end has timed out ***\n"), ("exit", 255))
    assert source.live
    seen = all_of(source, r"picamera 128x96 at 10 fps: rpicam-vid ended with 255 \(ERROR: \*\*\* camera front end has")
    assert all(is_near(*pair) for pair in zip(seen, COLOURS, strict=True)), seen
    wanted = "-n -t 0 --codec yuv420 --width 128 --height 96 --framerate 10 --flush -o -"
    assert json.loads((tmp_path / "arguments").read_text()) == wanted.split()


@pytest.mark.parametrize(("source", "words"), [("picamera:1", ["--camera", "1"]), ("csi:1", ["sensor-id=1"])])
def test_which_of_two_cameras(play: Play, tmp_path: Path, source: str, words: list[str]) -> None:
    source_ = play(*spaced(*LIMITED), ("exit", 0), source=source)
    assert source_.live
    read(source_, "ended with 0")
    line = json.loads((tmp_path / "arguments").read_text())
    assert words == [word for word in line if word in words]


def test_no_child_learns_our_secrets(play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera's program, and whatever it starts, could read the broker's password from its environment."""
    monkeypatch.setenv("EDGEFACE_MQTT_PASSWORD", "correct horse")
    monkeypatch.setenv("edgeface__cameras__door__source", "rtsp://me:horse@camera/")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    source = play(*spaced(*LIMITED), ("environ", str(tmp_path / "environ")), ("exit", 0))
    read(source, "ended with 0")
    told = json.loads((tmp_path / "environ").read_text())
    assert told["PATH"] == str(tmp_path / "bin")
    assert "horse" not in str(told)
    assert "CREDENTIALS_DIRECTORY" not in told


def test_whatever_starts_a_child_says_what_it_may_know() -> None:
    calls = [
        (path, call)
        for path in sorted(Path(edgeface.__file__).parent.rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in {"subprocess.run", "subprocess.Popen"}
    ]
    assert len(calls) > 5
    for path, call in calls:
        (env,) = [ast.unparse(word.value) for word in call.keywords if word.arg == "env"] or [""]
        assert "child_environ(os.environ)" in env, f"{path}:{call.lineno}"


def test_jetson_pictures_are_kept_apart_from_what_the_plugin_prints(play: Play, tmp_path: Path) -> None:
    source = play(*spaced(*LIMITED[:2]), ("exit", 0), source="csi", fps=29.97)
    seen = read(source, "csi 128x96 at 29.97 fps: gst-launch-1.0 ended with 0;")
    assert [is_near(*pair) for pair in zip(seen, COLOURS, strict=False)] == [True, True]
    line = " ".join(json.loads((tmp_path / "arguments").read_text()))
    assert re.fullmatch(
        r"-q nvarguscamerasrc ! video/x-raw\(memory:NVMM\),width=128,height=96,framerate=2997/100 ! nvvidconv ! "
        r"video/x-raw,format=I420 ! fdsink fd=\d+ sync=false",
        line,
    )


def test_a_torn_picture_is_dropped_and_the_next_is_whole(play: Play) -> None:
    torn = PICTURES[1][: len(PICTURES[1]) // 3 * 2]
    source = play(*spaced(PICTURES[0], torn, PICTURES[2], PICTURES[3], pause_s=0.3), ("exit", 1))
    seen = read(source, "ended with 1")
    wanted = [COLOURS[0], COLOURS[2], COLOURS[3]]
    assert len(seen) == 3
    assert all(is_near(*pair) for pair in zip(seen, wanted, strict=True)), seen


def test_death_in_the_middle_of_a_picture_gives_no_picture(play: Play) -> None:
    assert len(read(play(*spaced(PICTURES[0]), ("write", PICTURES[1][:200]), ("kill",)), "killed by signal 9")) == 1


def test_a_stall_is_noticed_and_the_child_is_gone(play: Play, tmp_path: Path) -> None:
    source = play(*spaced(PICTURES[0]), ("pause", 60), read_timeout=0.5)
    assert len(read(source, r"gave no frame for 0\.5 s")) == 1
    assert not alive(pids(tmp_path)[0]), "the child still runs, or is a zombie"


def test_close_kills_a_child_that_will_not_listen(play: Play, tmp_path: Path) -> None:
    source = play(("ignore",), *spaced(PICTURES[0]), ("pause", 60), patience_s=0.2, read_timeout=30.0)
    seen: list[int] = []
    reader = threading.Thread(target=lambda: seen.extend(frame.index for frame in source.frames()))
    reader.start()
    wait_until(lambda: bool(seen))
    source.close()
    reader.join(5)
    assert not reader.is_alive()
    assert not alive(pids(tmp_path)[0])


def test_no_file_descriptor_is_left_open(play: Play) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = count()
    for _ in range(3):
        read(play(*spaced(PICTURES[0]), ("exit", 3)), "ended with 3")
    assert count() == before


def test_chatter_never_fills_its_pipe_and_the_last_line_is_kept(play: Play) -> None:
    steps = [("say", "#1 (30.00 fps) exp 33251.00\n" * 100)] * 40
    source = play(*steps, *spaced(PICTURES[0]), ("say", "ERROR: no cameras available\n#2 (1 fps)"), ("exit", 255))
    assert len(read(source, r"\(ERROR: no cameras available\)")) == 1


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("picamera", "picamera needs rpicam-vid, which is not installed; apt install rpicam-apps"),
        ("csi", "csi needs gst-launch-1.0, which is not installed; apt install gstreamer1.0-tools"),
    ],
)
def test_a_missing_program_is_named(
    play: Play, source: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read(play(source=source), words) == []


@pytest.mark.parametrize(
    ("asked", "given"),
    [((800, 601), (768, 600)), ((1920, 1080), (1920, 1080)), ((20, 16), (128, 16)), ((960, 540), (896, 540))],
)
def test_the_width_becomes_a_multiple_of_128(asked: tuple[int, int], given: tuple[int, int]) -> None:
    recipe = picamera(Camera(source="picamera", width=asked[0], height=asked[1]))
    assert (recipe.width, recipe.height) == given


@pytest.mark.parametrize(
    ("asked", "given"), [({}, (1280, 720)), ({"width": 1920}, (1920, 1080)), ({"height": 360}, (640, 360))]
)
def test_one_side_alone_means_16_to_9(asked: dict[str, int], given: tuple[int, int]) -> None:
    recipe = picamera(Camera(source="picamera", **asked))  # type: ignore[arg-type]
    assert (recipe.width, recipe.height) == given


def test_the_old_name_of_the_program_serves_too(play: Play, tmp_path: Path) -> None:
    (tmp_path / "bin" / "rpicam-vid").rename(tmp_path / "bin" / "libcamera-vid")
    assert len(read(play(*spaced(PICTURES[0]), ("exit", 4)), "ended with 4")) == 1


def test_frames_arrive_at_full_rate_in_full_size(play: Play) -> None:
    """A picture larger than the pipe comes in pieces."""
    picture = cv2.cvtColor(np.full((720, 1280, 3), COLOURS[0], np.uint8), cv2.COLOR_BGR2YUV_I420).tobytes().hex()
    source = play(*spaced(picture, picture, picture), ("exit", 0), width=1280, height=720)
    assert isinstance(source, LiveSource)
    with pytest.raises(SourceError, match="ended with 0"):
        for frame in source.frames():
            assert frame.image.shape == (720, 1280, 3)


def test_an_unused_child_is_never_started() -> None:
    pipe = ChildPipe(picamera(Camera(source="picamera")))
    pipe.interrupt()
    pipe.release()


def pictures_of(source: Source, count: int) -> list[np.ndarray]:
    assert isinstance(source, LiveSource)
    source.device.open()
    seen: list[np.ndarray] = []
    try:
        while len(seen) < count:
            image = source.device.read()
            seen += [image] if isinstance(image, np.ndarray) else []
    finally:
        source.device.release()
    return seen


@pytest.mark.parametrize(
    ("source", "says", "full"),
    [
        pytest.param("picamera", "", True, id="a Pi asks for sYCC"),
        pytest.param("picamera", "(0) 128x96-YUV420/sYCC (1) 2028x1080-BGGR_PISP_COMP1/RAW", True, id="and says so"),
        pytest.param("picamera", "(0) 128x96-YUV420/SMPTE170M (1) 2028x1080-SBGGR12/RAW", False, id="limited"),
        pytest.param("picamera", "(0) 128x96-YUV420/SMPTE170M/Rec709/None/Full", True, id="spelled out"),
        pytest.param("csi", "", False, id="a Jetson"),
    ],
)
def test_black_grey_and_white_are_what_they_were(play: Play, source: str, says: str, full: bool) -> None:
    """A ramp: of full range read as limited, 10 % of the values were clipped and grey was off by 11 levels."""
    words = (
        [("say", f"[0:12] INFO Camera camera.cpp:1202 configuring streams: {says}\n"), ("pause", 0.1)] if says else []
    )
    picture = planes(ramp(W, H), full=full).hex()
    seen = pictures_of(play(*words, *spaced(picture), source=source), 1)[0]
    off = np.abs(seen.astype(int) - ramp(W, H))
    # Two pixels share one colour: the seam between the corner and the ramp is smeared.
    off[H // 4 - 2 : H // 4 + 2] = off[:, W // 4 - 2 : W // 4 + 2] = 0
    assert off.max() <= 3
    assert off.mean() < 1


@pytest.mark.parametrize("padding", [64, 32, 6])
def test_padded_rows_are_noticed_and_cut(play: Play, padding: int, caplog: pytest.LogCaptureFixture) -> None:
    """A Pi 5 pads to 128 bytes, a Pi 4 to 64; whoever pads otherwise is read, too, and never sheared."""
    picture = planes(ramp(W, H), stride=W + padding).hex()
    with caplog.at_level("INFO"):
        seen = pictures_of(play(*spaced(*[picture] * 6)), 2)
    assert f"rows are padded to {W + padding} bytes" in caplog.text
    for image in seen:
        assert np.abs(image[H // 2 :].astype(int) - ramp(W, H)[H // 2 :]).max() <= 3


def test_pictures_of_another_size_are_told_and_never_shown(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    smaller = planes(ramp(64, H)).hex()
    assert read(play(*spaced(*[smaller] * 7), ("exit", 0)), "ended with 0") == []
    assert "pictures of 9216 bytes come instead of 18432, and none can be read" in caplog.text


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended; what nobody has taken the code of yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


WRAPPER = """
import os, subprocess, sys, time
hangs = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", hangs], stdout=subprocess.PIPE)
child.stdout.readline()
with open(os.environ["STANDIN_PID"], "a") as file:
    file.write(f"{os.getpid()}\\n{child.pid}\\n")
os.write(1, bytes(int(sys.argv[1])))
if len(sys.argv) > 2: sys.exit(3)
time.sleep(60)
"""


@pytest.mark.parametrize("ends", [False, True], ids=["the wrapper waits", "the wrapper has ended"])
def test_what_a_wrapper_started_dies_with_it(ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_program(tmp_path / "bin", "wrapper", WRAPPER)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("STANDIN_PID", str(tmp_path / "pid"))
    plain = picamera(Camera(source="picamera", width=W, height=H))
    arguments = [str(plain.frame_bytes), *(["end"] if ends else [])]
    pipe = ChildPipe(replace(plain, programs=("wrapper",), arguments=lambda _: arguments))
    pipe.open()
    wait_until(lambda: (tmp_path / "pid").exists() and len(pids(tmp_path)) == 2)
    while pipe.read() is None:
        pass
    pipe.release()
    # The kernel takes a moment over it.
    wait_until(lambda: not any(runs(pid) for pid in pids(tmp_path)))
