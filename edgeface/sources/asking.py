"""Why a network camera gives no stream: asked over one more connection, since OpenCV only says that it did not open.

No user and no password are sent: a camera that locks itself after so many wrong ones would do so sooner. Where they
may stand in the path or the query, as cheap cameras have it, such an address is not asked.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from edgeface.config.secrets import MASK

PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "http": 80, "https": 443}
ASK_S = 1.0
"""Patience with each step of that connection: taking it, its encryption, the whole answer."""
HEAD_BYTES = 64 * 1024
"""Most that is read of an answer."""
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
_KIND = re.compile(rb"\ncontent-type:[ \t]*([a-z]+/[a-z0-9.+-]{1,60})[ \t]*[;\r\n]", re.IGNORECASE)
_STATUS = re.compile(rb"(HTTP|RTSP)/1\.[0-9] ([2-5][0-9][0-9])\b")
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
    # SRT runs over UDP too: a connection says nothing of it. A host that is not shown is no name.
    if host is None or port is None or parts.scheme in ("udp", "srt") or MASK in host:
        return "no stream came"
    try:
        socket.create_connection((host, port), timeout=ASK_S).close()
    except (socket.gaierror, UnicodeError):
        return f"the name {host} is not known"
    except OSError as error:
        return f"{host} port {port}: {(error.strerror or str(error)).lower()}"
    own = _parts(address)
    # What is masked of path and query may be a password.
    whole = (host, parts.port, parts.path, parts.query)
    same = own is not None and (own.hostname, own.port, own.path, own.query) == whole
    reply = _ask(own, host, port) if own is not None and same else None
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
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if parts.scheme in ("http", "https"):
        words = f"GET /{place.removeprefix('/')} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
    elif parts.scheme in ("rtsp", "rtsps"):
        words = f"DESCRIBE {parts.scheme}://{name}{place} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n"
    else:
        return None
    try:
        head = _head(host, port, words.encode("ascii"), secure=parts.scheme.endswith("s"))
    except (OSError, ValueError):
        return None
    status, kind = _STATUS.match(head), _KIND.search(head)
    if status is None or not parts.scheme.startswith(status[1].decode().lower()):
        return None
    return Reply(int(status[2]), kind[1].decode().lower() if kind and status[1] == b"HTTP" else "")


def _head(host: str, port: int, words: bytes, *, secure: bool) -> bytes:
    """Head of a server's answer, or what has come of it by `ASK_S`: some drip, or never end."""
    with socket.create_connection((host, port), timeout=ASK_S) as plain:
        line = _unverified().wrap_socket(plain, server_hostname=host) if secure else plain
        line.sendall(words)
        head, end_s = b"", time.monotonic() + ASK_S
        while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES and (left_s := end_s - time.monotonic()) > 0:
            line.settimeout(left_s)
            try:
                part = line.recv(4096)
            except OSError:
                break
            if not part:
                break
            head += part
    return head.partition(b"\r\n\r\n")[0] + b"\r\n"


def _unverified() -> ssl.SSLContext:
    """For cameras, which sign their certificates themselves: nothing secret is sent, and little is read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
