"""What a fleet's folder remembers of its nodes, so that a node that is in no table any more keeps what it has."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgeface.errors import ConfigError, EdgefaceError
from edgeface.files import NOT_JSON, write_private
from edgeface.provisioning.table import Auth

STATE = "fleet.json"
SCHEMA = 1


class Known(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One node.

    Attributes
    ----------
    access : its lines in the access list
    prefixes : of its topics and of its discovery
    revoked : whether it may nothing any more
    written : sha256 of what was last made of its row, by file
    """

    auth: Auth
    access: list[str]
    prefixes: tuple[str, str]
    revoked: bool = False
    written: dict[str, str] = {}


class State(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All of it: what a run was told and the next need not be, and nodes by name."""

    schema: int = SCHEMA
    broker: str
    names: list[str] = []
    """All that the broker is and was called, the newest last: cards that were written before have the one of then."""
    broker_folder: str = "/etc/mosquitto/edgeface"
    base: str | None = None
    nodes: dict[str, Known] = {}


def read_state(folder: Path) -> State | None:
    """What the folder remembers; None for a new one.

    Raises
    ------
    ConfigError : what is there is another's, or from a newer version
    EdgefaceError : it cannot be read
    """
    path = folder / STATE
    try:
        if not path.exists():
            if folder.is_dir() and any(folder.iterdir()) and not (folder / "ca").is_dir():
                raise ConfigError(f"{folder} is no fleet's folder", fix="give an empty or a new one with --out")
            return None
        state = msgspec.json.decode(path.read_bytes(), type=State)
    except NOT_JSON as error:
        raise ConfigError(f"{path} is not what provision wrote: {error}", fix="take it from a backup") from None
    except OSError as error:
        raise EdgefaceError(f"{path} cannot be read: {error.strerror}", fix="check its permissions") from None
    if state.schema != SCHEMA:
        raise ConfigError(f"{path} is of another version of edgeface", fix="upgrade edgeface")
    return state


def write_state(folder: Path, state: State) -> None:
    """Remember it; nodes by name, so that two runs write the same."""
    ordered = msgspec.structs.replace(state, nodes=dict(sorted(state.nodes.items())))
    data = msgspec.json.format(msgspec.json.encode(ordered), indent=1) + b"\n"
    write_private(folder / STATE, data, durable=True)
