"""A node's own files: its configuration, judged as the node will judge it, and what its network is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgeface.config import SERVED, Config, load_config, to_toml
from edgeface.config.toml import read_toml
from edgeface.errors import ConfigError
from edgeface.provisioning.table import Auth, Row, TableError

CONFIGURATION, NETWORK, PASSWORD, KEY = "edgeface.toml", "network.txt", "password", "key.pem"
CERTIFICATE, AUTHORITY = "cert.pem", "ca.pem"
"""Files of a node, in its folder and on the card's first partition."""
ETC = "/etc/edgeface"
PORTS: Mapping[Auth, int] = {"password": 8883, "certificate": 8884}
_HEAD = "# Written by `edgeface provision` from row {name}; what is common to all stands in the file of --base.\n\n"
_QUOTES = ('""', "''", "\u201c\u201d", "\u2018\u2019", "\u201e\u201c", "\u00ab\u00bb")
"""What network.txt takes for quotes around a value."""
_NETWORK_HEAD = "# Read at each boot. One KEY = VALUE a line; what is missing is left to DHCP and to the image.\n"


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is: its row, the configuration that this makes, and the text of its files without secrets."""

    row: Row
    config: Config
    files: Mapping[str, str]


def read_base(path: Path | None) -> Mapping[str, Any]:
    """What is common to all nodes.

    Raises
    ------
    ConfigError : unreadable, no TOML, or it says what only a row may
    """
    if path is None:
        return {}
    if not path.exists():
        raise ConfigError(f"{path}, which all nodes share, does not exist", fix="put it back, or give another --base")
    load_config(path)
    tree = read_toml(path)
    for table, keys in {
        "node": {"id"},
        "mqtt": {"host", "port", "username", "password", "cert_file", "key_file"},
    }.items():
        given = tree.get(table)
        if said := sorted(keys & set(given if isinstance(given, dict) else ())):
            raise ConfigError(f"{path}: {table}.{said[0]} is each node's own", fix="take it out: provision writes it")
    return tree


def render(row: Row, base: Mapping[str, Any], *, broker: str, place: str) -> Node:
    """Make the files of a node.

    Raises
    ------
    TableError : its configuration cannot hold
    """
    tree = _tree(row, base, broker)
    try:
        config = load_config(overrides=tree)
    except ConfigError as error:
        raise TableError(f"{place} row {row.number}: {error.what}", fix=error.fix) from None
    network = "".join(f"{key} = {_quoted(value)}\n" for key, value in row.network.items())
    return Node(
        row=row,
        config=config,
        files={
            CONFIGURATION: _HEAD.format(name=row.name) + to_toml(tree),
            NETWORK: _NETWORK_HEAD + network,
        },
    )


def _quoted(value: str) -> str:
    """A value as network.txt takes it: quotes around it are taken away there, so those of its own get others."""
    return f'"{value}"' if len(value) > 1 and value[0] + value[-1] in _QUOTES else value


def _tree(row: Row, base: Mapping[str, Any], broker: str) -> dict[str, Any]:
    """The base with what is this node's own, which goes before it."""
    own: dict[str, Any] = {
        "host": broker,
        "port": PORTS[row.auth],
        "username": row.name,
        "ca_file": f"{ETC}/{AUTHORITY}",
    }
    if row.auth == "certificate":
        own |= {"cert_file": f"{ETC}/{CERTIFICATE}", "key_file": f"{SERVED}{KEY}"}
    tree = dict(base)
    tree["node"] = {**base.get("node", {}), "id": row.name}
    tree["mqtt"] = {**base.get("mqtt", {}), **own}
    if row.cameras:
        known = base.get("cameras", {})
        tree["cameras"] = {
            camera: {
                **known.get(camera, {}),
                "source": int(source) if source.isascii() and source.isdecimal() else source,
            }
            for camera, source in row.cameras.items()
        }
    return tree
