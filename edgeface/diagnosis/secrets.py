"""Files that hold a secret and that every user of this machine may read."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from edgeface.config import CONFIG_PATHS, SERVED, Config, holds_password
from edgeface.diagnosis.finding import Finding, good, skipped, warning
from edgeface.diagnosis.node import Node

GROUP = "video"
"""The service's own user comes and goes with it; this group it has for cameras, as all who may look through them."""
SHARED = f"sudo chgrp {GROUP} {{path}} && sudo chmod 0640 {{path}}"
_SECRET = re.compile(r"(?i)^[^#\n]*PASSWORD\w*\s*=\s*[^\s]", re.MULTILINE)


def secrets(node: Node) -> Iterator[Finding]:
    """Nobody but who runs it reads passwords and keys."""
    if node.path is None:
        yield skipped("there is no configuration file")
        return
    folder, found = node.path.parent, list[Finding]()
    serves = node.unit is not None and node.path.absolute() == CONFIG_PATHS[-1]
    if node.readable and _everybody_reads(node.path) and (key := _told_in(node.config, _text(node.path))):
        fix = SHARED if serves else "chmod 0600 {path}"
        found.append(_open(node.path, f"which holds {key}", fix))
    environment = folder / "environment"
    if serves and _everybody_reads(environment) and _SECRET.search(_text(environment)):
        found.append(_open(environment, "which holds a password", "sudo chmod 0600 {path}"))
    for key in ("key_file", "password_file") if node.readable else ():
        name = getattr(node.config.mqtt, key)
        if name is not None and _everybody_reads(Path(name)):
            fix = f'put it into {folder / "credentials"}, and mqtt.{key} = "{SERVED}{Path(name).name}"'
            found.append(_open(Path(name), f"mqtt.{key}", fix if serves else "chmod 0600 {path}"))
    credentials = folder / "credentials"
    if serves and any(_everybody_reads(path) for path in _files(credentials)):
        found.append(_open(credentials, "which holds secrets", "sudo chmod 0700 {path}"))
    yield from found or [good("nobody else reads them")]


def _open(path: Path, why: str, fix: str) -> Finding:
    return warning(f"every user of this machine reads {path}, {why}", fix=fix.format(path=path))


def _told_in(config: Config, text: str) -> str | None:
    """The first key whose secret stands in the file's own text; the environment or a command line may have given it."""
    if config.mqtt.password and config.mqtt.password in text:
        return "mqtt.password"
    for name, camera in config.cameras.items():
        if isinstance(camera.source, str) and holds_password(camera.source) and camera.source in text:
            return f"the password of cameras.{name}.source"
    return None


def _everybody_reads(path: Path) -> bool:
    """Whether its own mode and those of all folders above let everybody."""
    try:
        place = path.resolve(strict=True)
        opened = all(parent.stat().st_mode & stat.S_IXOTH for parent in place.parents)
        return opened and bool(place.stat().st_mode & stat.S_IROTH)
    except (OSError, RuntimeError):
        return False


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
