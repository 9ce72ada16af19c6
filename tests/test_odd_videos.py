"""Videos as recorders, discs and telephones leave them: each is seen as a player shows it, or refused by name."""

from __future__ import annotations

import itertools
import math
import os
import socket
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
from films import COUNT, INTERLACED, MJPEG, RATE, X264, H, W, ffmpeg, film, number_of, numbered

from edgeface.config import Camera, Limits
from edgeface.draw import DrawnVideo
from edgeface.errors import SourceError, UsageError
from edgeface.sources import is_image, open_source
from edgeface.sources.stamps import SourceTime
from edgeface.sources.video import REPEATED_MOST
from edgeface.types import Frame

STARTED = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
ALL = list(range(COUNT))


def frames_of(path: Path, limits: Limits | None = None) -> Iterator[Frame]:
    source = open_source("door", Camera(source=str(path)), limits=limits or Limits(), started_at=STARTED)
    yield from source.frames()


def numbers_of(path: Path) -> list[int]:
    return [number_of(frame.image) for frame in frames_of(path)]


@pytest.mark.parametrize(
    ("name", "out"),
    [
        pytest.param("a.mp4", (*X264, "-x264-params", "tff=1:interlaced=1"), id="H.264"),
        pytest.param("a.ts", (*X264, "-x264-params", "bff=1:interlaced=1"), id="H.264 in a transport stream"),
        pytest.param("a.mpg", ("-c:v", "mpeg2video", "-r", 25, "-q:v", 2), id="MPEG-2"),
        pytest.param("a.avi", ("-c:v", "mpeg4", "-q:v", 2), id="MPEG-4"),
        pytest.param(
            "a.mov",
            (
                "-c:v",
                "prores_ks",
            ),
            id="ProRes",
        ),
    ],
)
def test_interlaced_video_is_analysed_or_refused_by_name(name: str, out: tuple[object, ...], tmp_path: Path) -> None:
    path = film(tmp_path / name, *INTERLACED, *out)
    seen: list[int] = []
    try:
        seen.extend(numbers_of(path))
    except SourceError as error:
        assert f"{path} is interlaced" in str(error)
        assert "ffmpeg -i IN -vf yadif OUT.mp4" in str(error)
        assert seen == [], "a frame that nobody decoded was handed out"
    else:
        assert sorted(set(seen)) == ALL


@pytest.mark.parametrize(
    "images",
    [
        pytest.param([np.zeros((H, W, 3), np.uint8)] * 30, id="black"),
        pytest.param([np.zeros((H, W, 3), np.uint8)] * 5 + [numbered(n) for n in range(5)], id="black at the start"),
        pytest.param([numbered(1)] * (3 * REPEATED_MOST), id="one picture all the time"),
        pytest.param([numbered(1)] + [np.zeros((H, W, 3), np.uint8)] * 40 + [numbered(2)], id="black in between"),
    ],
)
@pytest.mark.parametrize("out", [X264, ("-c:v", "ffv1", "-pix_fmt", "yuv420p")], ids=["lossy", "lossless"])
def test_what_stays_the_same_is_no_fault(images: list[np.ndarray], out: tuple[object, ...], tmp_path: Path) -> None:
    assert len(list(frames_of(film(tmp_path / "a.mkv", *out, images=images)))) == len(images)


def test_what_an_earlier_film_left_in_memory_is_no_film(tmp_path: Path) -> None:
    """Interlaced frames are memory that nobody wrote: where a still film was read before, that memory shows it."""
    still = film(tmp_path / "still.mkv", images=[numbered(63)] * 40)
    path = film(tmp_path / "a.mp4", *INTERLACED, *X264, "-x264-params", "tff=1:interlaced=1")
    for _ in range(5):
        assert len(list(frames_of(still))) == 40
        try:
            assert sorted(set(numbers_of(path))) == ALL
        except SourceError as error:
            assert "is interlaced" in str(error)


def test_black_of_the_full_range_waits_for_the_first_picture(tmp_path: Path) -> None:
    images = [np.zeros((H, W, 3), np.uint8)] * 5 + [numbered(n) for n in range(5)]
    seen = list(frames_of(film(tmp_path / "a.mkv", *MJPEG, images=images)))
    assert [frame.index for frame in seen] == list(range(10))
    assert [number_of(frame.image) for frame in seen[5:]] == list(range(5))


def test_a_decoder_that_stops_writing_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "a.mp4", images=[numbered(n) for n in range(3)] + [numbered(3)] * 60)
    monkeypatch.setattr("edgeface.sources.video.was_written", lambda *arguments: arguments[2] == 0)
    seen = 0
    with pytest.raises(SourceError, match=rf"a\.mp4 from frame {3 + REPEATED_MOST} on is interlaced"):
        for _ in frames_of(path):
            seen += 1
    assert seen <= 3 + REPEATED_MOST


@pytest.mark.parametrize("name", ["a.mkv", "a.asf", "a.nut", "a.avi", "a.mov", "a.wmv", "a.mjpeg", "a.mkv.jpg"])
def test_motion_jpeg_in_any_container_is_a_video(name: str, tmp_path: Path) -> None:
    path = film(tmp_path / name.removesuffix(".jpg"), *MJPEG).rename(tmp_path / name)
    assert not is_image(path)
    assert numbers_of(path) == ALL


@pytest.mark.parametrize("before", [b"", b"\r\n", b"HTTP/1.0 200 OK\r\n\r\n"])
@pytest.mark.parametrize("kind", ["mpjpeg", "mjpeg"])
def test_a_dump_of_a_webcam_is_a_video(kind: str, before: bytes, tmp_path: Path) -> None:
    path = film(tmp_path / "dump", *MJPEG, "-f", kind)
    path.write_bytes(before + path.read_bytes())
    assert not is_image(path)
    if before in (b"", b"\r\n"):
        assert numbers_of(path) == ALL


def cover(tmp_path: Path) -> Path:
    done, data = cv2.imencode(".jpg", np.full((30, 30, 3), 90, np.uint8))
    assert done
    (tmp_path / "cover.jpg").write_bytes(data.tobytes())
    return tmp_path / "cover.jpg"


def test_of_a_matroska_film_with_a_cover_the_film_is_seen(tmp_path: Path) -> None:
    attached = ("-attach", cover(tmp_path), "-metadata:s:t", "mimetype=image/jpeg")
    assert numbers_of(film(tmp_path / "a.mkv", *X264, *attached)) == ALL


@pytest.mark.parametrize("first", [False, True])
def test_of_an_mp4_film_with_a_cover_the_film_is_seen(first: bool, tmp_path: Path) -> None:
    plain, picture = film(tmp_path / "plain.mp4"), cover(tmp_path)
    inputs = ("-i", picture, "-i", plain) if first else ("-i", plain, "-i", picture)
    which = f"-disposition:v:{0 if first else 1}"
    ffmpeg(*inputs, "-map", 0, "-map", 1, "-c", "copy", which, "attached_pic", tmp_path / "a.mp4")
    assert numbers_of(tmp_path / "a.mp4") == ALL


@pytest.mark.parametrize(
    ("name", "out"),
    [
        ("a.mp4", X264),
        ("a.mkv", X264),
        ("a.ts", X264),
        ("a.avi", ("-c:v", "mpeg4", "-q:v", 2)),
        ("a.mov", ("-c:v", "mpeg4", "-q:v", 2)),
        ("a.webm", ("-c:v", "libvpx", "-b:v", "1M")),
        ("a.y4m", ("-pix_fmt", "yuv420p")),
    ],
)
def test_oblong_pixels_are_stretched(name: str, out: tuple[object, ...], tmp_path: Path) -> None:
    path = film(tmp_path / name, "-vf", f"scale={W // 2}:{H},setsar=2/1", *out)
    seen = list(frames_of(path))
    assert {frame.image.shape for frame in seen} == {(H, W, 3)}
    assert [number_of(frame.image) for frame in seen] == ALL


def test_oblong_pixels_of_a_telephone_held_upright(tmp_path: Path) -> None:
    lying = film(tmp_path / "a.mp4", "-vf", f"scale={W // 2}:{H},setsar=2/1,transpose=1", *X264)
    ffmpeg("-display_rotation", 90, "-i", lying, "-c", "copy", tmp_path / "b.mp4")
    assert {frame.image.shape for frame in frames_of(tmp_path / "b.mp4")} == {(H, W, 3)}


def test_pixels_that_make_no_sense_are_square(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", "-vf", "setsar=30/1", *X264)
    assert {frame.image.shape for frame in frames_of(path)} == {(H, W, 3)}


def test_one_frame_hours_away_moves_nobody(tmp_path: Path) -> None:
    plain = film(tmp_path / "plain.mp4", *X264, "-bf", 0)
    away = "setts=pts='if(eq(N,12),PTS+9000/TB,PTS)':dts=DTS"
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", away, tmp_path / "a.mkv")
    times = [frame.time_s for frame in frames_of(tmp_path / "a.mkv")]
    assert times == pytest.approx([n / RATE for n in range(COUNT)], abs=0.01)


NAN, HOUR = math.nan, 3600.0


@pytest.mark.parametrize(
    ("stamps", "times"),
    [
        pytest.param([0, 0.1, 0.2], [0, 0.1, 0.2], id="as they should be"),
        pytest.param([0, 0.1, HOUR, 0.3, 0.4], [0, 0.1, 0.2, 0.3, 0.4], id="one away"),
        pytest.param([0, 0.1, 5.0, 0.3, 0.4], [0, 0.1, 0.2, 0.3, 0.4], id="one a little away"),
        pytest.param([HOUR, 0.1, 0.2], [0, 0.1, 0.2], id="the first away"),
        pytest.param([0, 0.1, HOUR], [0, 0.1, 0.2], id="the last away"),
        pytest.param([0, 0.1, HOUR, HOUR + 0.1], [0, 0.1, HOUR, HOUR + 0.1], id="a pause"),
        pytest.param([0, 60, 120, 180], [0, 60, 120, 180], id="one picture a minute"),
        pytest.param([5, 5.1, 0, 0.1, 0.2], [5, 5.1, 5.2, 5.3, 5.4], id="a new count"),
        pytest.param([0, 0.1, -HOUR, 0.3], [0, 0.1, 0.2, 0.3], id="one before the start"),
        pytest.param([NAN, NAN, NAN], [0, 0.1, 0.2], id="no numbers"),
        pytest.param([0, NAN, 0.2, math.inf, 0.4], [0, 0.1, 0.2, 0.3, 0.4], id="some are no numbers"),
        pytest.param([7, 7, 7], [7, 7.1, 7.2], id="constant"),
        pytest.param([1.7e9, 1.7e9 + 0.1, 1.7e9 + 0.2], [0, 0.1, 0.2], id="dates"),
        pytest.param([-7.6e12, -7.6e12 + 0.5, -7.6e12 + 1], [0, 0.5, 1], id="unset in FFmpeg 5"),
        pytest.param([0, 0.1, 1e12, 1e12 + 0.5], [0, 0.1, 0.2, 0.7], id="a jump into nonsense"),
    ],
)
def test_times_of_stamps(stamps: list[float], times: list[float]) -> None:
    clock = SourceTime(0.1)
    seen = list(clock.times(enumerate(stamps)))
    assert [number for number, _ in seen] == list(range(len(stamps)))
    assert [time_s for _, time_s in seen] == pytest.approx(times, abs=0.01)


def test_a_name_that_is_no_text_is_read_and_written(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    folder.mkdir()
    path = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.mp4"))
    film(tmp_path / "a.mp4").rename(path)
    drawn = DrawnVideo(path.with_name(f"{path.name}.faces.mp4"))
    for frame in frames_of(path):
        drawn.write(frame.image, frame.time_s)
    drawn.finish()
    assert len(list(frames_of(path.with_name(f"{path.name}.faces.mp4")))) == COUNT
    assert len(list(folder.iterdir())) == 2, "a part was left behind"


def make_socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))
    return path


def make_fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("name", ["a", "a.jpg", "a.mp4"])
@pytest.mark.parametrize(("make", "what"), [(make_fifo, "a FIFO"), (make_socket, "a socket")])
@pytest.mark.timeout(20)
def test_what_is_no_file_is_never_opened(make: Callable[[Path], Path], what: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"is {what}, not a file"):
        list(frames_of(make(tmp_path / name)))


@pytest.mark.timeout(20)
def test_a_device_that_never_ends_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("/dev/zero")
    with pytest.raises(SourceError, match="is a device, not a file"):
        list(frames_of(tmp_path / "a.jpg"))


@pytest.mark.parametrize("target", ["nowhere", "loop"])
def test_a_link_that_leads_nowhere(target: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(target)
    with pytest.raises(UsageError, match=r"loop (leads nowhere|cannot be looked at: Too many)"):
        list(frames_of(tmp_path / "loop"))


def test_a_name_too_long_is_a_wrong_argument(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be looked at: File name too long"):
        list(frames_of(tmp_path / ("a" * 300)))


def test_a_line_break_in_a_name_makes_no_second_line(tmp_path: Path) -> None:
    (tmp_path / "a\n\x1b[31mb.mp4").write_bytes(b"no film")
    with pytest.raises(SourceError) as raised:
        list(frames_of(tmp_path / "a\n\x1b[31mb.mp4"))
    assert r"a\u000a\u001b[31mb.mp4 is not a video" in str(raised.value)


def test_giants_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    with pytest.raises(SourceError, match=r"has 96x64 pixels, which take 0 MB to decode, more than 0\.1; raise limits"):
        list(frames_of(path, Limits(megabytes=0.1)))


def test_a_folder_of_videos_and_pictures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    film(tmp_path / "2.mkv", *MJPEG)
    film(tmp_path / "3.mp4")
    cover(tmp_path).rename(tmp_path / "1.jpg")
    (tmp_path / "4.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(tmp_path / "5.mp4")
    os.mkfifo(tmp_path / "control")
    (tmp_path / "notes.txt").write_text("hello")
    seen: list[Frame] = []
    with pytest.raises(SourceError, match="2 of 5 files of .* could not be read; see the lines above"):
        seen.extend(frames_of(tmp_path))
    assert [number_of(frame.image) for frame in seen[1:]] == ALL * 2
    assert [frame.index for frame in seen] == list(range(1 + 2 * COUNT))
    steps = [b.time_s - a.time_s for a, b in itertools.pairwise(seen)]
    assert [round(step) for step in steps if step > 1] == [11, 11], "nobody is followed from one film into the next"
    assert "4.jpg cannot be read: No such file" in caplog.text
    assert "5.mp4 is a FIFO" in caplog.text
