"""Configuration: TOML file, environment and command line become one frozen `Config`.

The types below are the single source of every key, its range, its default and its sentence: ``edgeface config show``
and ``docs/configuration.md`` are written from them. An empty file is a working configuration. Unknown keys and values
out of range are errors that name the key.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from edgeface.errors import ConfigError
from edgeface.types import Task

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIG_PATHS = (Path("edgeface.toml"), Path("/etc/edgeface/edgeface.toml"))
ENV_PREFIX = "EDGEFACE__"

Id = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Share = Annotated[float, Meta(ge=0, le=1)]
Pixels = Annotated[int, Meta(ge=16, le=16_384)]
FourCc = Annotated[str, Meta(pattern=r"^[ -~]{4}$")]
Rate = Annotated[float, Meta(gt=0, le=1000)]
RuntimeName = Literal["onnx", "litert"]


class Node(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who this device is."""

    id: Annotated[
        Id | None, Meta(description="name in topics; empty: host name and four digits from the machine id")
    ] = None


class Mqtt(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The broker and how to reach it."""

    host: Annotated[str, Meta(min_length=1, description="broker's name or address")] = "localhost"
    port: Annotated[int, Meta(ge=1, le=65_535, description="broker's port; 8883 is usual with TLS")] = 1883
    prefix: Annotated[
        str, Meta(pattern=r"^[^+#\x00/][^+#\x00]*$", max_length=128, description="first part of every topic")
    ] = "edgeface"
    client_id: Annotated[str | None, Meta(description="empty: edgeface-<node id>; must be unique at the broker")] = None
    username: Annotated[str | None, Meta(description="user name at the broker")] = None
    password: Annotated[
        str | None,
        Meta(description="better: password_file, $CREDENTIALS_DIRECTORY/mqtt_password or EDGEFACE_MQTT_PASSWORD"),
    ] = None
    password_file: Annotated[str | None, Meta(description="file whose first line is the password")] = None
    tls: Annotated[bool, Meta(description="encrypt; implied by ca_file and cert_file")] = False
    ca_file: Annotated[str | None, Meta(description="certificate of the authority that signed the broker's")] = None
    cert_file: Annotated[str | None, Meta(description="this node's certificate, if the broker asks for one")] = None
    key_file: Annotated[str | None, Meta(description="key of cert_file")] = None
    keep_alive: Annotated[
        int, Meta(ge=5, le=3600, description="seconds; the last will comes after 1.5 times this silence")
    ] = 30
    queue: Annotated[
        int,
        Meta(
            ge=50,
            le=1_000_000,
            description="messages kept while the broker is away; what is dropped is counted",
        ),
    ] = 2000


class Detector(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How faces are found."""

    network: Annotated[
        str | None, Meta(description="a detector of the bundle, such as yunet; empty: the bundle's default")
    ] = None
    size: Annotated[
        str,
        Meta(
            pattern=r"^(auto|original|[1-9][0-9]{1,3}x[1-9][0-9]{1,3})$",
            description="input of the detector: auto, original or WIDTHxHEIGHT; larger finds smaller faces at a cost",
        ),
    ] = "auto"
    score: Annotated[float, Meta(gt=0, le=1, description="detections below this are not faces")] = 0.6
    every: Annotated[float, Meta(ge=0, le=60, description="seconds between detections; 0: every frame")] = 0.0


class Camera(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[cameras.<id>]` table."""

    source: Annotated[
        int | str,
        Meta(description="camera number, /dev/..., file, folder, rtsp://..., picamera, or csi (Jetson)"),
    ] = 0
    width: Annotated[Pixels | None, Meta(description="pixels asked of the camera")] = None
    height: Annotated[Pixels | None, Meta(description="pixels asked of the camera")] = None
    fps: Annotated[Rate | None, Meta(description="frames a second asked of the camera")] = None
    fourcc: Annotated[
        FourCc | None, Meta(description="pixel format asked of a USB camera; empty: MJPG above 640x480")
    ] = None
    rotate: Annotated[Literal[0, 90, 180, 270], Meta(description="degrees clockwise, before anything else")] = 0
    mirror: Annotated[bool, Meta(description="swap left and right, after rotating")] = False
    pace: Annotated[
        Literal["realtime", "max"], Meta(description="for files: as a camera would, or as fast as it goes")
    ] = "max"
    open_timeout: Annotated[float, Meta(gt=0, le=600, description="seconds to wait for a stream to open")] = 10.0
    read_timeout: Annotated[float, Meta(gt=0, le=600, description="seconds of silence after which it is reopened")] = (
        5.0
    )


class Schedule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[schedule.<network>]` table: how often a network looks at one person; not for recurrent networks."""

    every: Annotated[Seconds, Meta(description="seconds between looks once the answer stands")]
    first: Annotated[Seconds, Meta(description="seconds between the first looks at a new person")] = 0.2
    looks: Annotated[int, Meta(ge=1, le=1000, description="first looks before `every` applies")] = 5
    better: Annotated[float, Meta(ge=1, le=100, description="a view this many times better is looked at early")] = 1.3


class Visits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a person is here, gone, and known."""

    confirm: Annotated[float, Meta(ge=0, le=60, description="seconds of presence before a visit starts")] = 0.3
    lost_after: Annotated[Seconds, Meta(description="seconds without a detection after which it ends")] = 2.0
    update: Annotated[Seconds, Meta(description="least seconds between two updates of one visit")] = 2.0
    min_samples: Annotated[
        int, Meta(ge=1, le=1000, description="looks before age, gender, expression, affect are said")
    ] = 3
    min_quality: Annotated[Share, Meta(description="looks below this quality weigh nothing")] = 0.15
    gender_certainty: Annotated[
        float, Meta(ge=0.5, lt=1, description="fused probability below which gender is unknown")
    ] = 0.8
    expression_certainty: Annotated[Share, Meta(description="share below which expression is unknown")] = 0.4
    faces_rate: Annotated[
        float, Meta(ge=0, le=60, description="most `faces` messages a second and camera; 0: none")
    ] = 2.0


class Runtime(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which engine runs the networks."""

    name: Annotated[
        Literal["auto", "onnx", "litert"], Meta(description="auto: what the bundle prefers on this processor")
    ] = "auto"
    threads: Annotated[int, Meta(ge=0, le=64, description="threads per network; 0: two, or one on a single core")] = 0
    turn: Annotated[
        float,
        Meta(
            ge=0,
            le=60,
            description="seconds of a turn of live cameras after which looks at faces wait for the next frame; "
            "0: an eighth of visits.lost_after, up to half of it where frames are that far apart",
        ),
    ] = 0.0


class NetworkChoice(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[networks.<name>]` table: overrides for one network."""

    runtime: Annotated[RuntimeName | None, Meta(description="run this network in another engine than the rest")] = None
    precision: Annotated[str | None, Meta(description="fp32, fp16w, int8w or int8, where the bundle has it")] = None


class Limits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is refused."""

    megapixels: Annotated[float, Meta(gt=0, le=1000, description="larger pictures are refused from their header")] = (
        220.0
    )


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole configuration."""

    node: Node = msgspec.field(default_factory=Node)
    mqtt: Mqtt = msgspec.field(default_factory=Mqtt)
    detector: Detector = msgspec.field(default_factory=Detector)
    cameras: Annotated[dict[Id, Camera], Meta(min_length=1)] = msgspec.field(default_factory=lambda: {"main": Camera()})
    attributes: Annotated[
        dict[Task, str | Literal[False]],
        Meta(description="network per question, or false to leave the question out; default: the bundle's"),
    ] = {}
    schedule: Annotated[dict[str, Schedule], Meta(description="by network name")] = {}
    networks: Annotated[dict[str, NetworkChoice], Meta(description="by network name")] = {}
    visits: Visits = msgspec.field(default_factory=Visits)
    runtime: Runtime = msgspec.field(default_factory=Runtime)
    limits: Limits = msgspec.field(default_factory=Limits)
    bundle: Annotated[str | None, Meta(description="name or folder of the bundle; default: default")] = None


DEFAULT_SCHEDULE: Mapping[Task, Schedule] = {
    "age": Schedule(every=4.0),
    "gender": Schedule(every=4.0),
    "expression": Schedule(every=0.5, first=0.2),
    "affect": Schedule(every=0.5, first=0.2),
}
"""By task, for networks without a `[schedule.<network>]` table: an expression changes, an age does not."""


def find_config(explicit: str | None, environ: Mapping[str, str]) -> Path | None:
    """`--config`, EDGEFACE_CONFIG, ./edgeface.toml, /etc/edgeface/edgeface.toml, else built-in (None)."""
    named = explicit or environ.get("EDGEFACE_CONFIG")
    if named:
        return Path(named)
    return next((path for path in CONFIG_PATHS if path.is_file()), None)


def load_config(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """Read, override and check.

    Parameters
    ----------
    path : TOML file, or None for the built-in defaults
    environ : variables ``EDGEFACE__SECTION__KEY`` override the file (values are TOML, else taken as text)
    overrides : dotted keys of the command line (``mqtt.host``) override both

    Raises
    ------
    ConfigError : unreadable file, invalid TOML, unknown key, value out of range; names file and key
    """
    tree: dict[str, Any] = {} if path is None else _read_toml(path)
    for name, text in sorted((environ or {}).items()):
        if name.startswith(ENV_PREFIX):
            keys = name[len(ENV_PREFIX) :].lower().split("__")
            _put(tree, keys, _toml_value(text), where=f"environment variable {name}")
    for dotted, value in (overrides or {}).items():
        _put(tree, dotted.split("."), value, where=f"option {dotted}")
    try:
        return msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), path), fix=_suggest(str(error))) from None


def parse_override(text: str) -> tuple[str, Any]:
    """``mqtt.port=1884`` as ``("mqtt.port", 1884)``."""
    key, sign, value = text.partition("=")
    if not sign or not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", key.strip()):
        raise ConfigError(f"--set {text!r} is not KEY=VALUE", fix="write for example --set mqtt.port=1884")
    return key.strip(), _toml_value(value.strip())


def mqtt_password(mqtt: Mqtt, environ: Mapping[str, str]) -> str | None:
    """The broker's password: from its file, systemd's credential, the environment, or the configuration."""
    if mqtt.password_file is not None:
        return _first_line(Path(mqtt.password_file))
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (Path(credentials) / "mqtt_password").is_file():
        return _first_line(Path(credentials) / "mqtt_password")
    return environ.get("EDGEFACE_MQTT_PASSWORD") or mqtt.password


def redacted(config: Config) -> dict[str, Any]:
    """Render the configuration as plain data; secrets and the user part of stream addresses become ``***``."""
    tree: dict[str, Any] = msgspec.to_builtins(config)
    if tree["mqtt"]["password"] is not None:
        tree["mqtt"]["password"] = "***"  # noqa: S105 - the mask, not a secret
    for camera in tree["cameras"].values():
        if isinstance(camera["source"], str):
            camera["source"] = hide_credentials(camera["source"])
    return tree


def hide_credentials(address: str) -> str:
    """``rtsp://user:secret@host/x`` as ``rtsp://***@host/x``, also ``?password=``; anything else unchanged."""
    # Up to the last @ before a query: people write passwords with @ and / in them as they are.
    address = re.sub(r"(?<=://)[^?#\s]*@", "***@", address)
    return re.sub(r"(?i)(?<=://)(.*?\b(?:pass|passwd|password|pwd|token)=)[^&#\s]*", r"\1***", address)


def to_toml(tree: Mapping[str, Any], *, prefix: str = "") -> str:
    """Plain data as TOML; None is left out, since TOML has no word for it."""
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
            lines.append(f"{_bare_or_quoted(key)} = {_toml_text(value)}\n")
    return "\n".join(part for part in ("".join(lines), *tables) if part)


def _bare_or_quoted(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_text(key)


def _toml_text(value: Any) -> str:
    """JSON's scalars are TOML's, but for one character that TOML wants escaped."""
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist", fix="give an existing file with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", fix="check its permissions and encoding") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", fix="correct that line") from None


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(tree: dict[str, Any], keys: Sequence[str], value: Any, *, where: str) -> None:
    for key in keys[:-1]:
        branch = tree.setdefault(key, {})
        if not isinstance(branch, dict):
            raise ConfigError(f"{where}: {key} is a value, not a section", fix="see `edgeface config show`")
        tree = branch
    tree[keys[-1]] = value


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
    except OSError as error:
        raise ConfigError(
            f"the password file {path} cannot be read: {error.strerror}", fix="check path and permissions"
        ) from None


def _explain(message: str, path: Path | None) -> str:
    text, _, place = message.partition(" - at ")
    key = place.strip("`").removeprefix("$").removeprefix(".").replace("[...]", ".<id>")
    unknown = re.match(r"Object contains unknown field `(.+)`", text)
    if unknown:
        text, key = "unknown key", f"{key}.{unknown[1]}" if key else unknown[1]
    return f"{path or 'configuration'}: {key}: {text[:1].lower()}{text[1:]}"


def _suggest(message: str) -> str:
    unknown = re.search(r"unknown field `(.+?)`", message)
    close = difflib.get_close_matches(unknown[1], _all_keys(Config), 1) if unknown else []
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}see `edgeface config show` for every key and its range"


def _all_keys(struct: type[Struct]) -> set[str]:
    keys = set(struct.__struct_fields__)
    for hint in get_type_hints(struct).values():
        for part in (hint, *get_args(hint)):
            if isinstance(part, type) and issubclass(part, Struct):
                keys |= _all_keys(part)
    return keys
