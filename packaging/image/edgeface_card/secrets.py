"""Secrets leave the card: found in its files by their place, kept by name, and ``taken`` is written where they stood.

A name is the file and what the secret belongs to. Where a file says ``taken`` the kept secret is put back before the
file is read; who writes something else there has given a new one. Where nothing is kept, the word may be somebody's own
password, or stand for one that went with another data partition: it stays, and never becomes none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import yaml

from edgeface_card.network_txt import LINE
from edgeface_card.settings import TAKEN

NETWORK_KEYS = frozenset({"wifi_password"})
YAML_KEYS = frozenset({
    "passwd", "plain_text_passwd", "hashed_passwd", "password", "psk", "client-key-password", "chpasswd", "runcmd",
    "bootcmd", "write_files",
})  # fmt: skip
"""Of cloud-init: passwords, and what may hold anything, such as the token of Raspberry Pi Connect."""
TOML_KEY = re.compile(
    r"^(?P<before>[ \t]*(?:mqtt\.)?(?P<key>password)[ \t]*=[ \t]*)"
    r"(?P<value>\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*')(?![\"'])",
    re.M,
)
"""A string of one line; one in three quotes stays as it is."""
TOML_URL = re.compile(r"(?P<before>://(?P<key>[^\s\"'/:@]*):)(?P<value>[^\s\"'][^\"'\n]*)(?=@(?P<host>[^\s\"'/@]*))")
"""Up to the last @: people write passwords with @ and / in them as they are."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A secret in a text: its name, where it stands, and what stands there when it is taken."""

    name: str
    start: int
    end: int
    quote: str = ""


def in_network_txt(text: str) -> Iterator[Spot]:
    """Secrets of ``network.txt``."""
    for found in LINE.finditer(text):
        if found["key"] in NETWORK_KEYS and found["value"] and not found["before"].lstrip().startswith("#"):
            yield Spot(f"network.txt {found['key']}", found.start("value"), found.end("value"))


def in_toml(text: str) -> Iterator[Spot]:
    """Secrets of ``edgeface.toml``: the broker's password, those in addresses of cameras."""
    for found in TOML_KEY.finditer(text):
        yield Spot(f"edgeface.toml {found['key']}", found.start("value"), found.end("value"), found["value"][0])
    for found in TOML_URL.finditer(text):
        line = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
        if not line.lstrip().startswith("#"):
            # By its host, not by its turn: with a camera put before it, another host would be told this password.
            name = f"edgeface.toml address {found['key']}@{found['host']}"
            yield Spot(name, found.start("value"), found.end("value"))


def without_password(text: str) -> tuple[str, str | None]:
    """A configuration without the broker's password, which a file that the service reads need not hold."""
    found = next((one for one in TOML_KEY.finditer(text) if one["value"][1:-1]), None)
    if found is None or (password := _plain(found["value"])) is None:
        return text, None
    return f"{text[: found.start()]}# password: among the credentials{text[found.end() :]}", password


def _plain(quoted: str) -> str | None:
    """What a string of TOML says; None where it has an escape that JSON does not know."""
    if quoted[0] == "'":
        return quoted[1:-1]
    try:
        return str(json.loads(quoted))
    except ValueError:
        return None


def in_yaml(file: str) -> Callable[[str], Iterator[Spot]]:
    """Secrets of a file of cloud-init."""

    def spots(text: str) -> Iterator[Spot]:
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, ValueError, RecursionError):
            return
        yield from _nodes(root, file, set())

    return spots


def _nodes(node: object, path: str, seen: set[int]) -> Iterator[Spot]:
    """Each node once: an anchor may lie within itself, or be named a thousand million times by anchors of anchors."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = f"{path} {getattr(key, 'value', '')}"
            if getattr(key, "value", None) in YAML_KEYS:
                if value.start_mark.index < value.end_mark.index:
                    yield Spot(name, value.start_mark.index, value.end_mark.index, getattr(value, "style", None) or "")
            else:
                yield from _nodes(value, name, seen)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _nodes(value, f"{path} {number}", seen)


def take(text: str, spots: Callable[[str], Iterator[Spot]]) -> tuple[str, dict[str, str]]:
    """The text with ``taken`` for each secret, and the secrets as they stood, quotes included, by name."""
    secrets: dict[str, str] = {}
    for spot in sorted(spots(text), key=lambda one: one.start, reverse=True):
        raw = text[spot.start : spot.end]
        if raw.strip().strip("\"'") in ("", TAKEN):  # Of an open network Imager writes an empty password.
            continue
        secrets[spot.name] = raw
        tail = raw[len(raw.rstrip()) :]
        text = text[: spot.start] + f'"{TAKEN}"' * bool(spot.quote) + TAKEN * (not spot.quote) + tail + text[spot.end :]
    return text, secrets


def put_back(text: str, spots: Callable[[str], Iterator[Spot]], secrets: Mapping[str, str]) -> tuple[str, list[str]]:
    """The text with its secrets again, and the names of those that nobody has: there it still says ``taken``."""
    missing = []
    for spot in sorted(spots(text), key=lambda one: one.start, reverse=True):
        raw = text[spot.start : spot.end]
        if raw.strip().strip("\"'") != TAKEN:
            continue
        kept = secrets.get(spot.name)
        if kept is None:
            missing.append(spot.name)
            continue
        text = text[: spot.start] + kept + text[spot.end :]
    return text, missing
