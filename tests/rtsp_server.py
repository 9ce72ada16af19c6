"""A small RTSP server: Motion JPEG (RFC 2435) over interleaved TCP, with the ways in which cameras fail."""

from __future__ import annotations

import base64
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from typing import Literal

import cv2
import numpy as np

Ending = Literal["silent", "close", "anew"]
RATE = 90_000
FPS = 25


class RtspServer:
    """Serves ``pictures`` to everybody who asks, then falls ``silent``, closes or begins ``anew``.

    ``mute`` takes connections and never answers; ``password`` asks for one and takes none, or that one of ``user``;
    ``refuses`` with this code, whoever asks.
    """

    def __init__(
        self,
        pictures: Sequence[np.ndarray],
        *,
        then: Ending = "silent",
        mute: bool = False,
        password: bool | str = False,
        refuses: int | None = None,
        fps: int = FPS,
    ) -> None:
        self._pictures = [jpeg_of(picture) for picture in pictures]
        self._height, self._width = pictures[0].shape[:2]
        self._then = then
        self._mute, self._password, self._refuses = mute, password, refuses
        self._fps = fps
        self._stopped = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.asked: list[str] = []
        self.told: list[str] = []
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @property
    def address(self) -> str:
        return f"rtsp://user:secret@127.0.0.1:{self.port}/stream"

    def __enter__(self) -> RtspServer:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for opened in (self._socket, *self._connections):
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()
        for thread in self._threads:
            thread.join(5)

    def show(self, pictures: Sequence[np.ndarray]) -> None:
        """Show others, of the same size, once those that are shown are over."""
        self._pictures = [jpeg_of(picture) for picture in pictures]

    def _shown(self) -> Iterator[tuple[bytes, bytes]]:
        yield from self._pictures
        while self._then == "anew":
            yield from self._pictures

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._connections.append(connection)
            if not self._mute:
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection.makefile("rb") as lines:
                while request := _request(lines):
                    method, sequence, told = request
                    self.asked.append(method)
                    self.told.append(told)
                    known = not self._password or told == f"user:{self._password}"
                    connection.sendall(self._answer(method, sequence, known=known))
                    if method == "PLAY":
                        self._start(self._play, connection)
        except OSError:
            return

    def _answer(self, method: str, sequence: str, *, known: bool) -> bytes:
        lines = ["RTSP/1.0 200 OK", f"CSeq: {sequence}"]
        body = ""
        if method == "OPTIONS":
            lines.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
        elif method == "DESCRIBE" and not known:
            lines = ["RTSP/1.0 401 Unauthorized", f"CSeq: {sequence}", 'WWW-Authenticate: Basic realm="camera"']
        elif method == "DESCRIBE" and self._refuses is not None:
            lines = [f"RTSP/1.0 {self._refuses} No", f"CSeq: {sequence}"]
        elif method == "DESCRIBE":
            body = (
                "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
                f"m=video 0 RTP/AVP 26\r\na=framerate:{self._fps}\r\na=control:track\r\n"
            )
            lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        elif method == "SETUP":
            lines += ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1"]
        elif method == "PLAY":
            lines += ["Session: 1", "RTP-Info: url=track;seq=0;rtptime=0"]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def _play(self, connection: socket.socket) -> None:
        sequence = 0
        try:
            for number, picture in enumerate(self._shown()):
                for packet, last in packets(picture, self._width, self._height):
                    stamp = number * RATE // self._fps % 2**32
                    head = struct.pack(">BBHII", 0x80, 26 | (0x80 if last else 0), sequence % 2**16, stamp, 0x1234)
                    data = head + packet
                    connection.sendall(struct.pack(">cBH", b"$", 0, len(data)) + data)
                    sequence += 1
                if self._stopped.wait(1 / self._fps):
                    return
            if self._then == "close":
                connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _request(lines: object) -> tuple[str, str, str] | None:
    """Method and sequence number of the next request, and who it says to be; None at the end."""
    first, sequence, told = b"", "", ""
    for line in lines:  # type: ignore[attr-defined]
        if line.startswith(b"$"):
            return None
        if not line.strip():
            return first.split(b" ")[0].decode(), sequence, told
        first = first or line
        if line.lower().startswith(b"cseq:"):
            sequence = line.split(b":")[1].strip().decode()
        if line.lower().startswith(b"authorization: basic "):
            told = base64.b64decode(line.split(b" ")[2]).decode()
    return None


def jpeg_of(picture: np.ndarray) -> tuple[bytes, bytes]:
    """Quantisation tables and scan data of a baseline JPEG with standard Huffman tables."""
    done, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    data, place, tables = coded.tobytes(), 2, b""
    while True:
        marker, length = struct.unpack_from(">HH", data, place)
        if marker == 0xFFDB:
            body = data[place + 4 : place + 2 + length]
            tables += b"".join(body[at + 1 : at + 65] for at in range(0, len(body), 65))
        place += 2 + length
        if marker == 0xFFDA:
            return tables, data[place:-2]


def packets(picture: tuple[bytes, bytes], width: int, height: int, most: int = 1200) -> Iterator[tuple[bytes, bool]]:
    """RFC 2435 payloads and whether each is the last of its picture."""
    tables, scan = picture
    for offset in range(0, len(scan), most):
        head = struct.pack(">I", offset) + bytes((1, 255, width // 8, height // 8))
        if offset == 0:
            head += struct.pack(">BBH", 0, 0, len(tables)) + tables
        yield head + scan[offset : offset + most], offset + most >= len(scan)
