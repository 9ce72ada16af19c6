"""One short connection to the broker by a client of its own: what it keeps of the node, and whether it takes from it.

The client id is drawn anew each time: the daemon's own would throw the daemon out.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from edgeface.config import Config, Mqtt, mqtt_password
from edgeface.errors import ConfigError
from edgeface.publish.client import Abilities, Account, Protocol, make_client
from edgeface.publish.encryption import explained
from edgeface.publish.reasons import SessionFailure
from edgeface.publish.selfpipe import SelfPipe
from edgeface.publish.session import Arrival, Session

RETAINED_S = 2.0
"""Longest wait for what the broker keeps."""
QUIET_S = 0.2
"""What it keeps comes in one go: after so much silence behind `health` there is no more."""
Writes = Literal["taken", "refused", "unknown"]


@dataclass(kw_only=True)
class Conversation:
    """What came of it.

    Attributes
    ----------
    failure : why there was no connection; None when one stood
    hint : what a person can do about that, or empty
    protocol : version that was spoken
    certificate_end : of the broker's certificate, None without TLS
    heard : newest payload by topic below the node's
    writes : whether the broker took a message of ours; MQTT 3.1.1 tells no refusal
    """

    failure: str | None = None
    hint: str = ""
    protocol: Protocol = "5"
    certificate_end: datetime | None = None
    heard: dict[str, bytes] = field(default_factory=dict)
    writes: Writes = "unknown"


def converse(config: Config, *, node: str, environ: Mapping[str, str], retained_s: float = RETAINED_S) -> Conversation:
    """Connect, hear what is retained below the node's topic, try to write there, and leave.

    What is written is empty, on ``<prefix>/<node>/doctor``, and not retained. A password or a certificate that cannot
    be read is a failure like any other.
    """
    settings, base = config.mqtt, f"{config.mqtt.prefix.rstrip('/')}/{node}"
    result = Conversation()

    def heard(arrival: Arrival) -> None:
        result.heard[arrival.topic.removeprefix(f"{base}/")] = arrival.payload

    wake = SelfPipe()
    try:
        password = mqtt_password(settings, environ)
        account = Account(client_id=f"edgeface-doctor-{secrets.token_hex(4)}", password=password)
        session = _connected(settings, account, wake, result, heard)
        try:
            _listen(session, base, result, retained_s)
            _write(session, f"{base}/doctor", result)
        finally:
            session.close()
    except SessionFailure as failure:
        result.failure, result.hint = str(failure), failure.hint
    except ConfigError as error:
        result.failure, result.hint = error.what, error.fix
    finally:
        wake.close()
    return result


def _connected(
    settings: Mqtt, account: Account, wake: SelfPipe, result: Conversation, heard: Callable[[Arrival], None]
) -> Session:
    """A connection in MQTT 5, or in 3.1.1 with a broker that knows no other."""
    for protocol in ("5", "3.1.1"):
        result.protocol = protocol
        client = make_client(settings, account, protocol=protocol, abilities=Abilities())
        session = Session(client, wake, on_message=heard)
        try:
            session.open(
                settings.host,
                settings.port,
                keep_alive_s=settings.keep_alive,
                answer_s=settings.connect_timeout,
            )
        except SessionFailure as failure:
            session.close()
            known = explained(failure, settings)
            if known is not failure:
                raise known from failure
            if protocol == "5" and failure.cause in {"old_broker", "closed_early", "silent"}:
                continue
            raise
        result.certificate_end = session.certificate_end
        return session
    raise AssertionError("the last version either connects or raises")


def _listen(session: Session, base: str, result: Conversation, retained_s: float) -> None:
    session.subscribe(f"{base}/#")
    until_s = time.monotonic() + retained_s
    while (left_s := until_s - time.monotonic()) > 0:
        known, before = "health" in result.heard, len(result.heard)
        session.turn(min(left_s, QUIET_S) if known else left_s)
        if known and len(result.heard) == before:
            return


def _write(session: Session, topic: str, result: Conversation) -> None:
    """A broker that refuses says so in its acknowledgement, or closes the connection; in MQTT 3.1.1 it lies."""
    name = topic.rsplit("/", 1)[-1]
    try:
        number = session.publish(topic, b"", qos=1, retain=False)
        until_s = time.monotonic() + RETAINED_S
        while (left_s := until_s - time.monotonic()) > 0:
            session.turn(left_s)
            acks = dict(session.take_acks())
            if number in acks:
                told = result.protocol == "5" or name in result.heard
                result.writes = "refused" if acks[number] >= 0x80 else "taken" if told else "unknown"
                return
    except SessionFailure:
        result.writes = "refused"
