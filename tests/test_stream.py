"""Streams against a real server on the loopback: pictures, silence, an end, refusals; credentials stay inside."""

from __future__ import annotations

import itertools
import socket
import time
from datetime import datetime, timezone

import cv2
import numpy as np
import pytest
from rtsp_server import RtspServer

from edgeface.config import Camera, Limits, hide_credentials
from edgeface.errors import SourceError
from edgeface.sources import Source, open_source
from edgeface.types import Frame

W, H = 160, 96
COLOURS = [(200, 60, 30), (40, 180, 90), (60, 60, 220)]
PICTURES = [np.full((H, W, 3), COLOURS[i // 20 % 3], np.uint8) for i in range(60)]


def stream(address: str, **options: float) -> Source:
    camera = Camera(source=address, **({"open_timeout": 8.0, "read_timeout": 1.0} | options))  # type: ignore[arg-type]
    return open_source("door", camera, limits=Limits(), started_at=datetime.now(timezone.utc))


def read(source: Source, error: str) -> list[Frame]:
    seen: list[Frame] = []
    with pytest.raises(SourceError, match=error) as raised:
        seen.extend(source.frames())
    assert "secret" not in str(raised.value)
    return seen


def test_rtsp_pictures_arrive_over_tcp_and_silence_is_noticed() -> None:
    with RtspServer(PICTURES) as server:
        source = stream(server.address)
        assert source.live
        assert source.description == f"rtsp://***@127.0.0.1:{server.port}/stream"
        seen = read(source, rf"rtsp://\*\*\*@127\.0\.0\.1:{server.port}/stream gave no frame for 1 s")
        assert server.asked[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    assert len(seen) > 20
    assert {frame.image.shape for frame in seen} == {(H, W, 3)}
    assert np.abs(seen[-1].image.reshape(-1, 3).mean(0) - COLOURS[2]).max() < 6
    assert all(a.time_s < b.time_s and a.index < b.index for a, b in itertools.pairwise(seen))


def test_a_stream_that_ends_says_so() -> None:
    with RtspServer(PICTURES, then="close") as server:
        assert read(stream(server.address, read_timeout=5.0), "ended or fell silent; it is opened again")


def test_a_camera_that_takes_the_connection_and_says_nothing() -> None:
    with RtspServer(PICTURES, mute=True) as server:
        started_s = time.monotonic()
        read(stream(server.address, open_timeout=1.0), "answers, but gives no such stream|gave no frame for 1 s")
        assert time.monotonic() - started_s < 5


def test_a_refused_password_is_hinted_at_and_not_told() -> None:
    with RtspServer(PICTURES, password=True) as server:
        read(
            stream(server.address),
            r"cannot be opened: 127\.0\.0\.1 answers, but gives no such stream \(path, user, pass",
        )


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    read(stream(f"rtsp://user:secret@127.0.0.1:{port}/x"), f"127.0.0.1 port {port}: connection refused")


@pytest.mark.parametrize("address", ["rtsp://", "rtsp://user:secret@:99999/x"])
def test_addresses_that_are_none(address: str) -> None:
    read(stream(address), "cannot be opened")


def test_close_from_outside_returns_at_once_also_while_the_stream_is_silent() -> None:
    with RtspServer(PICTURES[:30]) as server:
        source = stream(server.address, read_timeout=2.0)
        frames = source.frames()
        next(frames)
        started_s = time.monotonic()
        source.close()
        assert list(frames) == []
        assert time.monotonic() - started_s < 6


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://host/x", "rtsp://host/x"),
        ("rtsp://user:secret@host/x", "rtsp://***@host/x"),
        ("rtsp://user:sec@ret@host/x", "rtsp://***@host/x"),
        ("rtsp://user:sec/ret@host:554/x", "rtsp://***@host:554/x"),
        ("rtsp://host/cam?user=admin&password=secret&channel=1", "rtsp://host/cam?user=admin&password=***&channel=1"),
        ("http://host/v.cgi?pwd=secret", "http://host/v.cgi?pwd=***"),
        ("/home/me@home/clip.mp4", "/home/me@home/clip.mp4"),
    ],
)
def test_credentials_are_hidden_wherever_cameras_put_them(address: str, shown: str) -> None:
    assert hide_credentials(address) == shown


def test_opencv_was_built_with_ffmpeg() -> None:
    assert cv2.CAP_FFMPEG in cv2.videoio_registry.getBackends()
