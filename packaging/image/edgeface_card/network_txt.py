"""``network.txt``: one ``KEY = VALUE`` a line, written by people in any editor of any system."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from edgeface_card import settings
from edgeface_card.settings import CardError, Read, Settings, said

KEYS = (
    "hostname",
    "timezone",
    "wifi_country",
    "wifi_ssid",
    "wifi_password",
    "wifi_hidden",
    "address",
    "gateway",
    "dns",
)
LINE = re.compile(r"^(?P<before>\s*(?P<key>\w+)\s*=[ \t]*)(?P<value>.*?)[ \t]*$", re.MULTILINE)
QUOTES = ('""', "''", "\u201c\u201d", "\u2018\u2019", "\u201e\u201c", "\u00ab\u00bb")
"""Typed ones, and those that an editor makes of them."""
YES = {"yes": True, "true": True, "1": True, "on": True, "no": False, "false": False, "0": False, "off": False}


def decode(data: bytes) -> str:
    """Text of a file that came from any editor: UTF-8 with a mark or without, UTF-16 with one, else Latin-1.

    Ends of lines become those of Unix.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16", "replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read(text: str) -> Read:
    """Read the file; what cannot hold is left out with a line, the rest holds."""
    given, complaints = _lines(text)
    found: dict[str, Any] = {}

    def keep(name: str, make: Callable[[], object]) -> None:
        try:
            value = make()
        except CardError as error:
            complaints.append(f"network.txt: {error}")
        else:
            found[name] = value

    if name := said(given, "hostname"):
        keep("hostname", lambda: settings.hostname(name))
    if zone := said(given, "timezone"):
        keep("timezone", lambda: settings.timezone(zone))
    if land := said(given, "wifi_country"):
        keep("country", lambda: settings.country(land))
    if ssid := said(given, "wifi_ssid"):
        keep(
            "wifi",
            lambda: settings.wifi(ssid.encode(), said(given, "wifi_password"), hidden=_yes(given, "wifi_hidden")),
        )
    elif said(given, "wifi_password"):
        complaints.append("network.txt: wifi_password stands without wifi_ssid; name the network too")
    dns = tuple(re.split(r"[\s,]+", given["dns"])) if said(given, "dns") else ()
    if ip := said(given, "address"):
        keep("address", lambda: settings.address(ip, said(given, "gateway"), dns))
    else:
        if said(given, "gateway"):
            complaints.append("network.txt: gateway stands without address; write the node's address too, or neither")
        if dns:
            keep("dns", lambda: settings.servers(dns))
    return Read(Settings(**found), tuple(complaints))


def _lines(text: str) -> tuple[dict[str, str], list[str]]:
    """Values by key, the last one where there are two; a ``#`` begins no comment within a line: passwords have it."""
    given: dict[str, str] = {}
    complaints = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith(("#", ";", "//")):
            continue
        found = LINE.fullmatch(line)
        if found is None:
            complaints.append(f"network.txt line {number} is no KEY = VALUE; put # before a comment")
        elif found["key"] not in KEYS:
            complaints.append(f"network.txt line {number}: {found['key']!r} is unknown; known are {', '.join(KEYS)}")
        else:
            given[found["key"]] = _bare(found["value"])
    return given, complaints


def _bare(value: str) -> str:
    """Without the quotes that people put around names with spaces."""
    if len(value) >= 2 and value[0] + value[-1] in QUOTES:
        return value[1:-1]
    return value


def _yes(given: Mapping[str, str], key: str) -> bool:
    text = given.get(key, "").lower()
    if text and text not in YES:
        raise CardError(f"{key} {text!r} is neither yes nor no; write one of these")
    return YES.get(text, False)
