"""Video files as cameras and programs write them: every frame, in order, upright, with its own time."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeface.config import Camera, Limits
from edgeface.errors import SourceError, UsageError
from edgeface.sources import Source, open_source
from edgeface.sources.base import Origin, Pace
from edgeface.sources.capture import as_bgr
from edgeface.sources.length import movie_length_s
from edgeface.sources.transform import Preparation
from edgeface.sources.video import VideoFile
from edgeface.types import Frame

W, H, COUNT, FPS = 96, 64, 50, 25
STARTED = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
CLIPS = Path(__file__).parents[1] / ".cache" / "clips"


BITS = 6


def picture(number: int, wh: tuple[int, int] = (W, H)) -> np.ndarray:
    """Grey with a white upper left quarter; black and white squares in the lower right tell the frame's number."""
    image = np.full((wh[1], wh[0], 3), 120, np.uint8)
    image[: wh[1] // 2, : wh[0] // 2] = 250
    if wh == (W, H):
        for bit in range(BITS):
            image[H - 16 :, W // 2 + 8 * bit : W // 2 + 8 * bit + 8] = 255 * (number >> bit & 1)
    return image


def number_of(frame: Frame) -> int:
    return sum(int(frame.image[H - 8, W // 2 + 8 * bit + 4, 1] > 127) << bit for bit in range(BITS))


def record(path: Path, fourcc: str = "mp4v", *, count: int = COUNT, wh: tuple[int, int] = (W, H)) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*fourcc), FPS, wh)
    assert writer.isOpened()
    for number in range(count):
        writer.write(picture(number, wh))
    writer.release()
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("clips") / "clip.mp4")


def source_of(path: Path, **options: object) -> Source:
    camera = Camera(source=str(path), **options)  # type: ignore[arg-type]
    return open_source("door", camera, limits=Limits(), started_at=STARTED, decoder_threads=1)


def frames_of(path: Path, **options: object) -> list[Frame]:
    return list(source_of(path, **options).frames())


# MP4 boxes, so that a clip can be changed in ways that OpenCV's writer does not offer.
CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place < len(data):
        size, name = struct.unpack_from(">I4s", data, place)
        yield name, data[place + 8 : place + size]
        place += size


def edited(data: bytes, wanted: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    """The file with every box called ``wanted`` changed; offsets stay right, since the index is at the end."""
    parts = []
    for name, body in boxes(data):
        changed = edit(body) if name == wanted else edited(body, wanted, edit) if name in CONTAINERS else body
        parts.append(struct.pack(">I4s", len(changed) + 8, name) + changed)
    return b"".join(parts)


def rotated(degrees: int) -> Callable[[bytes], bytes]:
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = struct.pack(">9i", cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30)
    return lambda body: body[:40] + matrix + body[76:]


def every_third_is_long(body: bytes) -> bytes:
    """Variable frame rate: durations of 1, 1, 3 frames."""
    (step,) = struct.unpack_from(">I", body, 12)
    runs = [(1, step * (3 if number % 3 == 2 else 1)) for number in range(COUNT)]
    return body[:4] + struct.pack(">I", len(runs)) + b"".join(struct.pack(">II", *run) for run in runs)


def test_every_frame_in_order_with_its_time(clip: Path) -> None:
    source = source_of(clip)
    assert (source.live, source.description) == (False, str(clip))
    seen = list(source.frames())
    assert [frame.index for frame in seen] == list(range(COUNT))
    assert [number_of(frame) for frame in seen] == list(range(COUNT))
    assert [frame.time_s for frame in seen] == pytest.approx([n / FPS for n in range(COUNT)], abs=1e-3)
    assert seen[25].captured_at == STARTED + timedelta(seconds=seen[25].time_s)
    assert {(frame.camera, frame.image.shape) for frame in seen} == {("door", (H, W, 3))}


@pytest.mark.parametrize(
    ("name", "fourcc"),
    [("a.avi", "MJPG"), ("a.mkv", "mp4v"), ("a.mov", "mp4v"), ("a.avi", "XVID"), ("a.webm", "VP80"), ("a.avi", "FFV1")],
)
def test_containers_and_codecs(name: str, fourcc: str, tmp_path: Path) -> None:
    seen = frames_of(record(tmp_path / name, fourcc))
    assert [number_of(frame) for frame in seen] == list(range(COUNT))


@pytest.mark.parametrize("wh", [(98, 66), (16, 16), (2, 2), (642, 22)])
def test_odd_sizes(wh: tuple[int, int], tmp_path: Path) -> None:
    seen = frames_of(record(tmp_path / "a.mp4", count=5, wh=wh))
    assert [frame.image.shape for frame in seen] == [(wh[1], wh[0], 3)] * 5


@pytest.mark.parametrize(("degrees", "corner"), [(90, "top right"), (180, "bottom right"), (270, "bottom left")])
def test_a_telephone_held_upright(degrees: int, corner: str, clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(edited(clip.read_bytes(), b"tkhd", rotated(degrees)))
    seen = frames_of(path)
    image = seen[0].image
    assert image.shape[:2] == ((W, H) if degrees in (90, 270) else (H, W))
    height, width = image.shape[:2]
    assert white_corner(image) == corner, (height, width)


def test_a_telephone_held_upright_where_opencv_turns_nothing_by_itself(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OpenCV 4.11 does."""
    real = cv2.VideoCapture

    def unturned(*words: Any) -> cv2.VideoCapture:
        capture = real(*words)
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        return capture

    path = tmp_path / "a.mp4"
    path.write_bytes(edited(clip.read_bytes(), b"tkhd", rotated(90)))
    monkeypatch.setattr(cv2, "VideoCapture", unturned)
    assert frames_of(path)[0].image.shape[:2] == (W, H)


def white_corner(image: np.ndarray) -> str:
    height, width = image.shape[:2]
    names = {"top left": (0, 0), "top right": (0, 1), "bottom left": (1, 0), "bottom right": (1, 1)}
    return max(
        names,
        key=lambda n: float(
            image[height // 4 + height // 2 * names[n][0], width // 4 + width // 2 * names[n][1]].mean()
        ),
    )


@pytest.mark.parametrize(
    ("options", "corner"),
    [
        ({}, "top left"),
        ({"mirror": True}, "top right"),
        ({"rotate": 90}, "top right"),
        ({"rotate": 90, "mirror": True}, "top left"),
        ({"rotate": 180}, "bottom right"),
        ({"rotate": 270}, "bottom left"),
    ],
)
def test_rotate_clockwise_then_mirror(options: dict[str, object], corner: str, clip: Path) -> None:
    image = next(iter(source_of(clip, **options).frames())).image
    assert white_corner(image) == corner
    assert image.shape[:2] == ((W, H) if options.get("rotate") in (90, 270) else (H, W))


def test_a_variable_frame_rate_keeps_its_times(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(edited(clip.read_bytes().replace(b"edts", b"free"), b"stts", every_third_is_long))
    seen = frames_of(path)
    steps = [round((b.time_s - a.time_s) * FPS) for a, b in itertools.pairwise(seen)]
    assert len(seen) == COUNT
    assert steps[:6] == [1, 1, 3, 1, 1, 3]


def quarter_long(body: bytes) -> bytes:
    """A movie or track header, or an edit list, that ends after a quarter of the frames."""
    duration = round(1000 * COUNT / FPS)
    assert struct.pack(">I", duration) in body
    return body.replace(struct.pack(">I", duration), struct.pack(">I", duration // 4))


def test_a_video_trimmed_on_a_telephone_is_whole(clip: Path, tmp_path: Path) -> None:
    """All frames lie in the file, the edit list shows a quarter of them."""
    path = tmp_path / "a.mp4"
    data = clip.read_bytes()
    for name in (b"mvhd", b"tkhd", b"edts"):
        data = edited(data, name, quarter_long)
    path.write_bytes(data)
    assert movie_length_s(path) == pytest.approx(0.5)
    assert COUNT // 4 - 1 <= len(frames_of(path)) <= COUNT // 4 + 2


@pytest.mark.parametrize(
    "data",
    [b"", b"\0\0\0\x08ftyp", b"\0\0\0\0moov", b"\0\0\0\1moov\0\0", b"\0\0\0\3free", b"\0\0\0\x10moov\0\0\0\x08mvhd"],
)
def test_a_length_that_cannot_be_known(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(data)
    assert movie_length_s(tmp_path / "a.mp4") is None


class Stub:
    """Stands in for cv2.VideoCapture where time stamps are missing, stand still or jump back."""

    def __init__(self, stamps_ms: list[float], *, announced: int | None = None, fps: float = FPS) -> None:
        self._stamps, self._at, self._fps = stamps_ms, -1, fps
        self._announced = len(stamps_ms) if announced is None else announced

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, np.ndarray | None]:
        self._at += 1
        return (True, picture(0)) if self._at < len(self._stamps) else (False, None)

    def get(self, prop: int) -> float:
        return {
            cv2.CAP_PROP_FPS: self._fps,
            cv2.CAP_PROP_FRAME_COUNT: self._announced,
            cv2.CAP_PROP_POS_MSEC: self._stamps[min(self._at, len(self._stamps) - 1)],
        }.get(prop, 0.0)

    def release(self) -> None: ...


def stubbed(monkeypatch: pytest.MonkeyPatch, clip: Path, stub: Stub) -> VideoFile:
    monkeypatch.setattr("edgeface.sources.video.open_file", lambda *_: stub)
    monkeypatch.setattr("edgeface.sources.video.was_written", lambda *_: True)
    monkeypatch.setattr("edgeface.sources.video.movie_length_s", lambda _: None)
    return VideoFile(
        clip,
        Camera(source=str(clip)),
        Origin(camera="door", started_at=STARTED, prepare=Preparation(Camera())),
        limits=Limits(),
    )


@pytest.mark.parametrize(
    ("stamps_ms", "times_s"),
    [
        pytest.param([0, 40, 80], [0, 0.04, 0.08], id="as they should be"),
        pytest.param([0, 0, 0], [0, 0.04, 0.08], id="none"),
        pytest.param([0, 40, 20, 120], [0, 0.04, 0.08, 0.12], id="jump back"),
        pytest.param([5000, 5040], [5.0, 5.04], id="late start"),
        pytest.param([-40, 0, 40], [0.0, 0.04, 0.08], id="before the start"),
    ],
)
def test_source_time_never_runs_backwards(
    stamps_ms: list[float], times_s: list[float], monkeypatch: pytest.MonkeyPatch, clip: Path
) -> None:
    seen = [frame.time_s for frame in stubbed(monkeypatch, clip, Stub(stamps_ms)).frames()]
    assert seen == pytest.approx(times_s, abs=1e-6)


@pytest.mark.parametrize("fps", [0.0, float("nan"), 90_000.0, -1.0])
def test_a_rate_that_makes_no_sense(fps: float, monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    assert len(list(stubbed(monkeypatch, clip, Stub([0, 0, 0], announced=0, fps=fps)).frames())) == 3


@pytest.mark.parametrize(
    ("announced", "count", "early"),
    [
        pytest.param(98, 95, False, id="three frames of 98"),
        pytest.param(50, 26, False, id="less than a second"),
        pytest.param(50, 24, True, id="more than a second and 5 %"),
        pytest.param(1000, 960, False, id="more than a second, less than 5 %"),
        pytest.param(1000, 940, True, id="more than 5 %"),
        pytest.param(0, 10, False, id="nothing announced"),
        pytest.param(-1, 10, False, id="nonsense announced"),
        pytest.param(10, 50, False, id="longer than announced"),
    ],
)
def test_an_early_end_is_told_after_the_last_frame(
    announced: int, count: int, early: bool, monkeypatch: pytest.MonkeyPatch, clip: Path
) -> None:
    stub = Stub([n * 1000 / FPS for n in range(count)], announced=announced)
    seen: list[Frame] = []
    try:
        seen.extend(stubbed(monkeypatch, clip, stub).frames())
        told = False
    except SourceError as error:
        told = True
        assert f"ends after {count / FPS:.1f} of {announced / FPS:.1f} s; its {count} frames were analysed" in str(
            error
        )
    assert (len(seen), told) == (count, early)


def test_a_video_cut_off_in_the_middle(tmp_path: Path) -> None:
    path = record(tmp_path / "a.avi", "MJPG", count=80)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    seen: list[Frame] = []
    with pytest.raises(SourceError, match=r"a\.avi ends after .* of 3\.2 s; its \d+ frames were analysed; copy or rec"):
        seen.extend(source_of(path).frames())
    assert 10 < len(seen) < 60


def no_pictures(clip: Path) -> bytes:
    """Only the sound of it, as far as FFmpeg can tell: the track's handler says so."""
    return edited(clip.read_bytes(), b"hdlr", lambda body: body.replace(b"vide", b"soun", 1))


def unknown_codec(clip: Path) -> bytes:
    data = record(clip.with_name("unknown.mkv")).read_bytes()
    assert b"V_MPEG4/ISO/ASP" in data
    return data.replace(b"V_MPEG4/ISO/ASP", b"V_NEXTYEAR/CODE")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda _: b"", "is empty; copy it again", id="empty"),
        pytest.param(lambda _: b"hello\n", "is not a video that can be opened, or was cut off; check", id="text"),
        pytest.param(
            lambda clip: clip.read_bytes()[:900], "is not a video that can be opened, or was cut", id="no index"
        ),
        pytest.param(no_pictures, "is not a video that can be opened|no frame that can be decoded", id="sound alone"),
        pytest.param(unknown_codec, "is not a video that can be opened|no frame that can be decoded", id="codec"),
    ],
)
def test_what_is_no_video_says_so_in_one_line(
    make: Callable[[Path], bytes], words: str, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.mp4").write_bytes(make(clip))
    with pytest.raises(SourceError, match=words) as raised:
        frames_of(tmp_path / "a.mp4")
    assert "\n" not in str(raised.value)


def test_decoders_complain_to_nobody(clip: Path, tmp_path: Path) -> None:
    """What FFmpeg and OpenCV print about broken files is not for the user, who gets one line."""
    (tmp_path / "a.mp4").write_bytes(clip.read_bytes()[:900])
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 60 + b"IEND")
    program = (
        "import sys, pathlib, datetime\n"
        "from edgeface.sources import open_source\n"
        "from edgeface.config import Camera, Limits\n"
        "for name in sys.argv[1:]:\n"
        "    camera = Camera(source=name)\n"
        "    now = datetime.datetime.now(datetime.timezone.utc)\n"
        "    try: list(open_source('a', camera, limits=Limits(), started_at=now).frames())\n"
        "    except Exception as error: print(type(error).__name__)\n"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "a.mp4"), str(tmp_path / "b.png")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=170, check=True)
    assert (done.stdout.split(), done.stderr) == (["SourceError", "ImageError"], "")


def test_a_missing_path_is_a_wrong_argument(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="gone.mp4 does not exist; give a file, a folder, a camera number or an address"
    ):
        source_of(tmp_path / "gone.mp4")


def test_a_file_that_may_not_be_read(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(clip)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SourceError, match="cannot be read: Permission denied; check path and permissions"):
        list(source.frames())


@pytest.mark.parametrize(
    "name", ["12:30.mp4", "-i.mp4", "100%d x%02d.mp4", "h\u00e4user \u4eba.mp4", "no_suffix", "a'b\".mp4"]
)
def test_any_file_name_will_do(name: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_bytes(clip.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert len(frames_of(Path(name))) == COUNT


def test_close_from_outside_stops_after_the_frame(clip: Path) -> None:
    source = source_of(clip)
    frames = source.frames()
    next(frames)
    source.close()
    assert list(frames) == []


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


def test_realtime_paces_by_time_stamps(clip: Path) -> None:
    clock = Clock()
    pace = Pace("realtime", clock=clock, sleep=clock.sleep)
    source = VideoFile(
        clip,
        Camera(source=str(clip)),
        Origin(camera="door", started_at=STARTED, prepare=Preparation(Camera())),
        limits=Limits(),
        pace=pace,
    )
    for frame in source.frames():
        late = 10 < frame.index < 15
        assert clock.now_s - 100 == pytest.approx(0.6 if late else frame.time_s, abs=1e-6)
        if frame.index == 10:
            clock.now_s += 0.2  # a slow consumer: the next frames come without a pause until the time is made up for
    assert max(clock.slept) == pytest.approx(1 / FPS, abs=1e-6)


def test_max_never_sleeps(clip: Path) -> None:
    clock = Clock()
    pace = Pace("max", clock=clock, sleep=clock.sleep)
    list(
        VideoFile(
            clip,
            Camera(source=str(clip)),
            Origin(camera="door", started_at=STARTED, prepare=Preparation(Camera())),
            limits=Limits(),
            pace=pace,
        ).frames()
    )
    assert clock.slept == []


@pytest.mark.parametrize(
    "image",
    [
        np.full((4, 6), 77, np.uint8),
        np.full((4, 6, 1), 77, np.uint8),
        np.full((4, 6), 77 * 256, np.uint16),
        np.full((4, 6, 3), 77, np.uint8),
    ],
)
def test_grey_and_deep_pictures_become_bgr(image: np.ndarray) -> None:
    shown = as_bgr(image)
    assert (shown.shape, int(shown[0, 0, 2])) == ((4, 6, 3), 77)
    assert shown.dtype == np.uint8


def test_the_demo_clip_that_is_shorter_than_it_says() -> None:
    path = CLIPS / "no_face.mp4"
    if not path.is_file():
        pytest.skip("the demo's clips were not fetched yet (scripts/demo)")
    assert len(frames_of(path)) == 95
