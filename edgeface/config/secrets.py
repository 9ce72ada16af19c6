"""What nobody but the broker and the camera may read: where the password comes from, and how addresses are shown."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgeface.config.types import Config, Mqtt
from edgeface.errors import ConfigError, UsageError
from edgeface.files import look

MASK = "***"
CREDENTIALS = ("mqtt_password", "password")
"""As the unit names it to the service, and as it lies in /etc/edgeface/credentials."""
SERVED = "/run/credentials/edgeface.service/mqtt_"
"""Where the unit's service finds what lies in /etc/edgeface/credentials: key.pem becomes mqtt_key.pem."""
_FILES = ("password_file", "ca_file", "cert_file", "key_file")
LONGEST_PASSWORD = 65_535
"""Bytes, by MQTT."""
# fmt: off
HARMLESS = frozenset({
    "bitrate", "camera", "ch", "channel", "channelid", "channels", "codec", "format", "fps", "framerate",
    "height", "interval", "latency", "linkencoding", "mode", "profile", "quality", "rate", "res", "resolution",
    "rotate", "scale", "size", "stream", "streamtype", "sub", "subtype", "timeout", "transport", "transportmode",
    "unicast", "user", "video", "videocodec", "width",
})
# fmt: on
"""Keys whose short values say who asks a camera for which picture, and open nothing."""
_FIRST = re.compile(r"[?&;#/_,]([A-Za-z0-9._-]*)=")
_NEXT = re.compile(r"[&;]([A-Za-z0-9._-]*)=|_(" + "|".join(sorted(HARMLESS)) + r")=", re.IGNORECASE)
"""Within a path _ parts pairs only where a harmless key follows: it may as well stand in a password."""
_PLAIN = re.compile(r"[A-Za-z0-9.-]{0,12}")
_HOST = re.compile(r"[^:\s]*(:\d*)?|\[[0-9A-Fa-f:.%]+\](:\d*)?")
_NO_SCHEME = re.compile(r"(?!\.)[^/:@]+:.*@", re.DOTALL)
"""What begins like ``user:secret@host``, or like ``rtsp:/user:secret@host``, and is no absolute path."""
_SEGMENT = re.compile(r"(?<=/)[^/:]*:[^/]*")
"""Cheap cameras take ``user:secret`` as a part of the path, too."""


def mqtt_password(mqtt: Mqtt, environ: Mapping[str, str]) -> str | None:
    """The broker's password: from its file, systemd's credential, the environment, or the configuration.

    Raises
    ------
    ConfigError : a file that cannot be read, or a password that is not UTF-8 text of at most 65,535 bytes
    """
    if mqtt.password_file is not None:
        return _first_line(Path(mqtt.password_file))
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    for name in CREDENTIALS if credentials else ():
        if _there(Path(credentials or "", name)):
            return _first_line(Path(credentials or "", name))
    given = environ.get("EDGEFACE_MQTT_PASSWORD")
    return _judged(given.encode("utf-8", "surrogateescape"), "EDGEFACE_MQTT_PASSWORD") if given else mqtt.password


def at_rest(mqtt: Mqtt, environ: Mapping[str, str]) -> Mqtt:
    """The same files where root finds them while no service runs: systemd's copies come and go with it."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    kept = {}
    for key in _FILES if folder else ():
        name = getattr(mqtt, key)
        if name is not None and name.startswith(SERVED) and not os.access(name, os.R_OK):
            place = Path(folder or "", name.removeprefix(SERVED))
            if _there(place):
                kept[key] = str(place)
    return msgspec.structs.replace(mqtt, **kept) if kept else mqtt


def child_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """What a child of ours gets to know: all but our own variables, which hold secrets or say where they lie."""
    return {
        name: value
        for name, value in environ.items()
        if not name.upper().startswith("EDGEFACE_") and name != "CREDENTIALS_DIRECTORY"
    }


def redacted(config: Config) -> dict[str, Any]:
    """Render the configuration as plain data; secrets and what opens a stream become ``***``."""
    tree: dict[str, Any] = msgspec.to_builtins(config)
    if tree["mqtt"]["password"] is not None:
        tree["mqtt"]["password"] = MASK
    for camera in tree["cameras"].values():
        if isinstance(camera["source"], str):
            camera["source"] = hide_credentials(camera["source"])
    return tree


def hide_credentials(address: str) -> str:
    """``rtsp://user:secret@host/x?token=t`` as ``rtsp://***@host/x?token=***``; what is no address unchanged.

    Everything before the last @ goes: people write passwords with @, /, #, ? and blanks in them as they are, and forget
    the scheme. Of a query (cheap cameras write theirs into the path) only numbers of up to three digits and short
    values of `HARMLESS` keys stay; of a path no part with a colon.
    """
    scheme, sign, rest = address.partition("://")
    if not sign:
        if not _NO_SCHEME.match(address):
            return address
        scheme, rest = "", address
    user, at, place = rest.rpartition("@")
    if re.search(r"[?#/;&].*=", user, re.DOTALL):
        # The @ may stand in a query's password, whose rest would pass for the host.
        return f"{scheme}{sign}{MASK}"
    cut = re.search(r"[/?#&;]", place)
    host = place[: cut.start()] if cut else place
    shown = host if _HOST.fullmatch(host) else MASK
    return f"{scheme}{sign}{MASK if at else ''}{at}{shown}{_masked(place[len(host) :])}"


def holds_password(address: str) -> bool:
    """Whether an address says more than who asks: what opens the stream stands in it."""
    bare = re.sub(r"(?<=://)[^:@/?#]*@", "", address, count=1)
    return hide_credentials(bare) != bare


def _masked(tail: str) -> str:
    """Path and query with every value masked that is not plainly harmless."""
    pair = _FIRST.search(tail)
    shown = _path_only(tail[: pair.start()] if pair else tail)
    while pair is not None:
        following = _NEXT.search(tail, pair.end())
        value = tail[pair.end() : following.start() if following else len(tail)]
        key = next(filter(None, pair.groups()), "")
        harmless = re.fullmatch(r"\d{0,3}", value) or (key.lower() in HARMLESS and _PLAIN.fullmatch(value))
        shown += f"{pair.group()}{value if harmless else MASK}"
        pair = following
    return shown


def _path_only(text: str) -> str:
    """A path without ``user:secret``; a query's words without a key may be a key themselves."""
    path, sign, words = re.match(r"([^?#]*)([?#]?)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{_SEGMENT.sub(MASK, path)}{sign}{MASK if words else ''}"


def _there(path: Path) -> bool:
    try:
        return look(path) == "file"
    except UsageError as error:
        raise ConfigError(error.what, fix=error.fix) from None


def _first_line(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"the password file {path} is no file", fix="name a file whose first line it is")
        with path.open("rb") as file:
            line = file.readline(LONGEST_PASSWORD + 8)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"the password file {path} cannot be read: {why}", fix="check path and permissions") from None
    return _judged(line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n"), f"the password file {path}")


def _judged(password: bytes, where: str) -> str:
    try:
        text = password.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{where} is not UTF-8", fix="save it as UTF-8") from None
    if "\0" in text:
        raise ConfigError(f"{where} holds zero bytes, as UTF-16 does", fix="save it as UTF-8")
    if len(password) > LONGEST_PASSWORD:
        raise ConfigError(f"the password of {where} is longer than MQTT allows", fix="check that it is the right file")
    return text
