"""Streams against a real server on the loopback: pictures, silence, an end, refusals; credentials stay inside."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from films import COUNT, INTERLACED, X264, film, number_of, numbered
from rtsp_server import RtspServer
from web import Web

from edgeface.config import Camera, Limits, hide_credentials
from edgeface.errors import SourceError
from edgeface.sources import Source, open_source
from edgeface.sources.asking import OTHERWISE, UNSAID, why_closed
from edgeface.sources.capture import fourcc_code
from edgeface.sources.stream import Stream
from edgeface.types import Frame

W, H = 160, 96
OLD = tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 13)
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
            r"rtsp://\*\*\*@127\.0\.0\.1:\d+/stream cannot be opened: 127\.0\.0\.1 answers, but gives no such stream: "
            r"401 Unauthorized \(user, password, path\?\); it is opened again",
        )
        # FFmpeg has tried it. Who asks why does not try it once more: cameras lock themselves after a few wrong ones.
        assert server.told[-1] == ""
        assert server.told.count("user:secret") == 1


def test_a_password_that_is_asked_for_and_not_given() -> None:
    with RtspServer(PICTURES, password="secret") as server:
        address = server.address.replace("user:secret@", "")
        read(stream(address), r"no such stream: 401 Unauthorized \(it asks for user and password\); it is opened again")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (404, r": 404 Not Found \(path\?\)"),
        (403, r": 403 Forbidden \(may this user see it, and may this address\?\)"),
        (453, r": 453 \(does another program take it\?\)"),
        (503, r": 503 Service Unavailable \(does another program take it\?\)"),
        (461, r": 461 \(path, user, password, codec\?\)"),
        (200, r": it describes one \(codec, or no RTP over TCP\?\)"),
    ],
)
def test_what_an_rtsp_server_says_is_told(code: int, said: str) -> None:
    with RtspServer(PICTURES, refuses=code) as server:
        read(stream(server.address), f"127.0.0.1 answers, but gives no such stream{said}; it is opened again")


def test_an_address_that_cannot_be_asked_about_is_not() -> None:
    with RtspServer(PICTURES, refuses=404) as server:
        said = r"answers, but gives no such stream \(path, user, password, codec\?\); it is opened again"
        read(stream(f"{server.address} x"), said)
        asked = server.asked.count("DESCRIBE")
        # Half of a password passes for the host: the name of nobody who could be asked.
        cut = f"rtsp://nobody/word@127.0.0.1:{server.port}/x"
        assert why_closed(cut, hide_credentials(cut)).endswith("no such stream (path, user, password, codec?)")
        assert server.asked.count("DESCRIBE") == asked


def test_a_server_that_speaks_otherwise_than_its_address_says() -> None:
    with serving(type("Web", (Recorder,), {"again": False})) as port:
        said = r"answers, but gives no such stream \(path, user, password, codec\?\); it is opened again"
        read(stream(f"rtsp://127.0.0.1:{port}/x"), said)


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (401, "text/html", r"401 Unauthorized \(it asks for user and password\)"),
        (404, "text/html", r"404 Not Found \(path\?\)"),
        (500, "text/html", r"500 Internal Server Error \(path, user, password, codec\?\)"),
        (200, "text/html", r"text/html is a web page \(has it an address for MJPEG or RTSP\?\)"),
        (200, "video/mp4", r"it describes video/mp4 \(codec, or no RTP over TCP\?\)"),
        (200, "video/" + 80 * "x", r"it describes one \(codec, or no RTP over TCP\?\)"),
    ],
)
def test_what_a_web_server_says_is_told(code: int, kind: str, said: str) -> None:
    handler = type("Web", (Recorder,), {"film": b"<html></html>", "kind": kind, "code": code, "again": False})
    with serving(handler) as port:
        read(stream(f"http://127.0.0.1:{port}/x"), f"127.0.0.1 answers, but gives no such stream: {said}; it is opened")


@contextlib.contextmanager
def answering(*parts: bytes, every_s: float = 0.0) -> Iterator[tuple[int, list[bytes]]]:
    """A server of bytes: its port, and all that it was told; it sends ``parts`` until nobody listens, or closes."""
    told: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            if (words := connection.recv(4096)) != b"":
                told.append(words)
                for part in parts:
                    connection.sendall(part)
                    time.sleep(every_s)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=[server.accept()[0]], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], told
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("scheme", "begin", "drop", "said"),
    [
        ("rtsp", b"", b"R", " (path, user, password, codec?)"),
        ("rtsp", b"RTSP/1.0 404 No\r\n", b"x", ": 404 Not Found (path?)"),
        ("http", b"", b"H", " (path, user, password, codec?)"),
        ("http", b"HTTP/1.1 404 No\r\nA: ", b"x", ": 404 Not Found (path?)"),
        ("http", b"", b"HTTP/1.1 100 Continue\r\n\r\n", " (path, user, password, codec?)"),
    ],
)
def test_a_server_that_drips_is_not_listened_to_for_long(scheme: str, begin: bytes, drop: bytes, said: str) -> None:
    address = f"{scheme}://127.0.0.1:%d/x"
    with answering(begin, *(drop for _ in range(25)), every_s=0.2) as (port, _):
        started_s = time.monotonic()
        assert why_closed(address % port, address % port) == f"127.0.0.1 answers, but gives no such stream{said}"
        assert time.monotonic() - started_s < 2.5


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", ": it describes one (codec, or no RTP over TCP?)"),
        (b"HTTP/1.1 200 OK\r\ncontent-type:TEXT/HTML;charset=x\r\n\r\n", f": text/html is a web page ({OTHERWISE})"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://user:secret@x/\r\n\r\n", f": 302 Found ({UNSAID})"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1_000_000, ": it describes one (codec, or no RTP over TCP?)"),
        (b"RTSP/1.0 404 No\r\n\r\n", f" ({UNSAID})"),
        (b"", f" ({UNSAID})"),
    ],
)
def test_only_what_a_web_server_says_is_told(answer: bytes, said: str) -> None:
    with answering(answer) as (port, told):
        address = f"http://127.0.0.1:{port}?channel=1"
        assert why_closed(address, address) == f"127.0.0.1 answers, but gives no such stream{said}"
        assert told[0].startswith(b"GET /?channel=1 HTTP/1.1\r\n")


@pytest.mark.parametrize("place", ["x.cgi?user=admin&password=secret", "user=admin&password=secret&channel=1.sdp"])
def test_a_password_in_path_or_query_is_not_tried_once_more(place: str) -> None:
    with answering(b"HTTP/1.1 401 No\r\n\r\n") as (port, told):
        address = f"http://127.0.0.1:{port}/{place}"
        assert why_closed(address, hide_credentials(address)).endswith(f"gives no such stream ({UNSAID})")
        assert told == []


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("rtsp://a..b/x", "the name a..b is not known"),
        ("rtsp://user:secret@no host/x", "no stream came"),
        ("srt://127.0.0.1:9", "no stream came"),
    ],
)
def test_what_no_connection_can_tell_is_not_told(address: str, said: str) -> None:
    assert why_closed(address, hide_credentials(address)) == said


def test_a_camera_that_signs_its_certificate_itself_is_asked_too(tmp_path: Path) -> None:
    web = Web(tmp_path, trusted=False)
    try:
        said = r"localhost answers, but gives no such stream: 404 Not Found \(path\?\); it is opened again"
        read(stream(f"{web.address}/x?channel=1"), said)
        assert web.asked[-1] == "/x?channel=1"
    finally:
        web.stop()


def test_a_stream_that_has_shown_some_pictures_ended() -> None:
    sent = multipart([numbered(number) for number in range(5)], lengths=True)
    handler = type("Web", (Recorder,), {"film": sent, "kind": "image/jpeg", "again": False})
    with serving(handler) as port:
        seen = read(stream(f"http://127.0.0.1:{port}/video"), "ended or fell silent; it is opened again")
    assert len(seen) == 5


@pytest.mark.parametrize("ending", [b"", b"\r\n"])
def test_an_address_of_single_pictures_is_told_from_a_stream_that_ended(ending: bytes) -> None:
    picture = cv2.imencode(".jpg", numbered(3))[1].tobytes() + ending
    handler = type("Web", (Recorder,), {"film": picture, "kind": "image/jpeg", "again": False})
    with serving(handler) as port:
        said = "ended or fell silent: image/jpeg is a single picture, no stream; take the camera's address for MJPEG"
        read(stream(f"http://127.0.0.1:{port}/shot.jpg"), said)


@pytest.mark.parametrize(
    ("written", "password"),
    [
        ("p@ss@word", "p@ss@word"),
        ("p%40ss%2Fw%3Fr%23d%25", "p@ss/w?r#d%"),
        ("a:b[c$!&+", "a:b[c$!&+"),
    ],
)
def test_a_password_arrives_with_all_its_characters(written: str, password: str) -> None:
    with RtspServer(PICTURES, then="close", password=password) as server:
        address = f"rtsp://user:{written}@127.0.0.1:{server.port}/stream"
        assert read(stream(address, read_timeout=5.0), "ended or fell silent; it is opened again")


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    read(stream(f"rtsp://user:secret@127.0.0.1:{port}/x"), f"127.0.0.1 port {port}: connection refused")


@pytest.mark.parametrize("address", ["rtsp://", "rtsp://user:secret@:99999/x"])
def test_addresses_that_are_none(address: str) -> None:
    read(stream(address), "cannot be opened")


class Frames:
    """Stands in for cv2.VideoCapture: a stream of one codec that gives its pictures, the last one for ever or not."""

    def __init__(self, *pictures: np.ndarray, codec: str = "h264", ends: bool = False) -> None:
        self._pictures = list(pictures)
        self._codec = codec
        self._ends = ends

    def isOpened(self) -> bool:
        return True

    def open(self, *_: object) -> bool:
        return True

    def read(self) -> tuple[bool, np.ndarray | None]:
        if not self._pictures:
            return False, None
        last = len(self._pictures) == 1 and not self._ends
        return True, (self._pictures[0] if last else self._pictures.pop(0)).copy()

    def get(self, prop: int, /) -> float:
        shape = {cv2.CAP_PROP_SAR_NUM: 16.0, cv2.CAP_PROP_SAR_DEN: 11.0}
        return fourcc_code(self._codec) if prop == cv2.CAP_PROP_FOURCC else shape.get(prop, 0.0)

    def set(self, *_: object) -> bool:
        return False

    def release(self) -> None: ...


BLACK = np.zeros((96, 160, 3), np.uint8)
UNSET = np.random.default_rng(1).integers(0, 255, (96, 160, 3), np.uint8)
SCENE = cv2.resize(UNSET, (160, 96), interpolation=cv2.INTER_LINEAR)[:, ::-1].copy()
NOISY = np.clip(SCENE.astype(int) + np.random.default_rng(2).integers(-6, 7, SCENE.shape), 0, 255).astype(np.uint8)


def opened(*captures: Frames) -> tuple[Stream, list[float]]:
    """A stream of these connections, and the clock that it reads."""
    waiting, now = list(captures), [0.0]
    device = Stream(
        Camera(source="rtsp://h/x", open_timeout=10.0), opener=lambda *_: waiting.pop(0), clock=lambda: now[0]
    )
    device.open()
    return device, now


def test_nothing_is_shown_before_a_frame_differed() -> None:
    device, _ = opened(Frames(UNSET, UNSET, SCENE, NOISY))
    assert [device.read() is not None for _ in range(4)] == [False, False, True, True]


def test_oblong_pixels_of_a_camera_are_stretched() -> None:
    device, _ = opened(Frames(SCENE, NOISY))
    device.read()
    image = device.read()
    assert image is not None
    assert image.shape == (96, round(160 * 16 / 11), 3)


def test_motion_jpeg_is_never_interlaced() -> None:
    device, _ = opened(Frames(BLACK, codec="MJPG"))
    assert device.read() is not None


@pytest.mark.parametrize(
    ("first", "second", "good"),
    [
        pytest.param(BLACK, BLACK, False, id="black"),
        pytest.param(UNSET, np.full_like(UNSET, 77), False, id="memory that nobody wrote"),
        pytest.param(UNSET, SCENE[::-1].copy(), False, id="other memory"),
        pytest.param(SCENE, NOISY, True, id="a scene that stands still"),
    ],
)
def test_a_picture_that_stays_is_looked_at_over_another_connection(
    first: np.ndarray, second: np.ndarray, good: bool
) -> None:
    device, now = opened(Frames(first), Frames(second))
    assert [device.read() for _ in range(3)] == [None] * 3
    now[0] = 5.0
    if good:
        assert device.read() is not None
    else:
        with pytest.raises(SourceError, match="rtsp://h/x is interlaced, which this OpenCV .* set the camera to prog"):
            device.read()


@pytest.mark.parametrize(
    ("pictures", "said"),
    [
        pytest.param((BLACK, BLACK), "silent; all its pictures were the same: interlaced, .*set the camera", id="one"),
        pytest.param((BLACK,), "silent; it is opened again", id="too few to tell"),
        pytest.param((SCENE, NOISY, NOISY), "silent; it is opened again", id="good"),
    ],
)
def test_a_stream_that_ends_before_the_second_look_says_what_its_pictures_were(
    pictures: tuple[np.ndarray, ...], said: str
) -> None:
    device, _ = opened(Frames(*pictures, ends=True))
    for _ in pictures:
        device.read()
    with pytest.raises(SourceError, match=f"rtsp://h/x ended or fell {said}"):
        device.read()


@contextlib.contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    """A web server on a port of its own."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


class Recorder(http.server.BaseHTTPRequestHandler):
    """A recorder that sends a film as fast as it goes: again and again until nobody listens, or once."""

    film = b""
    kind = "video/mp2t"
    code = 200
    again = True

    def do_GET(self) -> None:
        self.send_response(self.code)
        self.send_header("Content-Type", self.kind)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(self.film)
            while self.again:
                self.wfile.write(self.film)

    def log_message(self, *_: object) -> None: ...


def test_interlaced_pictures_of_a_real_stream_are_shown_right_or_refused_by_name(tmp_path: Path) -> None:
    path = film(tmp_path / "a.ts", *INTERLACED, *X264, "-x264-params", "tff=1:interlaced=1")
    handler = type("Playing", (Recorder,), {"film": path.read_bytes()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = stream(f"http://127.0.0.1:{server.server_address[1]}/a.ts", open_timeout=8.0)
        frames = source.frames()
        try:
            seen = {number_of(next(frames).image) for _ in range(10)}
        except SourceError as error:
            assert "is interlaced, which this OpenCV" in str(error)
        else:
            assert len(seen) > 3
        finally:
            source.close()
            server.shutdown()


def multipart(images: list[np.ndarray], *, lengths: bool) -> bytes:
    """Motion JPEG as small cameras send it over HTTP: one part for each picture."""
    parts = [cv2.imencode(".jpg", image)[1].tobytes() for image in images]
    sizes = [b"Content-Length: %d\r\n" % len(part) if lengths else b"" for part in parts]
    heads = [b"--frame\r\nContent-Type: image/jpeg\r\n" + size + b"\r\n" for size in sizes]
    return b"".join(head + part + b"\r\n" for head, part in zip(heads, parts, strict=True))


@pytest.mark.parametrize("torn", [b"", b"\x00" * 3000], ids=["empty", "noise"])
def test_a_picture_that_is_none_does_not_end_a_stream(torn: bytes) -> None:
    """A small camera on a weak radio sends one now and then."""
    part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(torn), torn)
    sent = multipart([numbered(number) for number in range(5)], lengths=True) + part
    kind = "multipart/x-mixed-replace; boundary=frame"
    handler = type("Camera", (Recorder,), {"film": sent * 4, "kind": kind, "again": False})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        device = Stream(Camera(source=f"http://127.0.0.1:{server.server_address[1]}/video"))
        device.open()
        seen = []
        with pytest.raises(SourceError, match="ended or fell silent"):
            while True:
                seen.append(device.read())
        device.release()
        server.shutdown()
    assert [number_of(image) for image in seen if image is not None] == [*range(5)] * 4


def test_a_stream_that_falls_silent_is_asked_once() -> None:
    asked, now = [], [0.0]

    class Silent(Frames):
        def read(self) -> tuple[bool, np.ndarray | None]:
            asked.append(now[0])
            now[0] += 3.5
            return False, None

    device = Stream(Camera(source="rtsp://h/x", read_timeout=3.0), opener=lambda *_: Silent(), clock=lambda: now[0])
    device.open()
    with pytest.raises(SourceError, match="rtsp://h/x ended or fell silent; it is opened again"):
        device.read()
    assert asked == [0.0]


@pytest.mark.parametrize("boundary", ["frame", "--frame"])
@pytest.mark.parametrize("lengths", [True, False])
def test_motion_jpeg_over_http(boundary: str, lengths: bool) -> None:
    sent = multipart([numbered(number) for number in range(COUNT)], lengths=lengths)
    kind = f"multipart/x-mixed-replace; boundary={boundary}"
    handler = type("Camera", (Recorder,), {"film": sent, "kind": kind})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = stream(f"http://user:secret@127.0.0.1:{server.server_address[1]}/video")
        frames = source.frames()
        assert len({number_of(next(frames).image) for _ in range(20)}) > 3
        source.close()
        server.shutdown()


def test_a_transport_stream_over_udp(tmp_path: Path) -> None:
    path = film(tmp_path / "a.ts", *X264, "-g", "5")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        address = f"udp://127.0.0.1:{free.getsockname()[1]}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-re", "-stream_loop", "-1", "-i", str(path)]
    with subprocess.Popen([*command, "-c", "copy", "-f", "mpegts", f"{address}?pkt_size=1316"]) as sender:
        try:
            source = stream(address)
            frames = source.frames()
            assert len({number_of(next(frames).image) for _ in range(10)}) > 3
        finally:
            sender.kill()
        with pytest.raises(SourceError, match=rf"{address} gave no frame for 1 s; it is opened again"):
            list(frames)


@pytest.mark.skipif(OLD, reason="OpenCV before 4.13 goes on with the last picture, or with parts")
def test_a_stream_whose_second_connection_tells_nothing_new_goes_on_in_its_first_size(tmp_path: Path) -> None:
    sizes = [(W, H), (2 * W, 2 * H), (W // 2, H // 2)]
    films = [
        film(tmp_path / f"{width}.ts", *X264, "-g", "5", images=[cv2.resize(p, (width, height)) for p in PICTURES])
        for width, height in sizes
    ]
    handler = type("Changed", (Recorder,), {"film": b"".join(path.read_bytes() for path in films), "again": False})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        device = Stream(Camera(source=f"http://127.0.0.1:{server.server_address[1]}/a.ts"))
        device.open()
        seen: list[np.ndarray] = []
        with pytest.raises(SourceError, match="ended or fell silent"):
            while True:
                image = device.read()
                seen += [] if image is None else [image]
        device.release()
        server.shutdown()
    assert len(seen) > 2.5 * len(PICTURES)
    assert {image.shape for image in seen} == {(H, W, 3)}
    # The last colour of each film fills the picture up to its corners.
    for image in (seen[-len(PICTURES) - 5], seen[-1]):
        assert np.abs(image[[0, -1, 0, -1], [0, 0, -1, -1]].astype(int) - COLOURS[2]).max() < 12


@pytest.mark.skipif(OLD, reason="OpenCV before 4.13 goes on with the last picture, or with parts")
@pytest.mark.parametrize("size", [(2 * W, 2 * H), (H, W)], ids=["larger", "upright"])
def test_a_camera_that_is_given_another_resolution_is_opened_again(tmp_path: Path, size: tuple[int, int]) -> None:
    """It goes on with other pictures on the same connection; who connects from now on gets them from the first."""
    before, after = (
        film(tmp_path / f"{wh[0]}.ts", *X264, "-g", "5", images=[cv2.resize(p, wh) for p in PICTURES]).read_bytes()
        for wh in ((W, H), size)
    )
    sent = iter([before + after])

    class Changed(Recorder):
        again = False

        def do_GET(self) -> None:
            self.film = next(sent, after)
            super().do_GET()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Changed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = stream(f"http://127.0.0.1:{server.server_address[1]}/a.ts", read_timeout=8.0)
        seen = read(source, rf"changed its pictures from {W}x{H} to {size[0]}x{size[1]}; it is opened again")
        again = stream(f"http://127.0.0.1:{server.server_address[1]}/a.ts", read_timeout=8.0)
        assert next(iter(again.frames())).image.shape == (size[1], size[0], 3)
        again.close()
        server.shutdown()
    assert {frame.image.shape for frame in seen} <= {(H, W, 3)}


LATER = SCENE[::-1].copy()


@pytest.mark.parametrize(
    ("pictures", "pause_s", "asked"),
    [
        pytest.param((SCENE, NOISY, NOISY), 0.1, 0, id="the same scene"),
        pytest.param((SCENE, NOISY, NOISY), 2.0, 1, id="a pause"),
        pytest.param((SCENE, NOISY, LATER), 0.1, 1, id="another scene"),
        pytest.param((BLACK, BLACK + 1, BLACK), 0.1, 0, id="dark"),
    ],
)
def test_a_stream_that_may_have_begun_anew_is_looked_at_over_another_connection(
    pictures: tuple[np.ndarray, ...], pause_s: float, asked: int
) -> None:
    waiting, now = [Frames(*pictures, codec="MJPG"), Frames(SCENE[:48])], [0.0]
    device = Stream(Camera(source="rtsp://h/x"), opener=lambda *_: waiting.pop(0), clock=lambda: now[0])
    device.open()
    device.read()
    device.read()
    now[0] += pause_s
    if asked:
        with pytest.raises(SourceError, match="rtsp://h/x changed its pictures from 160x96 to 160x48; it is opened"):
            device.read()
    else:
        assert device.read() is not None
    assert len(waiting) == 1 - asked


def test_a_second_connection_that_shows_nothing_new_is_not_made_again_and_again() -> None:
    made: list[float] = []
    now = [0.0]

    def connect(*_: object) -> Frames:
        made.append(now[0])
        return Frames(*(SCENE, LATER) * 400, codec="MJPG")

    device = Stream(Camera(source="rtsp://h/x"), opener=connect, clock=lambda: now[0])
    device.open()
    for second in range(700):
        now[0] = float(second)
        device.read()
    assert made == [0, 1, 61, 181, 421]


def test_a_camera_that_takes_one_connection_only_goes_on() -> None:
    class Busy(Frames):
        def isOpened(self) -> bool:
            return False

    waiting, now = [Frames(SCENE, LATER, codec="MJPG"), Busy()], [0.0]
    device = Stream(Camera(source="http://127.0.0.1:9/x"), opener=lambda *_: waiting.pop(0), clock=lambda: now[0])
    device.open()
    assert [device.read() is not None for _ in range(2)] == [True, True]
    assert not waiting


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
