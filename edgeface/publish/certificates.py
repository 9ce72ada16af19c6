"""When certificates end: of the broker's from its connection, of our own from its file."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

EXPLICIT_0, UTC_TIME, GENERALIZED_TIME = 0xA0, 0x17, 0x18
PEM_END = "-----END CERTIFICATE-----"


def peer_end(sock: object) -> datetime | None:
    """End of the certificate that the other side of a connection has shown; None for a plain one."""
    shown = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
    end = shown.get("notAfter") if shown else None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(end), timezone.utc) if isinstance(end, str) else None


def file_end(path: Path) -> datetime | None:
    """End of the first certificate of a PEM file; None where there is none that can be read."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
        start = text.index("-----BEGIN CERTIFICATE-----")
        return not_after(ssl.PEM_cert_to_DER_cert(text[start : text.index(PEM_END) + len(PEM_END)]))
    except (OSError, ValueError):
        return None


def not_after(der: bytes) -> datetime:
    """End of a certificate (RFC 5280, section 4.1): the standard library reads only those of connections.

    Raises
    ------
    ValueError : it is none
    """
    (_, certificate), *_ = _parts(der)
    (_, signed), *_ = _parts(certificate)
    # Serial number, algorithm, issuer, then the two times; a version may stand before them.
    validity = [body for tag, body in _parts(signed) if tag != EXPLICIT_0][3]
    _, (tag, end) = _parts(validity)
    text = end.decode("ascii")
    if tag == UTC_TIME:
        # Two digits of the year, 1950 to 2049.
        text = f"{'19' if text >= '5' else '20'}{text}"
    elif tag != GENERALIZED_TIME:
        raise ValueError(f"a time with tag {tag}")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and contents of DER values one after the other."""
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("cut off")
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            digits = size & 0x7F
            size = int.from_bytes(data[at : at + digits], "big")
            at += digits
        if at + size > len(data):
            raise ValueError("cut off")
        yield tag, data[at : at + size]
        at += size
