"""A real https server on the loopback, whose answers a test writes: whole, cut, endless, elsewhere."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme

Answer = Callable[[BaseHTTPRequestHandler, threading.Event], None]
"""With the event that says that the test is over, for who waits."""


class Web:
    """``answers`` by path, ``asked`` in their order."""

    def __init__(self, folder: Path, *, trusted: bool = True) -> None:
        authority = trustme.CA()
        self.authority = folder / "authority.pem"
        (authority if trusted else trustme.CA()).cert_pem.write_to_path(self.authority)
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.stopping = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append(self.path)
                with suppress(OSError):  # Who asked has heard enough.
                    web.answers.get(self.path, status(404))(self, web.stopping)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.address = f"https://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def give(self, path: str, answer: bytes | Answer) -> str:
        """Answer a path from now on; its address."""
        self.answers[path] = whole(answer) if isinstance(answer, bytes) else answer
        return f"{self.address}{path}"

    def stop(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def head(request: BaseHTTPRequestHandler, code: int = 200, **fields: object) -> None:
    request.send_response(code)
    for name, value in fields.items():
        request.send_header(name.replace("_", "-"), str(value))
    request.end_headers()


def status(code: int, **fields: object) -> Answer:
    return lambda request, _: head(request, code, Content_Length=0, **fields)


def whole(data: bytes, *, kind: str = "application/x-tar", said: int | None = None) -> Answer:
    """The bytes; ``said`` is another length than they have."""

    def answer(request: BaseHTTPRequestHandler, _: threading.Event) -> None:
        head(request, Content_Type=kind, Content_Length=len(data) if said is None else said)
        request.wfile.write(data)

    return answer
