"""V4L2: modes as the kernel's structures tell them, a stand-in for OpenCV's VideoCapture; no device needed."""

from __future__ import annotations

import errno
import json
import logging
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeface.cli.main import main
from edgeface.config import Camera
from edgeface.errors import SourceError
from edgeface.sources import is_live, modes
from edgeface.sources.capture import BAD_READS, fourcc_code, fourcc_name
from edgeface.sources.modes import Device, Mode, list_devices, modes_of, nearest_size
from edgeface.sources.v4l2 import V4l2Camera


class Webcam:
    """Answers a USB camera's ioctls: two formats with their sizes and rates, one of them a range."""

    def __init__(self, *, caps: int = 0x84A00001, node: int = 0x04200001) -> None:
        self._caps, self._node = caps, node
        self._formats = {"MJPG": [(1280, 720, [(1, 30), (1, 15)]), (640, 480, [(1, 30)])], "YUYV": []}

    def __call__(self, _: int, request: int, answer: bytearray) -> None:
        assert len(answer) == request >> 16 & 0x3FFF, "the size in the request's number is the structure's"
        index, second, width, height = struct.unpack_from("=4I", answer, 0)
        names = list(self._formats)
        if request == modes.QUERYCAP:
            struct.pack_into(
                "=16s32s32sIII", answer, 0, b"uvcvideo", b"HD Pro Webcam", b"usb", 0, self._caps, self._node
            )
            return
        if request == modes.ENUM_FMT:
            assert second in (1, 9)
            if index >= len(names):
                raise OSError(errno.EINVAL, "Invalid argument")
            struct.pack_into("=I", answer, 44, fourcc_code(names[index]))
            return
        sizes = self._formats[fourcc_name(second)]
        if request == modes.ENUM_FRAMESIZES and not sizes:
            struct.pack_into("=I6I", answer, 8, 3, 160, 1920, 16, 120, 1080, 8)
        elif request == modes.ENUM_FRAMESIZES and index < len(sizes):
            struct.pack_into("=III", answer, 8, 1, *sizes[index][:2])
        elif request == modes.ENUM_FRAMEINTERVALS and sizes:
            rates = next(rates for w, h, rates in sizes if (w, h) == (width, height))
            if index >= len(rates):
                raise OSError(errno.EINVAL, "Invalid argument")
            struct.pack_into("=III", answer, 16, 1, *rates[index])
        else:
            raise OSError(errno.EINVAL, "Invalid argument")


@pytest.mark.parametrize(
    ("request_code", "direction", "number", "size"),
    [
        (modes.QUERYCAP, 2, 0, 104),
        (modes.ENUM_FMT, 3, 2, 64),
        (modes.ENUM_FRAMESIZES, 3, 74, 44),
        (modes.ENUM_FRAMEINTERVALS, 3, 75, 52),
    ],
)
def test_requests_are_those_of_videodev2(request_code: int, direction: int, number: int, size: int) -> None:
    """_IOR and _IOWR of linux/ioctl.h: direction, size of the structure, ``V``, number."""
    assert request_code == direction << 30 | size << 16 | ord("V") << 8 | number


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    """A /dev with two nodes of one camera and its lasting name."""
    for name in ("video0", "video10", "video2", "videodev", "null"):
        (tmp_path / name).touch()
    links = tmp_path / "v4l" / "by-id"
    links.mkdir(parents=True)
    (links / "usb-HD_Pro_Webcam-video-index0").symlink_to("../../video0")
    return tmp_path


def test_modes_are_read_as_the_kernel_writes_them(dev: Path) -> None:
    devices = list_devices(dev, ioctl=Webcam())
    assert [Path(device.path).name for device in devices] == ["video0", "video2", "video10"]
    assert devices[0] == Device(
        path=str(dev / "video0"),
        name="HD Pro Webcam",
        driver="uvcvideo",
        links=(str(dev / "v4l/by-id/usb-HD_Pro_Webcam-video-index0"),),
        modes=(
            Mode(fourcc="MJPG", width=1280, height=720, stepwise=False, fps=(30.0, 15.0)),
            Mode(fourcc="MJPG", width=640, height=480, stepwise=False, fps=(30.0,)),
            Mode(fourcc="YUYV", width=1920, height=1080, stepwise=True, fps=()),
        ),
    )
    assert devices[1].links == ()


@pytest.mark.parametrize(
    ("caps", "node", "there"),
    [
        pytest.param(0x84A00001, 0x04200001, True, id="capture node"),
        pytest.param(0x84A00001, 0x04A00000, False, id="metadata node of a camera"),
        pytest.param(0x00000001, 0, True, id="old driver without capabilities per node"),
        pytest.param(0x84001000, 0x04001000, True, id="several planes"),
        pytest.param(0x84008000, 0x04008000, False, id="encoder"),
    ],
)
def test_only_nodes_that_give_pictures_are_listed(dev: Path, caps: int, node: int, there: bool) -> None:
    assert bool(list_devices(dev, ioctl=Webcam(caps=caps, node=node))) is there


def test_files_that_are_no_devices_are_left_out(dev: Path) -> None:
    assert list_devices(dev) == []


def test_a_driver_that_never_ends_its_list_does_not_hold_us(dev: Path) -> None:
    def endless(fd: int, request: int, answer: bytearray) -> None:
        if request == modes.QUERYCAP:
            struct.pack_into("=16s32s32sIII", answer, 0, b"x", b"x", b"x", 0, 1, 0)
        elif request == modes.ENUM_FRAMESIZES:
            raise OSError(errno.EINVAL, "Invalid argument")

    assert list_devices(dev, ioctl=endless)[0].modes == ()


class Camera2:
    """Stands in for cv2.VideoCapture: grants what it likes, gives what its list says."""

    def __init__(self, *reads: bool, opened: bool = True) -> None:
        self.sets: list[tuple[int, float]] = []
        self.released = False
        self._opened = opened
        self._reads = iter(reads)
        self._granted = {3: 1280.0, 4: 720.0, 5: 30.0, 6: float(fourcc_code("MJPG"))}

    def isOpened(self) -> bool:
        return self._opened

    def open(self, *_: object) -> bool:
        return self._opened

    def read(self) -> tuple[bool, Any]:
        return (True, np.zeros((4, 6, 3), np.uint8)) if next(self._reads, False) else (False, None)

    def get(self, prop: int, /) -> float:
        return self._granted[prop]

    def set(self, prop: int, value: float, /) -> bool:
        self.sets.append((prop, value))
        return True

    def release(self) -> None:
        self.released = True


def opened(
    path: Path, stand_in: Camera2, *, modes: Callable[[Path], Sequence[Mode]] = lambda _: (), **options: Any
) -> V4l2Camera:
    def opener(name: str, api: int, given: Sequence[int]) -> Camera2:
        assert (name, api) == (str(path.resolve()), cv2.CAP_V4L2)
        return stand_in

    camera = V4l2Camera(Camera(source=str(path), **options), opener=opener, sleep=lambda _: None, modes=modes)
    camera.open()
    return camera


MJPG, YUYV = fourcc_code("MJPG"), fourcc_code("YUYV")


@pytest.mark.parametrize(
    ("options", "sets"),
    [
        pytest.param({}, [], id="the driver's own mode"),
        pytest.param({"width": 640, "height": 480}, [(3, 640), (4, 480)], id="640x480 as it comes"),
        pytest.param({"width": 1280, "height": 720}, [(6, MJPG), (3, 1280), (4, 720)], id="MJPG above 640x480"),
        pytest.param(
            {"width": 1280, "height": 720, "fourcc": "YUYV", "fps": 10.0},
            [(6, YUYV), (3, 1280), (4, 720), (5, 10.0)],
            id="format by hand, format first, rate last",
        ),
        pytest.param({"fps": 15.0}, [(5, 15.0)], id="rate alone"),
    ],
)
def test_the_mode_is_asked_for_and_the_granted_one_is_logged(
    tmp_path: Path, options: dict[str, Any], sets: list[tuple[int, float]], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "video0").touch()
    stand_in = Camera2()
    with caplog.at_level(logging.INFO):
        opened(tmp_path / "video0", stand_in, **options)
    assert stand_in.sets == [(cv2.CAP_PROP_BUFFERSIZE, 2), *sets]
    assert "granted 1280x720 MJPG 30 fps" in caplog.text


def mode(fourcc: str, width: int, height: int, *, stepwise: bool = False) -> Mode:
    return Mode(fourcc=fourcc, width=width, height=height, stepwise=stepwise, fps=())


OFFERED = (
    *(mode("MJPG", *wh) for wh in ((1920, 1080), (1280, 720), (1280, 960), (640, 480), (640, 360))),
    *(mode("YUYV", *wh) for wh in ((640, 480), (320, 240))),
)


@pytest.mark.parametrize(
    ("options", "wanted", "granted"),
    [
        ({"width": 1280}, (1280, 720), (1280, 720)),
        ({"height": 1080}, (1920, 1080), (1920, 1080)),
        ({"width": 640}, (640, 360), (640, 360)),
        ({"width": 640, "fourcc": "YUYV"}, (640, 360), (640, 480)),
        ({"height": 700}, (1244, 700), (1280, 720)),
        ({"width": 4000}, (4000, 2250), (1920, 1080)),
    ],
)
def test_one_side_alone_means_16_to_9_and_the_nearest_mode(
    tmp_path: Path,
    options: dict[str, Any],
    wanted: tuple[int, int],
    granted: tuple[int, int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "video0").touch()
    stand_in = Camera2()
    with caplog.at_level(logging.INFO):
        opened(tmp_path / "video0", stand_in, modes=lambda _: OFFERED, **options)
    assert stand_in.sets[-2:] == [(3, granted[0]), (4, granted[1])]
    asked, given = ("x".join(map(str, wh)) for wh in (wanted, granted))
    assert f"video0: {asked} is 16:9, the nearest mode is {given}" in caplog.text


def test_a_size_within_a_range_and_one_that_nobody_offers() -> None:
    assert nearest_size([mode("YUYV", 2592, 1944, stepwise=True)], (1000, 562), None) == (1000, 562)
    assert nearest_size([], (1000, 562), "MJPG") == (1000, 562)


def test_modes_of_one_device(dev: Path) -> None:
    assert {mode.fourcc for mode in modes_of(dev / "video0", ioctl=Webcam())} == {"MJPG", "YUYV"}
    assert modes_of(dev / "gone") == ()


def test_a_fifo_is_no_camera(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "video0")
    with pytest.raises(SourceError, match="video0 is a FIFO, not a camera; see `edgeface cameras`"):
        opened(tmp_path / "video0", Camera2())


def test_a_lasting_name_is_followed_at_every_opening(dev: Path) -> None:
    link = dev / "v4l/by-id/usb-HD_Pro_Webcam-video-index0"
    opened(link, Camera2())
    link.unlink()
    link.symlink_to("../../video2")
    assert link.resolve().name == "video2"
    opened(link, Camera2())


def test_single_lost_pictures_are_survived_and_a_dead_camera_is_not(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    stand_in = Camera2(True, False, False, True)
    camera = opened(tmp_path / "video0", stand_in)
    assert [camera.read() is not None for _ in range(4)] == [True, False, False, True]
    for _ in range(BAD_READS - 1):
        assert camera.read() is None
    with pytest.raises(SourceError, match="video0 stopped giving pictures; it is opened again"):
        camera.read()
    camera.release()
    assert stand_in.released


def test_an_unplugged_camera_is_noticed_at_once(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    camera = opened(tmp_path / "video0", Camera2(True))
    assert camera.read() is not None
    (tmp_path / "video0").unlink()
    with pytest.raises(SourceError, match="stopped giving pictures"):
        camera.read()


def missing(path: Path) -> Path:
    return path / "video9"


def busy(path: Path) -> Path:
    (path / "video0").touch()
    return path / "video0"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(missing, r"camera .*video9 is not there; plug the camera in", id="missing"),
        pytest.param(busy, r"video0 gives no pictures \(in use, or not a capture node\); see", id="OpenCV refuses"),
    ],
)
def test_what_cannot_be_opened_says_why(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        opened(make(tmp_path), Camera2(opened=False))


def test_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("edgeface.sources.v4l2.os.open", refuse)
    with pytest.raises(SourceError, match="may not be opened; add the user to the group video"):
        opened(tmp_path / "video0", Camera2())


@pytest.mark.parametrize(
    ("source", "live"),
    [
        (0, True),
        ("3", True),
        ("/dev/video0", True),
        ("/dev/v4l/by-id/usb-x", True),
        ("rtsp://host/x", True),
        ("http://host/x.mjpg", True),
        ("picamera", True),
        ("csi", True),
        ("clip.mp4", False),
        ("picamera.mp4", False),
        ("folder", False),
    ],
)
def test_live_by_name(source: int | str, live: bool) -> None:
    assert is_live(Camera(source=source)) is live


def listing(monkeypatch: pytest.MonkeyPatch, dev: Path, path: str = "") -> None:
    monkeypatch.setattr(modes, "list_devices", lambda: list_devices(dev, ioctl=Webcam()))
    monkeypatch.setenv("PATH", path)


def test_cameras_lists_devices_with_their_modes(
    dev: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listing(monkeypatch, dev)
    assert main(["cameras"]) == 0
    out = capsys.readouterr().out
    assert f"{dev}/video0  HD Pro Webcam (uvcvideo)" in out
    assert "usb-HD_Pro_Webcam-video-index0" in out
    assert "MJPG  1280x720  30 15 fps" in out
    assert "YUYV  up to 1920x1080" in out
    assert "picamera: rpicam-vid is not installed" in out


def test_cameras_as_json(dev: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    listing(monkeypatch, dev)
    assert main(["cameras", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["devices"][0]["modes"][0] == {
        "fourcc": "MJPG", "width": 1280, "height": 720, "stepwise": False, "fps": [30.0, 15.0],
    }  # fmt: skip
    assert told["programs"] == {"picamera": None, "csi": None}


def test_cameras_without_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listing(monkeypatch, tmp_path)
    assert main(["cameras"]) == 0
    assert capsys.readouterr().out.startswith("no V4L2 camera found")
