"""TOML as it is read and written here: one reader for files and single values, one writer."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgeface.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

WIDTH = 120
"""Columns of a line, where what it says can be broken."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file; a byte-order mark, as Windows editors write it, is no part of it.

    Raises
    ------
    ConfigError : missing, unreadable, not UTF-8, not TOML
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist", fix="give an existing file with --config") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", fix="check path and permissions") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} cannot be read: not UTF-8 at byte {error.start}", fix="save it as UTF-8") from None
    except RecursionError:
        raise ConfigError(f"{path} is not valid TOML: brackets too deep", fix="correct that value") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", fix="correct that line") from None
    except ValueError:  # Python's own limit, against numbers that take minutes to read
        raise ConfigError(f"{path} is not valid TOML: a number of thousands of digits", fix="correct it") from None


def toml_value(text: str) -> Any:
    """One value as TOML reads it; text that is no TOML value is taken as it stands."""
    try:
        read = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    # A line break would begin another key.
    return read["value"] if len(read) == 1 else text


def to_toml(tree: Mapping[str, Any], *, prefix: str = "") -> str:
    """Plain data as TOML; None is left out, since TOML has no word for it. A list of over 120 columns is broken."""
    lines: list[str] = []
    tables: list[str] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            name = f"{prefix}{_bare_or_quoted(key)}"
            body = to_toml(value, prefix=f"{name}.")
            if body or not value:
                head = f"[{name}]\n" if any(not isinstance(v, Mapping) for v in value.values()) else ""
                tables.append(f"{head}{body}")
        elif value is not None:
            lines.append(_pair(_bare_or_quoted(key), value))
    return "\n".join(part for part in ("".join(lines), *tables) if part)


def _pair(key: str, value: Any) -> str:
    line = f"{key} = {_toml_text(value)}\n"
    if len(line) <= WIDTH + 1 or not isinstance(value, (list, tuple)):
        return line
    rows = [""]
    for item in map(_toml_text, value):
        if len(rows[-1]) + len(item) + 3 > WIDTH:
            rows.append("")
        rows[-1] += f" {item},"
    return "\n".join([f"{key} = [", *(f" {row}" for row in rows), "]\n"])


def _bare_or_quoted(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_text(key)


def _toml_text(value: Any) -> str:
    """JSON's scalars are TOML's, but for one character that TOML wants escaped; bytes of no encoding show as ?."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_bare_or_quoted(key)} = {_toml_text(one)}' for key, one in value.items())} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml_text, value))}]"
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode()
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
