"""The configuration, the bundle, the unit, and what a running daemon says of itself."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from edgeface.config import SERVED, Config, Mqtt
from edgeface.diagnosis.finding import Finding, bad, good, skipped, warning
from edgeface.diagnosis.node import UNIT, Node
from edgeface.diagnosis.secrets import GROUP, SHARED
from edgeface.diagnosis.starting import not_started
from edgeface.events import moment

OLD_HEALTH_S = 180.0
"""Health comes each minute; this old it has failed three times."""
LOG = f"see the log: journalctl -u {UNIT} -n 50"


def configuration(node: Node) -> Iterator[Finding]:
    """It can be read, and nothing in it contradicts."""
    from edgeface.service.assembly import expect_files, expect_sources

    config = node.config
    expect_files(config, node.environ)
    expect_sources(config, datetime.now(timezone.utc))
    yield good(f"{node.path or 'the built-in configuration'} holds, node {node.id}")


def bundle(node: Node) -> Iterator[Finding]:
    """Which it is, and whether an installed one hides a newer one of the package."""
    yield from _opened(node)
    from edgeface.installing import hidden

    if (newer := hidden(node.opened)) is not None:
        yield warning(newer.what, fix=newer.fix)


def _opened(node: Node) -> Iterator[Finding]:
    """It opens, and its networks compute here; they are not loaded beside a daemon, which has done so."""
    from edgeface.service.loading import load_networks
    from edgeface.service.vitals import bundle_health

    config = node.config
    opened = node.opened
    own = bundle_health(opened)
    text = f"{own.name} {own.version} ({own.hash}) in {opened.folder}"
    if node.running is None:
        networks = load_networks(config, opened)
        yield good(f"{text}, every network in use computes as it should, by {networks.runtime}")
        return
    told = None if node.health is None else node.health.bundle
    if told is not None and told.hash != own.hash:
        yield warning(
            f"{text}, but the daemon runs {told.name} {told.version} ({told.hash})", fix=f"systemctl restart {UNIT}"
        )
    else:
        yield good(text)


def unit(node: Node) -> Iterator[Finding]:
    """The service is there, enabled, and does not restart again and again; nobody needs to have it."""
    state = node.unit
    if state is None:
        yield skipped("no service is installed here")
        return
    if state.get("LoadState") == "masked":
        yield warning("the service is masked: it cannot start", fix=f"sudo systemctl unmask {UNIT}")
    elif why := not_started(state):
        yield bad(f"systemd cannot start the service: {why[0]}", fix=why[1])
    elif state.get("ActiveState") == "failed":
        yield bad(f"the service has failed ({state.get('Result')})", fix=LOG)
    elif state.get("ActiveState") != "active":
        yield warning(f"the service is {state.get('ActiveState')}", fix=f"sudo systemctl start {UNIT}")
    else:
        yield good("the service is active")
        if node.path is not None:
            yield from _unread(node.path.parent / "credentials", state.get("ExecMainStartTimestampMonotonic", "0"))
    if state.get("ActiveState") != "active" and node.readable and node.path is not None:
        yield from _closed(node.config.mqtt, node.path.parent)
        yield from _closed_configuration(node.path)
    if state.get("UnitFileState") == "disabled":
        yield warning("the service does not start with the machine", fix=f"sudo systemctl enable {UNIT}")
    restarts = state.get("NRestarts", "0")
    if restarts.isdecimal() and int(restarts) > 0:
        yield warning(f"systemd has restarted the service {restarts} times", fix=LOG)


def _closed(mqtt: Mqtt, folder: Path) -> Iterator[Finding]:
    """Files of ours that root reads and the service's own user may not."""
    for key in ("ca_file", "cert_file", "key_file", "password_file"):
        path = None if getattr(mqtt, key) is None else Path(getattr(mqtt, key))
        try:
            if path is None or path.parent == folder / "credentials" or path.stat().st_mode & stat.S_IROTH:
                continue
        except OSError:
            continue
        fix = f"sudo chmod 0644 {path}"
        if key in ("key_file", "password_file"):
            fix = f'put it into {folder / "credentials"}, and mqtt.{key} = "{SERVED}{path.name}"'
        yield warning(f"the service has a user of its own, who may not read mqtt.{key} {path}", fix=fix)


def _closed_configuration(path: Path) -> Iterator[Finding]:
    """A configuration for root alone: `sudo install -m 0600` of what was provisioned."""
    try:
        mode, group = path.stat().st_mode, path.group()
    except (OSError, KeyError):
        return
    if not (mode & stat.S_IROTH or (mode & stat.S_IRGRP and group == GROUP)):
        yield warning(f"the service has a user of its own, who may not read {path}", fix=SHARED.format(path=path))


def _unread(credentials: Path, started_us: str) -> Iterator[Finding]:
    """Systemd hands secrets over at the start: one that was written since is not in use, whatever is reloaded."""
    if not started_us.isdecimal() or int(started_us) == 0:
        return
    # By the clock as it is now: a board without a battery sets it after the start.
    started_s = time.time() - (time.monotonic() - int(started_us) / 1e6)
    try:
        newer = sorted(path.name for path in credentials.iterdir() if path.stat().st_mtime > started_s)
    except OSError:
        return
    if newer:
        yield warning(
            f"the service has not read {', '.join(newer)} in {credentials}, written since its start",
            fix=f"sudo systemctl restart {UNIT} (a reload does not read it)",
        )


def daemon(node: Node) -> Iterator[Finding]:
    """What a running daemon last said, at the broker."""
    config = node.config
    if node.running is None:
        yield skipped("no daemon runs")
        return
    if node.health is None:
        why = "nor do we reach the broker" if node.conversation.failure else "the broker has nothing of it to be read"
        yield warning(f"a daemon runs ({node.running}) and is not heard, {why}{_own_words(node)}", fix=LOG)
        return
    yield from _told(node, config)


def _own_words(node: Node) -> str:
    """What it last told systemd, which needs no broker."""
    said = "" if node.unit is None else node.unit.get("StatusText", "")
    return f"; it says: {said}" if said else ""


def spool(node: Node) -> Iterator[Finding]:
    """Starts and ends of visits are on the disk, and the broker takes them."""
    config = node.config
    told = None if node.running is None or node.health is None else node.health.spool
    if not config.spool.enabled:
        yield skipped("spool.enabled = false: what waits does not survive the program")
    elif told is None:
        yield skipped("no daemon tells of it")
    elif told.state == "memory":
        fix = "see to the disk of the state directory, then reload"
        if told.error == os.strerror(errno.EACCES):
            # Copied there by root, whose files the service may not write.
            fix = f"sudo chown -R --reference={node.state}/ {node.state}/, then sudo systemctl restart {UNIT}"
        yield warning(f"visits wait in memory only: {told.error}", fix=fix)
    else:
        yield good(f"{told.waiting} starts and ends of visits wait, {told.bytes / 1e6:.1f} MB on the disk")
    for run in () if told is None else told.interrupted:
        yield warning(
            f"run {run.boot} ended without a stop and {run.ended} visits with it; {run.seconds:g} s may be missing",
            fix="use a good power supply, and shut down before you switch off",
        )


def _told(node: Node, config: Config) -> Iterator[Finding]:
    from edgeface.service.vitals import config_hash

    health = node.health
    assert health is not None
    at = moment(health.at)
    age_s = (datetime.now(timezone.utc) - at).total_seconds()
    if age_s > OLD_HEALTH_S:
        yield bad(f"the daemon was last heard {age_s / 60:.0f} minutes ago{_own_words(node)}", fix=LOG)
    elif node.conversation.heard.get("availability") == b"offline":
        # For a moment also at each start.
        yield warning(f"a daemon runs ({node.running}), and the broker has it as offline{_own_words(node)}", fix=LOG)
    else:
        yield good(f"the daemon was heard {max(age_s, 0):.0f} s ago, up {health.uptime / 3600:.1f} h ({node.running})")
    configured = health.configuration
    if configured is not None and configured.error is not None:
        yield bad(f"it did not take the configuration: {configured.error}", fix="correct it, and reload the service")
    elif configured is not None and configured.hash not in {None, config_hash(config)}:
        yield warning("it runs with another configuration than this one", fix=f"systemctl reload {UNIT}, or --config")
    lost = (
        sum(health.mqtt.dropped.values()) - health.mqtt.dropped.get("faces", 0) - health.mqtt.dropped.get("health", 0)
    )
    if health.mqtt.dropped.get("visits", 0):
        yield warning(
            f"{health.mqtt.dropped['visits']} messages on visits were dropped", fix="see to the broker's connection"
        )
    elif lost:
        yield good(f"{lost} retained messages were replaced by newer ones")
    if health.mqtt.parked:
        yield warning(
            f"the broker refused {health.mqtt.parked} messages", fix="check what it allows this node, and its limits"
        )
    if health.invalid and any(health.invalid.values()):
        yield bad(f"networks gave what is no answer: {health.invalid}", fix="run `edgeface models verify`")
    if health.last_error is not None:
        yield good(f"its latest trouble, at {health.last_error.at}: {health.last_error.text}")
