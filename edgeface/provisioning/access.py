"""What the broker is told: who may do what, by exact topics; who has which password; where it listens. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping

from edgeface.config import Config
from edgeface.events import COMMAND, COMMANDS, KINDS
from edgeface.provisioning.rendering import PORTS
from edgeface.publish.discovery import config_topic
from edgeface.publish.entities import device_id, place_id

ITERATIONS, SALT_BYTES = 101, 12
"""Those of `mosquitto_passwd` 2.0. Few, and enough: our passwords have 192 bits of chance, not of a person."""
HOME_ASSISTANT, OPERATOR = "homeassistant", "operator"
"""Accounts of who listens to all nodes and may command them, and of who may clear up after them too."""
ACCOUNTS = (HOME_ASSISTANT, OPERATOR)
OWN = ("availability", "doctor")
"""What a node writes beside messages."""
_CAMERA_KINDS = tuple(kind for kind, struct in KINDS.items() if "camera" in struct.__struct_fields__)
_NODE_KINDS = tuple(kind for kind in KINDS if kind not in _CAMERA_KINDS)


def node_access(config: Config, name: str) -> list[str]:
    """Lines of a node in an access list: its own topics by name, no wildcard, and of commands the right to hear.

    A node reads back what it wrote: `edgeface aim` and `report` beside it use its account.
    """
    base, ours = f"{config.mqtt.prefix.rstrip('/')}/{name}", config.home_assistant.prefix.rstrip("/")
    written = [f"{base}/{kind}" for kind in (*OWN, *_NODE_KINDS)]
    written += [f"{base}/{camera}/{kind}" for camera in sorted(config.cameras) for kind in _CAMERA_KINDS]
    read: list[str] = []
    if config.home_assistant.discovery != "off":
        written += [config_topic(ours, device_id(name, camera)) for camera in (None, *sorted(config.cameras))]
        for camera, own in sorted(config.cameras.items()):
            written += [config_topic(ours, place_id(name, camera, "line", line.name)) for line in own.lines]
            written += [config_topic(ours, place_id(name, camera, "zone", zone.name)) for zone in own.zones]
        read.append(f"{ours}/status")
    if config.commands.enabled:
        read += [f"{base}/{COMMAND}/{command}" for command in COMMANDS]
    return [*(f"topic readwrite {topic}" for topic in written), *(f"topic read {topic}" for topic in read)]


def account_access(prefixes: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Lines of the accounts that are no node's, from the prefixes of topics and of discovery."""
    heard, written, own = set[str](), set[str](), set[str]()
    for prefix, ours in prefixes:
        heard.add(f"topic read {prefix}/#")
        written.add(f"topic write {prefix}/+/{COMMAND}/+")
        own.add(f"topic readwrite {ours}/#")
    everything = {line.replace("topic read ", "topic readwrite ") for line in heard}
    return {HOME_ASSISTANT: sorted(heard | written | own), OPERATOR: sorted(everything | own)}


def access_list(accounts: Mapping[str, Iterable[str]]) -> str:
    """The file for `acl_file`: lines by account, accounts by name."""
    head = "# Written by `edgeface provision`. Who is not named here may nothing, $SYS included.\n"
    return head + "".join(
        f"\nuser {name}\n" + "".join(f"{line}\n" for line in lines) for name, lines in sorted(accounts.items())
    )


def password_line(name: str, password: str, salt: bytes) -> str:
    """Line of a password file as `mosquitto_passwd` writes it: PBKDF2 with SHA-512."""
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return f"{name}:$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def is_line_of(line: str, name: str, password: str) -> bool:
    """Whether a line lets this account in with this password."""
    try:
        salt = base64.b64decode(line.split("$")[3], validate=True)
    except (IndexError, ValueError):
        return False
    return hmac.compare_digest(line, password_line(name, password, salt))


def broker_config(folder: str) -> str:
    """Settings of a broker whose files lie in ``folder``: two ports with TLS, none without, nobody without a name."""
    return f"""\
# Written by `edgeface provision`: for /etc/mosquitto/conf.d, its files in {folder}.
# After a change of those files: systemctl reload mosquitto; after a change of this one: restart.

allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/acl
# Mosquitto drops beyond 1000 messages for who is slow or away, also of the retained ones that a new subscriber gets:
# two hundred nodes have more.
max_queued_messages 0

# Accounts with passwords: nodes, Home Assistant.
listener {PORTS["password"]}
certfile {folder}/broker.pem
keyfile {folder}/broker.key
tls_version tlsv1.2

# Nodes with certificates: the name in it is the account.
listener {PORTS["certificate"]}
certfile {folder}/broker.pem
keyfile {folder}/broker.key
tls_version tlsv1.2
cafile {folder}/ca.pem
crlfile {folder}/crl.pem
require_certificate true
use_identity_as_username true
"""
