"""File, environment and command line become one frozen `Config`; what cannot hold is an error that names the key."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgeface.config.judging import (
    judge_host,
    judge_places,
    judge_privacy,
    judge_runtime,
    judge_shapes,
    judge_sources,
)
from edgeface.config.keys import ENV_PREFIX, explain, meant_variable, suggest, type_of
from edgeface.config.renames import Names
from edgeface.config.secrets import hide_credentials
from edgeface.config.toml import read_toml, toml_value
from edgeface.config.types import Config
from edgeface.errors import ConfigError

CONFIG_PATHS = (Path("edgeface.toml"), Path("/etc/edgeface/edgeface.toml"))
logger = logging.getLogger(__name__)


def find_config(
    explicit: str | None, environ: Mapping[str, str], *, places: Sequence[Path] = CONFIG_PATHS
) -> Path | None:
    """`--config`, EDGEFACE_CONFIG, ./edgeface.toml, /etc/edgeface/edgeface.toml, else built-in (None).

    Raises
    ------
    ConfigError : a place that may not be looked at; passing it over could mean another configuration than is meant
    """
    named = explicit or environ.get("EDGEFACE_CONFIG")
    if named:
        return Path(named)
    for place in places:
        try:
            if place.is_file():
                return place
        except OSError as error:
            raise ConfigError(
                f"{place} cannot be looked for: {error.strerror}",
                fix="name the file with --config, or change the folder",
            ) from None
    return None


def load_config(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    warn: Callable[[str], object] = logger.warning,
) -> Config:
    """Read, override and check.

    Parameters
    ----------
    path : TOML file, or None for the built-in defaults
    environ : variables ``EDGEFACE__SECTION__KEY`` override the file (values are TOML, else taken as text); the case
        of a variable's name says nothing
    overrides : dotted keys of the command line (``mqtt.host``) override both; a `Given` is text that may be TOML
    warn : takes one line for each key that goes by an old name

    Raises
    ------
    ConfigError : unreadable file, invalid TOML, unknown key, both names of a key in one place, value out of range;
        names file and key
    """
    place = str(path or "configuration")
    file, environment, line = Names(), Names(), Names()
    tree: dict[str, Any] = {} if path is None else file.tree(read_toml(path), where=place)
    for name, text in sorted((environ or {}).items()):
        if name.startswith(ENV_PREFIX):
            keys = name[len(ENV_PREFIX) :].split("__")
            where = f"environment variable {name}"
            _put(tree, keys, Given(text), names=environment, where=where, any_case=True)
        elif meant := meant_variable(name):
            raise ConfigError(f"environment variable {name}: no such setting", fix=f"did you mean {meant}?")
    for dotted, value in (overrides or {}).items():
        _put(tree, dotted.split("."), value, names=line, where=f"option {dotted}")
    for names, where in ((file, place), (environment, "the environment"), (line, "the command line")):
        for warning in names.warnings(where):
            warn(warning)
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        what = explain(str(error), [file, environment, line])
        raise ConfigError(f"{place}: {what}", fix=suggest(str(error))) from None
    judge_host(config.mqtt.host, where=place)
    judge_shapes(config.cameras, where=place)
    judge_sources(config.cameras, where=place)
    judge_places(config.cameras, where=place)
    judge_privacy(config, where=place)
    judge_runtime(config, where=place)
    return config


class Given(str):
    """A value as somebody typed it: TOML where the key takes what TOML makes of it, else text."""

    __slots__ = ()


def parse_override(text: str) -> tuple[str, Given]:
    """``mqtt.port=1884`` as ``("mqtt.port", Given("1884"))``.

    Raises
    ------
    ConfigError : not KEY=VALUE, or a password: every user of the machine reads a command line
    """
    key, sign, value = text.partition("=")
    key = key.strip()
    if not sign or not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", key):
        raise ConfigError(
            f"--set {hide_credentials(text)!r} is not KEY=VALUE", fix="write for example --set mqtt.port=1884"
        )
    table = toml_value(value) if key == "mqtt" else None
    if key == "mqtt.password" or (isinstance(table, dict) and "password" in table):
        raise ConfigError(
            "a password on the command line can be read by every user of this machine",
            fix="use mqtt.password_file or EDGEFACE_MQTT_PASSWORD",
        )
    return key, Given(value.strip())


def _put(
    tree: dict[str, Any], keys: Sequence[str], value: Any, *, names: Names, where: str, any_case: bool = False
) -> None:
    path: list[str] = []
    for key in keys:
        known = names.current(path, _same(tree, key) if any_case else key, where=where)
        path.append(known)
        if len(path) == len(keys):
            tree[known] = names.tree(_read(value, path) if isinstance(value, Given) else value, path, where=where)
            return
        branch = tree.setdefault(known, {})
        if not isinstance(branch, dict):
            raise ConfigError(f"{where}: {known} is a value, not a section", fix="see `edgeface config show`")
        tree = branch


def _same(tree: Mapping[str, Any], key: str) -> str:
    """The key of the tree that is this one but for upper and lower case; without one, the lower case."""
    if key in tree:
        return key
    return next((known for known in tree if known.lower() == key.lower()), key.lower())


def _read(given: Given, keys: Sequence[str]) -> Any:
    """What TOML makes of it where the key takes such a value, the text itself where the key takes text."""
    text, kind = str(given), type_of(keys)
    value = toml_value(text)
    return text if _mistyped(value, kind) and not _mistyped(text, kind) else value


def _mistyped(value: Any, kind: Any) -> bool:
    """Whether it is of another type; a value out of range is of the right one."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return ", got `" in str(error)
    return False
