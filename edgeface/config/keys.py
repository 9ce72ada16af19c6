"""Every key by its whole path: its type, and what was meant by one that is not there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from msgspec import Struct

from edgeface.config.renames import RENAMED, Names
from edgeface.config.types import Config
from edgeface.config.values import PATTERNS

ENV_PREFIX = "EDGEFACE__"
OURS = ENV_PREFIX.rstrip("_") + "_"
VARIABLES = tuple(OURS + name for name in ("CONFIG", "BUNDLE", "MQTT_PASSWORD"))
"""Variables that are no key's."""
NEAR = 0.8
"""From this likeness on a name of the environment is taken for a misspelt one."""


def type_of(keys: Sequence[str]) -> Any:
    """The type that a key takes, with its bounds; ``Any`` for one that is unknown."""
    kind: Any = Config
    for key in keys:
        inner = _inner(kind)
        if inner is None:
            return Any
        struct, value = inner
        if struct is None:
            kind = value
        else:
            hints = get_type_hints(struct, include_extras=True)
            if key not in hints:
                return Any
            kind = hints[key]
    return kind


def explain(message: str, places: Sequence[Names] = ()) -> str:
    """A message of msgspec as ``key: what is wrong``, without its signs and patterns.

    Of a key that one of the places gives by its old name, both names are said.
    """
    text, _, place = message.partition(" - at ")
    unknown = re.match(r"Object contains unknown field `(.+)`", text, re.DOTALL)
    key = _path(place)
    if unknown:
        name = unknown[1] if unknown[1].isprintable() else repr(unknown[1])
        return f"{f'{key}.' if key else ''}{name}: unknown key"
    for pattern, words in PATTERNS.items():
        text = text.replace(f"`str` matching regex {pattern!r}", words)
    old = next(filter(None, (names.old_key(key) for names in places)), None)
    return f"{key}{f' (old name: {old})' if old else ''}: {text[:1].lower()}{text[1:]}"


def suggest(message: str) -> str:
    """What was meant by an unknown key, by its whole path; else where all of them stand."""
    text, _, place = message.partition(" - at ")
    unknown = re.match(r"Object contains unknown field `(.+)`", text, re.DOTALL)
    meant = _meant(unknown[1], _path(place)) if unknown else None
    places = re.search(r"\.(lines|zones)(.*)", place.strip("`"))
    if places and meant and f".{places[1]}." not in meant:
        meant = None
    if meant is None and re.search(r"Expected `str.*, got `(int|float|bool|date.*)`", text):
        return "write text in quotes"
    if re.search(r"\.(masks|regions)\b", place):
        return "write shares of width and height, 0 to 1, each shape in its own brackets: [[0.0, 0.0, 0.5, 1.0]]"
    said = _of_places(places[1], places[2], text, known=bool(meant) or not unknown) if places else None
    if said:
        return said
    hint = f"did you mean {meant}? " if meant else ""
    return f"{hint}see `edgeface config show` for every key and its range"


def meant_variable(name: str) -> str | None:
    """The variable of the environment that was meant by a name that is none; None where nothing is near.

    A name that begins as ours do may be somebody else's, such as that of the workshop's data.
    """
    if not name.startswith(OURS) or name in VARIABLES:
        return None
    keys = [key for key in _all_keys(Config, "") if "<" not in key]
    known = {key.upper().replace(".", "_"): ENV_PREFIX + key.upper().replace(".", "__") for key in keys if "." in key}
    known |= {variable.removeprefix(OURS): variable for variable in VARIABLES}
    close = difflib.get_close_matches(name.removeprefix(OURS).upper(), known, 1, NEAR)
    return known[close[0]] if close else None


def _meant(name: str, table: str) -> str | None:
    """The nearest key: of the same table, of the same name elsewhere, then of any name that is near.

    Old names are known, and answered with the new ones.
    """
    keys = {**RENAMED, **{key: key for key in _all_keys(Config, "")}}
    table = re.sub(r"\[\d+\]", "", table)
    own = {key.rpartition(".")[2]: new for key, new in keys.items() if key.rpartition(".")[0] == table}
    close = difflib.get_close_matches(name, own, 1)
    if close:
        return own[close[0]]
    others = {key.rpartition(".")[2]: new for key, new in reversed(keys.items())}
    close = [name] if name in others else difflib.get_close_matches(name, others, 1)
    return others[close[0]] if close else None


def _of_places(table: str, rest: str, text: str, *, known: bool) -> str | None:
    """What is said of a mistake in a camera's ``lines`` or ``zones``; None: nothing of its own."""
    if not rest and "got `object`" in text:
        return f"begin each with [[cameras.<id>.{table}]], in two pairs of brackets"
    if re.match(r"\[.*\]\.(shape|from|to)\b", rest):
        example = "from = [0.2, 0.5], to = [0.8, 0.5]" if table == "lines" else "shape = [0.0, 0.0, 0.5, 1.0]"
        return f"write shares of width and height, 0 to 1: {example}"
    if not known:
        own = [key.rpartition(".")[2] for key in _all_keys(Config, "") if f".{table}." in key]
        return f"its keys are {', '.join(own)}"
    return None


def _path(place: str) -> str:
    """```$.cameras[...].rotate``` as ``cameras.<id>.rotate``."""
    inside = re.match(r"`key` in `(.*)`", place)
    key = (inside[1] + "[...]" if inside else place).strip("`").removeprefix("$").removeprefix(".")
    return key.replace("[...]", f".{_any(key)}")


def _any(table: str) -> str:
    """What stands for the name of a camera or network in a key."""
    return "<id>" if table.startswith("cameras") else "<name>"


def _all_keys(kind: Any, path: str) -> Iterator[str]:
    inner = _inner(kind)
    if inner is None:
        return
    struct, value = inner
    if struct is None:
        yield from _all_keys(value, f"{path}.{_any(path)}")
        return
    for name, hint in get_type_hints(struct, include_extras=True).items():
        whole = f"{path}.{name}" if path else name
        yield whole
        yield from _all_keys(hint, whole)


def _inner(kind: Any) -> tuple[type[Struct] | None, Any] | None:
    """A table's struct, or the type of a dictionary's values; None for a plain value."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind, None
    if get_origin(kind) is dict:
        return None, get_args(kind)[1]
    for part in get_args(kind):
        found = _inner(part)
        if found is not None:
            return found
    return None
