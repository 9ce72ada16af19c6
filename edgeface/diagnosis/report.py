"""One text file to attach to a bug report: what was found, what runs, and the log; secrets masked, no picture."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from urllib.parse import unquote

import msgspec

from edgeface import __version__
from edgeface.config import Config, mqtt_password, redacted, to_toml
from edgeface.config.secrets import MASK
from edgeface.diagnosis.finding import Finding
from edgeface.diagnosis.node import UNIT, Node, ask
from edgeface.errors import ConfigError, one_line
from edgeface.files import NOT_JSON
from edgeface.machine import processor

LIBRARIES = (
    "numpy",
    "opencv-python-headless",
    "onnxruntime",
    "ai-edge-litert",
    "tflite-runtime",
    "paho-mqtt",
    "msgspec",
)
LOG_LINES = "300"
SHORT = 4
"""A secret shorter than this is masked where it stands alone: it may be part of any word."""
LOGIN = re.compile(r"(?<=://)[^/\s]*@")
ADVICE = (
    "Passwords are masked. Names of hosts, addresses, serial numbers and topics are not: look through it before you "
    "give it to others."
)


def compose(node: Node, findings: Sequence[Finding]) -> str:
    """The whole report."""
    secrets = list(secrets_of(node))
    parts = [f"edgeface {__version__}, node {node.id}", ADVICE]
    parts += [f"\n== {title} ==\n{text}" for title, text in _sections(node, findings) if text]
    return masked("\n".join(parts), secrets) + "\n"


def secrets_of(node: Node) -> Iterator[str]:
    """Every secret that this node knows, from wherever it comes."""
    if not node.readable:
        return
    config = node.config
    with suppress(ConfigError):
        yield from filter(None, [mqtt_password(config.mqtt, node.environ)])
    yield from filter(None, [config.mqtt.password, node.environ.get("EDGEFACE_MQTT_PASSWORD")])
    for camera in config.cameras.values():
        _, _, rest = str(camera.source).partition("://")
        login, at, _ = rest.rpartition("@")
        if at:
            user, _, password = login.partition(":")
            # As it is written, and as a library writes it that has read it.
            yield from filter(None, [login, password or user, unquote(password or user)])


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without secrets, and without any log-in before a host, also of addresses that nobody told us."""
    for secret in sorted(secrets, key=len, reverse=True):
        alone = rf"(?<!\w){re.escape(secret)}(?!\w)" if len(secret) < SHORT else re.escape(secret)
        text = re.sub(alone, MASK, text)
    return LOGIN.sub(f"{MASK}@", text)


def _sections(node: Node, findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    yield "doctor", "\n".join(f"{one.state:8} {one.check}: {one.line}" for one in findings)
    yield "system", _table(_system(node))
    yield "packages", _table(_packages())
    yield "environment", "\n".join(sorted(name for name in node.environ if name.startswith("EDGEFACE")))
    if node.readable:
        yield "configuration", _configuration(node.config)
        heard = node.conversation.heard
        yield "health", _json(heard.get("health"))
        yield "notice", _json(heard.get("notice"))
    yield "service", _table(node.unit or {})
    log = ask("journalctl", "--unit", UNIT, "--lines", LOG_LINES, "--no-pager", "--output", "short-iso") or ""
    yield "log", "\n".join(one_line(line) for line in log.splitlines())


def _system(node: Node) -> Mapping[str, str]:
    release = ""
    with suppress(OSError):
        release = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    return {
        "system": f"{release}, {platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor(),
        "python": f"{platform.python_version()} in {sys.prefix}",
        "configuration": str(node.path or "built-in"),
        "daemon": node.running or "does not run",
    }


def _packages() -> Mapping[str, str]:
    found = {}
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _configuration(config: Config) -> str:
    """Only what differs from the defaults, but for the cameras: the rest can be looked up."""
    return to_toml(_differing(redacted(config), redacted(Config()))).strip()


def _differing(tree: Mapping[str, object], usual: Mapping[str, object]) -> dict[str, object]:
    changed: dict[str, object] = {}
    for key, value in tree.items():
        other = usual.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            inner = _differing(value, other)
            if inner:
                changed[key] = inner
        elif value != other:
            changed[key] = value
    return changed


def _json(payload: bytes | None) -> str:
    if not payload:
        return ""
    try:
        return json.dumps(msgspec.json.decode(payload), indent=1)
    except NOT_JSON:
        return one_line(payload.decode(errors="replace"))


def _table(rows: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {one_line(value)}" for name, value in rows.items())
