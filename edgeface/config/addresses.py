"""Addresses of streams as people write them, with a password's own characters in them. Pure."""

from __future__ import annotations

import re

_AUTHORITY = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_PORT = re.compile(r"[0-9]+")


def as_address(text: str) -> str:
    """An address whose password has an @ of its own, which FFmpeg cannot part from the host, as ``%40``."""
    parts = _AUTHORITY.fullmatch(text)
    user, at, host = parts["authority"].rpartition("@") if parts else ("", "", "")
    if parts is None or "@" not in user:
        return text
    return f"{parts['scheme']}{user.replace('@', '%40')}{at}{host}{parts['rest']}"


def cuts_password(text: str) -> bool:
    """Whether a password's own ``/``, ``?`` or ``#`` ends the host: there stands no port, and an @ comes later."""
    parts = _AUTHORITY.fullmatch(text)
    if parts is None or "@" in parts["authority"] or "@" not in parts["rest"]:
        return False
    host, colon, port = parts["authority"].partition(":")
    return bool(colon) and not host.startswith("[") and not _PORT.fullmatch(port)
