"""The broker: reached, trusted, taking what we say; and when certificates end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from edgeface.config import mqtt_password
from edgeface.diagnosis.finding import Finding, bad, good, skipped, warning
from edgeface.diagnosis.node import UNIT, Node
from edgeface.publish.certificates import file_end
from edgeface.publish.reasons import CHECK_CREDENTIALS

SOON_DAYS = 30
UNKNOWN = ("name resolution", "name or service not known")
NO_MDNS = "write the broker's address, or have this machine look for .local names: sudo apt install libnss-mdns"
REACH = "check mqtt.host and mqtt.port, and that the broker runs and lets this machine in"


def connection(node: Node) -> Iterator[Finding]:
    """A client of its own is let in."""
    mqtt = node.config.mqtt
    spoken, place = node.conversation, f"broker {mqtt.host}:{mqtt.port}"
    if spoken.failure is not None:
        hint = spoken.hint or REACH
        if hint == CHECK_CREDENTIALS:
            hint = _missing(node) or hint
        elif mqtt.host.lower().rstrip(".").endswith(".local") and any(words in spoken.failure for words in UNKNOWN):
            hint = NO_MDNS
        yield bad(f"{place}: {spoken.failure}", fix=hint)
        return
    plain = "" if spoken.certificate_end else ", not encrypted"
    yield good(f"{place} lets us in with MQTT {spoken.protocol}{plain}")
    if mqtt.username is not None and not spoken.certificate_end and not _local(mqtt.host):
        yield warning(
            f"the password for {place} travels in plain text", fix="set mqtt.tls or mqtt.ca_file, and its TLS port"
        )


def rights(node: Node) -> Iterator[Finding]:
    """The broker takes messages below the node's topic."""
    mqtt = node.config.mqtt
    if node.conversation.failure is not None:
        yield skipped("the broker was not reached")
        return
    base = f"{mqtt.prefix.rstrip('/')}/{node.id}"
    who = f"user {mqtt.username}" if mqtt.username else "this client"
    delivers = node.health is not None and node.running and node.health.mqtt.parked == 0
    if node.conversation.writes == "taken":
        yield good(f"{who} may write below {base}")
    elif node.conversation.writes == "refused" and delivers:
        yield good(f"the daemon's messages are taken; another client id may not write below {base}")
    elif node.conversation.writes == "refused":
        yield bad(
            f"the broker refuses {base}/doctor to {who}",
            fix=f"let this node write all below {base}, in Mosquitto: topic write {base}/#",
        )
    else:
        yield skipped(f"MQTT 3.1.1 does not tell whether {who} may write below {base}")


def certificates(node: Node) -> Iterator[Finding]:
    """None ends soon."""
    mqtt = node.config.mqtt
    ends = {"the broker's certificate": node.conversation.certificate_end}
    for name, path in (("our certificate", mqtt.cert_file), ("the authority's certificate", mqtt.ca_file)):
        if path is not None:
            ends[f"{name} {path}"] = file_end(Path(path))
    known = {name: end for name, end in ends.items() if end is not None}
    if not known:
        yield skipped("no certificate is in use")
    for name, end in known.items():
        yield _judged(name, end, datetime.now(timezone.utc))


def _missing(node: Node) -> str | None:
    """What an account at the broker has and this configuration has not; None where nothing is known to be missing."""
    mqtt, folder = node.config.mqtt, None if node.path is None else node.path.parent / "credentials"
    if mqtt.cert_file is not None:
        return None
    if mqtt.username is None:
        return "no mqtt.username is given: write the account's name and password into the configuration"
    if mqtt_password(mqtt, node.environ):
        return None
    if folder is not None and folder.is_dir():
        if not os.access(folder, os.R_OK | os.X_OK):
            return "this user may not read the service's password: run this as root"
        return f"there is no password: write it into {folder / 'password'}, then sudo systemctl restart {UNIT}"
    return "there is no password: see mqtt.password_file"


def _judged(name: str, end: datetime, now: datetime) -> Finding:
    days = (end - now).total_seconds() / 86_400
    if days < 0:
        return bad(f"{name} ended on {end:%Y-%m-%d}", fix="renew it, then reload the service")
    text = f"{name} ends on {end:%Y-%m-%d}, in {days:.0f} days"
    return warning(text, fix="renew it before that day") if days < SOON_DAYS else good(text)


def _local(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")
