"""Why a network camera gives no stream: asked over one more connection, since OpenCV only says that it did not open.

No user and no password are sent: a camera that locks itself after so many wrong ones would do so sooner.
"""

from __future__ import annotations

import re
import socket
import ssl
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "http": 80, "https": 443}
ASK_S = 1.0
"""Patience with each step of that connection."""
HINTS = {
    403: "may this user see it, and may this address?",
    404: "path?",
    454: "does another program take it?",
    453: "does another program take it?",
    503: "does another program take it?",
}
"""What may be wrong where a server refuses, by its code."""
UNSAID = "path, user, password, codec?"
OTHERWISE = "has it an address for MJPEG or RTSP?"
_KIND = re.compile(r"[a-z]+/[a-z0-9.+-]{1,60}")
_STATUS = re.compile(rb"RTSP/1\.[0-9] ([1-5][0-9][0-9])\b")
_PLAIN = re.compile(r"[\x21-\x7e]*")


class Reply(NamedTuple):
    """What a server says of an address: its code, and what kind of thing is there, empty where it does not say so."""

    code: int
    kind: str = ""

    @property
    def is_picture(self) -> bool:
        """Whether there is a picture, not a stream of them."""
        return self.code == HTTPStatus.OK and self.kind.startswith("image/")


def why_closed(address: str, shown: str) -> str:
    """Why a stream does not open, as far as one connection tells.

    Parameters
    ----------
    address : of the stream
    shown : the same without credentials: half a password with / or ? in it would pass for the host
    """
    try:
        parts = urlsplit(shown)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return "the address is not valid"
    if host is None or port is None or parts.scheme == "udp":
        return "no stream came"
    try:
        socket.create_connection((host, port), timeout=ASK_S).close()
    except socket.gaierror:
        return f"the name {host} is not known"
    except OSError as error:
        return f"{host} port {port}: {(error.strerror or str(error)).lower()}"
    own = _parts(address)
    reply = None if own is None or (own.hostname, own.port) != (host, parts.port) else _ask(own, host, port)
    return f"{host} answers, but gives no such stream{_said(reply, named='@' in parts.netloc)}"


def asked(address: str) -> Reply | None:
    """What a web server or a camera says of an address; None where it says nothing that is understood."""
    parts = _parts(address)
    host, port = (None, None) if parts is None else (parts.hostname, parts.port or PORTS.get(parts.scheme))
    return None if parts is None or host is None or port is None else _ask(parts, host, port)


def _parts(address: str) -> SplitResult | None:
    """Parts of an address; None where its port is none."""
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018
    except ValueError:
        return None
    return parts


def _said(reply: Reply | None, *, named: bool) -> str:
    """What the reply tells; ``named``: whether a user is given."""
    if reply is None:
        return f" ({UNSAID})"
    if reply.code == HTTPStatus.OK:
        if reply.is_picture:
            return f": {reply.kind} is a single picture ({OTHERWISE})"
        if reply.kind == "text/html":
            return f": {reply.kind} is a web page ({OTHERWISE})"
        return f": it describes {reply.kind or 'one'} (codec, or no RTP over TCP?)"
    try:
        phrase = f" {HTTPStatus(reply.code).phrase}"
    except ValueError:
        phrase = ""
    if reply.code == HTTPStatus.UNAUTHORIZED:
        # Asked without: with them it may be the path that is wrong.
        hint = "user, password, path?" if named else "it asks for user and password"
    else:
        hint = HINTS.get(reply.code, UNSAID)
    return f": {reply.code}{phrase} ({hint})"


def _ask(parts: SplitResult, host: str, port: int) -> Reply | None:
    place = f"{parts.path}?{parts.query}" if parts.query else parts.path
    if not _PLAIN.fullmatch(place):
        return None
    try:
        if parts.scheme in ("http", "https"):
            return _ask_web(parts.scheme, host, port, place or "/")
        if parts.scheme in ("rtsp", "rtsps"):
            return _ask_rtsp(parts.scheme, host, port, place)
    except (OSError, HTTPException, ValueError):
        pass
    return None


def _ask_web(scheme: str, host: str, port: int, place: str) -> Reply:
    if scheme == "https":
        line: HTTPConnection = HTTPSConnection(host, port, timeout=ASK_S, context=_unverified())
    else:
        line = HTTPConnection(host, port, timeout=ASK_S)
    try:
        line.request("GET", place)
        answer = line.getresponse()
        kind = answer.headers.get_content_type()
        return Reply(answer.status, kind if _KIND.fullmatch(kind) else "")
    finally:
        line.close()


def _ask_rtsp(scheme: str, host: str, port: int, place: str) -> Reply | None:
    name = f"[{host}]" if ":" in host else host
    words = f"DESCRIBE {scheme}://{name}:{port}{place} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n"
    with socket.create_connection((host, port), timeout=ASK_S) as plain:
        line = _unverified().wrap_socket(plain, server_hostname=host) if scheme == "rtsps" else plain
        line.sendall(words.encode("ascii"))
        with line.makefile("rb") as lines:
            status = _STATUS.match(lines.readline(200))
    return None if status is None else Reply(int(status[1]))


def _unverified() -> ssl.SSLContext:
    """For cameras, which sign their certificates themselves: nothing secret is sent, and little is read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
