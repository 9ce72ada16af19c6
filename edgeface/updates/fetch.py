"""A file from an address: https and nothing else, redirects too; so many bytes, so long, and whole.

The address is the user's, what answers is a stranger: it may send for ever, byte by byte, or to another place.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import urlsplit

import msgspec

from edgeface.config import hide_credentials
from edgeface.errors import UNWRITABLE, BundleError, EdgefaceError, UsageError, first_line

CHUNK = 1 << 16
MISSING = frozenset({403, 404, 410})
"""What a server says of what it has not; storage services say 403."""
REDIRECTS = 5
AGAIN = "try again, or fetch the file with another program and give its path"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an address may cost.

    Attributes
    ----------
    silence_s : longest wait for the next bytes
    total_s : longest time for all of it; 500 MB in an hour are 1.1 Mbit/s
    """

    silence_s: float = 30.0
    total_s: float = 3600.0


class MissingError(EdgefaceError):
    """There is nothing at this address."""


def is_address(what: str) -> bool:
    """Whether it is an address and no path; ``http:/host`` and the like are meant as one."""
    return "://" in what or what.startswith(("http:", "https:", "ftp:", "file:"))


def fetch(address: str, target: Path, *, most_bytes: int, limits: Limits) -> None:
    """Write what is at an address; trusted are the system's authorities, or those of SSL_CERT_FILE.

    Parameters
    ----------
    most_bytes : more are not taken, and not read where the server says so before

    Raises
    ------
    UsageError : no https address
    MissingError : the server has no such file
    BundleError : it is too large, or a page for people
    EdgefaceError : the server is not reached, not trusted, sends elsewhere than to https, stops, or takes too long
    """
    shown = expect_https(address)
    with _Watch(limits.total_s) as watch:
        try:
            opener = _opener(watch, ssl.create_default_context(), shown)
            request = urllib.request.Request(address, headers={"User-Agent": "edgeface"})  # noqa: S310  https, above
            with opener.open(request, timeout=limits.silence_s) as answer, target.open("wb") as file:
                _expect_file(answer, shown, most_bytes)
                _copy(answer, file, shown, most_bytes)
            if watch.late:  # What is cut off may look like an end.
                raise TimeoutError
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _error(error, shown, target, limits, late=watch.late) from None


def expect_https(address: str) -> str:
    """The address as it may be shown; UsageError for what is none that is taken."""
    shown = hide_credentials(address)
    try:
        parts = urlsplit(address)
        host, user = parts.hostname, parts.username
    except ValueError:
        host = user = None
        parts = urlsplit("")
    if parts.scheme != "https" or not host:
        raise UsageError(f"{shown} is no https address", fix="give https://HOST/PATH, or the path of a file")
    if user is not None:
        raise UsageError(f"{shown} holds a password", fix="fetch the file with another program, and give its path")
    if not address.isprintable() or " " in address:
        raise UsageError(f"{shown} holds a blank or a control character", fix="write a blank as %20")
    return shown


class _Watch:
    """Ends all connections when the time is over: a byte now and then keeps any other limit waiting."""

    def __init__(self, total_s: float) -> None:
        self.late = False
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(total_s, self._give_up)
        self._timer.daemon = True

    def __enter__(self) -> _Watch:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def add(self, sock: socket.socket) -> None:
        self._sockets.append(sock)
        if self.late:
            self._give_up()

    def _give_up(self) -> None:
        self.late = True
        for sock in self._sockets:
            with suppress(OSError):
                # The plain socket's: ssl's own takes the encryption away from under a reader.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """To https only, and not for ever."""

    max_redirections = REDIRECTS

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            raise EdgefaceError(
                f"{self._shown} sends us to {hide_credentials(newurl)}, which is no https address", fix="do not use it"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _opener(watch: _Watch, context: ssl.SSLContext, shown: str) -> urllib.request.OpenerDirector:
    class Connection(http.client.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            watch.add(self.sock)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Connection, request, context=context)

    opener = urllib.request.OpenerDirector()
    # Not build_opener: it adds http, ftp and file.
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(shown),
        Https(),
    ):
        opener.add_handler(handler)
    return opener


def _expect_file(answer: http.client.HTTPResponse, shown: str, most_bytes: int) -> None:
    kind = (answer.getheader("Content-Type") or "").partition(";")[0].strip().lower()
    if kind == "text/html":
        raise BundleError(f"{shown} is a page for people (text/html)", fix="give the address of the file itself")
    if answer.length is not None and answer.length > most_bytes:
        raise BundleError(f"{shown} has {answer.length:,} bytes, at most {most_bytes:,} are taken", fix="do not use it")


def _copy(answer: http.client.HTTPResponse, file: BinaryIO, shown: str, most_bytes: int) -> None:
    expected, count = answer.length, 0
    for data in iter(lambda: answer.read1(CHUNK), b""):
        count += len(data)
        if count > most_bytes:
            raise BundleError(f"{shown} has more than {most_bytes:,} bytes", fix="do not use it")
        file.write(data)
    if expected is not None and count != expected:
        raise http.client.IncompleteRead(b"", expected - count)


def _error(error: BaseException, shown: str, target: Path, limits: Limits, *, late: bool) -> EdgefaceError:
    """What went wrong in one line; ``late`` goes before, for it is how the rest came about."""
    if late:
        return EdgefaceError(f"{shown} was not here within {limits.total_s:g} s", fix=AGAIN)
    if isinstance(error, urllib.error.HTTPError):
        kind = MissingError if error.code in MISSING else EdgefaceError
        return kind(f"{shown} answers {error.code} {first_line(Exception(error.msg))}", fix="check the address")
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        what = f"{shown} shows a certificate that is not trusted: {reason.verify_message}"
        fix = "check the address and this machine's clock, and that ca-certificates is installed"
    elif isinstance(reason, TimeoutError):
        what, fix = f"{shown} was silent for {limits.silence_s:g} s", AGAIN
    elif isinstance(reason, http.client.IncompleteRead):
        what, fix = f"{shown} ended too early", AGAIN
    elif isinstance(reason, OSError) and (reason.errno in UNWRITABLE or reason.filename is not None):
        what, fix = f"{target.parent} cannot be written: {reason.strerror}", "free some room"
    else:
        why = first_line(reason) if isinstance(reason, BaseException) else str(reason)
        what, fix = f"{shown} cannot be fetched: {why}", "check the address and the network"
    return EdgefaceError(what, fix=fix)


@contextmanager
def optional() -> Iterator[None]:
    """Go on where there is nothing at an address."""
    with suppress(MissingError):
        yield
