"""Every key of the configuration in words: the commented file and ``docs/configuration.md``, written from the types.

::

    python -m edgeface.config.document > docs/configuration.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec
from msgspec import inspect

from edgeface.config import Config
from edgeface.questions import QUESTIONS, Schedule

EXAMPLES: Mapping[str, str] = {
    "visits.gender_certainty": "0.8",
    "visits.expression_certainty": "0.4",
    "bundle": '"default"',
    "node.id": '"hall-1"',
    "mqtt.client_id": '"edgeface-hall-1"',
    "mqtt.username": '"edgeface"',
    "mqtt.password": '"secret"',
    "mqtt.password_file": '"/run/secrets/mqtt_password"',
    "mqtt.ca_file": '"/etc/edgeface/ca.pem"',
    "mqtt.cert_file": '"/etc/edgeface/node.pem"',
    "mqtt.key_file": '"/etc/edgeface/node.key"',
    "detector.network": '"retinaface"',
    "cameras.main.width": "1280",
    "cameras.main.height": "720",
    "cameras.main.fps": "15",
    "cameras.main.rate": "10",
    "cameras.main.fourcc": '"MJPG"',
    "cameras.main.lines.name": '"entrance"',
    "cameras.main.lines.from": "[0.1, 0.5]",
    "cameras.main.lines.to": "[0.9, 0.5]",
    "cameras.main.zones.name": '"bench"',
    "cameras.main.zones.shape": "[0.0, 0.4, 0.5, 1.0]",
    "attention.enabled": "false",
    "attributes.age": '"age-gender-compact"',
    "attributes.gender": '"age-gender-compact"',
    "attributes.expression": "false",
    "schedule.NETWORK.interval": "4.0",
    "networks.NETWORK.runtime": '"litert"',
    "networks.NETWORK.precision": '"fp32"',
    "networks.NETWORK.threads": "2",
    "networks.NETWORK.optimization": '"all"',
    "networks.NETWORK.batch": "4",
    "privacy.purpose": '"retail"',
    "privacy.statement": '"How many people see the window, at which hours of the day"',
    "privacy.contact": '"Shop Ltd, privacy@shop.example"',
    "privacy.least_count": "10",
    "metrics.address": '"127.0.0.1:9464"',
}
"""What the commented file shows for a key that has no default."""
LONG = 255
"""From this length on a bound is there against mistakes, and not worth a word."""
PREFACE = """\
Every key has a default, and an empty file works: camera `main` on the first capture device, broker `localhost:1883`.
An unknown key, or a value out of its range, is an error that names the key (exit code 2).

The file is the first of: `--config FILE`, `$EDGEFACE_CONFIG`, `./edgeface.toml`, `/etc/edgeface/edgeface.toml`.
One key can be overridden by `--set mqtt.host=broker.lan` on the command line, or by a variable
`EDGEFACE__MQTT__HOST=broker.lan`; the command line wins over the environment, the environment over the file.

A value of either is TOML where the key takes a number or a truth, and text where it takes text: `--set node.id=42`. The
names of variables may be in upper or lower case. [Old names of keys](deprecation.md#old-names-that-still-work) go on
working and are one warning line each; `edgeface config show` prints the new ones.

The broker's password never stands on a command line. It is taken from the first of: `mqtt.password_file`, the service
manager's credential `mqtt_password` (for the installed service: the file `/etc/edgeface/credentials/password`), the
variable `EDGEFACE_MQTT_PASSWORD`, `mqtt.password`.

    edgeface config check               does it hold here: names, files, bundle, networks; all that `run` would refuse
    edgeface config check my.toml --elsewhere   the same on a workstation that lacks the node's files and cameras
    edgeface config show                what is in force, secrets as ***
    edgeface config show --commented    a file with every key to start from
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key: its dotted path, default as TOML (None where it has none), range and meaning in words."""

    path: str
    default: str | None
    example: str
    range: str
    meaning: str

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rsplit(".", 1)[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of the file; ``optional`` tables are examples, not defaults."""

    header: str
    title: str
    optional: bool
    keys: tuple[Key, ...]


def commented_toml() -> str:
    """Return a configuration file in which every key stands as a comment with meaning, range and default.

    As it is, it changes nothing; with the single ``#`` before a key taken away, it holds too.
    """
    lines = ["# Configuration of edgeface. Every key shows its default; take the # away to change it."]
    for table in tables():
        if table.header:
            lines += ["", f"# {table.title}"] if table.title else [""]
            lines.append(f"{'#' if table.optional else ''}[{table.header}]")
        for key in table.keys:
            note = f" ({key.range})" if key.range else ""
            lines.append(f"# {key.meaning}{note}")
            unset = "" if key.default is not None else "  # an example: not set by default"
            lines.append(f"#{key.name} = {key.default or key.example}{unset}")
    return "\n".join(lines) + "\n"


def markdown() -> str:
    """Return ``docs/configuration.md``: one table of keys per section."""
    parts = ["# Configuration\n", "<!-- Written by `python -m edgeface.config.document`; do not edit. -->\n", PREFACE]
    for table in tables():
        parts.append(f"## `[{table.header}]`\n" if table.header else "## At the top of the file\n")
        if table.title:
            parts.append(f"{table.title}\n")
        rows = ["| key | default | range | meaning |", "|---|---|---|---|"]
        for key in table.keys:
            default = f"`{key.default}`" if key.default is not None else ""
            rows.append(f"| `{key.name}` | {default} | {_cell(key.range)} | {_cell(key.meaning)} |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def tables() -> Iterator[Table]:
    """All tables of the configuration in the order of the types, what stands before any table first."""
    root = inspect.type_info(Config)
    assert isinstance(root, inspect.StructType)
    plain = [field for field in root.fields if not _nested(field.type)]
    yield Table(header="", title="", optional=False, keys=tuple(_key(field, "") for field in plain))
    for field in root.fields:
        kind, _ = _peel(field.type)
        name = field.encode_name
        if isinstance(kind, inspect.StructType):
            yield _table(kind, name)
        elif isinstance(kind, inspect.DictType) and name == "attributes":
            yield _attributes(field)
        elif isinstance(kind, inspect.DictType):
            value, _ = _peel(kind.value_type)
            assert isinstance(value, inspect.StructType)
            header = f"{name}.main" if name == "cameras" else f"{name}.NETWORK"
            yield _table(value, header, name != "cameras")
            yield from _rows(value, header)


def _rows(kind: inspect.StructType, header: str) -> Iterator[Table]:
    """Tables of which there may be several, `[[...]]`: keys that take a list of them."""
    for field in kind.fields:
        row = _row(field)
        if row is not None:
            yield _table(row, f"[{header}.{field.encode_name}]", True)


def _row(field: inspect.Field) -> inspect.StructType | None:
    """The table of which a key takes a list; None for any other key."""
    listed, _ = _peel(field.type)
    row = _peel(listed.item_type)[0] if isinstance(listed, inspect.VarTupleType) else None
    return row if isinstance(row, inspect.StructType) else None


def _table(kind: inspect.StructType, header: str, optional: bool = False) -> Table:
    title = (kind.cls.__doc__ or "").strip().splitlines()[0]
    if header.startswith("schedule."):
        usual = ", ".join(f"{task} {question.schedule.interval:g}" for task, question in QUESTIONS.items())
        title += f" What it leaves out is as without it; `interval` is then, in seconds: {usual}."
    if "NETWORK" in header:
        title += " NETWORK is a name that `edgeface models list` prints."
    keys = tuple(_key(field, f"{header.strip('[]')}.") for field in kind.fields if _row(field) is None)
    return Table(header=header, title=title, optional=optional, keys=keys)


def _attributes(field: inspect.Field) -> Table:
    kind, meaning = _peel(field.type)
    assert isinstance(kind, inspect.DictType)
    tasks, _ = _peel(kind.key_type)
    assert isinstance(tasks, inspect.LiteralType)
    keys = tuple(
        Key(
            path=f"attributes.{task}",
            default=None,
            example=EXAMPLES.get(f"attributes.{task}", "false"),
            range="a network's name, or false",
            meaning=f"the network that answers {task}",
        )
        for task in tasks.values
    )
    return Table(header="attributes", title=f"{meaning[:1].upper()}{meaning[1:]}.", optional=False, keys=keys)


def _key(field: inspect.Field, prefix: str) -> Key:
    path = f"{prefix}{field.encode_name}"
    kind, meaning = _peel(field.type)
    usual = _USUAL.get(field.encode_name) if prefix.startswith("schedule.") else field.default
    default = None if usual in (msgspec.NODEFAULT, None) else json.dumps(usual)
    return Key(path=path, default=default, example=EXAMPLES.get(path, '""'), range=_range(kind), meaning=meaning)


_USUAL = {field.name: field.default for field in msgspec.structs.fields(Schedule) if not field.required}
"""Of a schedule's table the numbers that hold for every question."""


def _peel(kind: inspect.Type) -> tuple[inspect.Type, str]:
    """Type without its annotations and without "or nothing", and the description found on the way."""
    meaning = ""
    while True:
        if isinstance(kind, inspect.Metadata):
            meaning = meaning or str((kind.extra_json_schema or {}).get("description", ""))
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            real = [part for part in kind.types if not isinstance(part, inspect.NoneType)]
            if len(real) != 1:
                return kind, meaning
            kind = real[0]
        else:
            return kind, meaning


def _nested(kind: inspect.Type) -> bool:
    return isinstance(_peel(kind)[0], inspect.StructType | inspect.DictType)


def _range(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.LiteralType):
        return ", ".join(str(value) for value in kind.values)
    if isinstance(kind, inspect.BoolType):
        return "true, false"
    if isinstance(kind, inspect.UnionType):
        return " or ".join({"IntType": "number", "StrType": "text"}.get(type(t).__name__, "") for t in kind.types)
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return _bounds(kind)
    if isinstance(kind, inspect.StrType) and kind.max_length is not None and kind.max_length < LONG:
        return f"at most {kind.max_length} characters"
    return ""


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    low, high = kind.ge, kind.le
    if low is not None and high is not None:
        return f"{low:g} to {high:g}" if max(abs(low), abs(high)) < 1e6 else f"{low:,.0f} to {high:,.0f}"
    words = [
        f"{word} {value:g}"
        for word, value in (("at least", low), ("above", kind.gt), ("up to", high), ("below", kind.lt))
        if value is not None
    ]
    return ", ".join(words)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(markdown())
