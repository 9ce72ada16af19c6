"""A paho client as the configuration wants it: identity, credentials, TLS, last will."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edgeface.config import Mqtt
from edgeface.errors import ConfigError
from edgeface.publish.reasons import (
    QOS_NOT_SUPPORTED,
    RETAIN_NOT_SUPPORTED,
    TOPIC_INVALID,
)
from edgeface.publish.selfpipe import wait_for

Protocol = Literal["5", "3.1.1"]
VERDICT_S = 0.5
"""Longest wait for the verdict on our certificate; only a broker without session tickets costs it."""
_PAHO_PROTOCOL = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """What the broker publishes when the connection ends without a farewell."""

    topic: str
    payload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who we are at the broker.

    Attributes
    ----------
    keep_s : how long a broker that speaks MQTT 5 keeps what we have subscribed to while we are away
    most_bytes : of the largest packet that such a broker is to send us; None: any
    """

    client_id: str
    password: str | None
    will: Will | None = None
    keep_s: int = 0
    most_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a broker may be asked for; it is lessened where it says that it cannot."""

    retain: bool = True
    qos: Literal[0, 1] = 1
    will: bool = True

    def lessened(self, reason: int | None) -> Abilities | None:
        """Ask for less after this refusal; None where less would not help."""
        if reason == RETAIN_NOT_SUPPORTED and self.retain:
            return replace(self, retain=False)
        if reason == QOS_NOT_SUPPORTED and self.qos:
            return replace(self, qos=0)
        if reason in {RETAIN_NOT_SUPPORTED, QOS_NOT_SUPPORTED, TOPIC_INVALID} and self.will:
            return replace(self, will=False)
        return None


def make_client(settings: Mqtt, account: Account, *, protocol: Protocol, abilities: Abilities) -> paho.Client:
    """Make a client for one connection; nothing is opened yet.

    A client speaks one version of MQTT for its whole life, and keeps what it has not delivered. One
    connection, one client: what waits is the outbox's business alone.

    Raises
    ------
    ConfigError : a certificate or key that is missing or unreadable
    """
    client = _bare_client(settings, protocol, account.client_id)
    if settings.username is not None:
        client.username_pw_set(settings.username, account.password)
    will = account.will
    if will is not None and abilities.will:
        client.will_set(will.topic, will.payload, qos=abilities.qos, retain=abilities.retain)
    return client


def make_probe(settings: Mqtt) -> paho.Client:
    """Make a client that only asks whether the broker speaks MQTT 5: without name, credentials or last will.

    amqtt (0.12, the broker of ``scripts/demo``) knows MQTT 3.1.1 only, reads the first of these at the wrong
    place and waits for bytes that never come; without them it finds the version and says so.

    Raises
    ------
    ConfigError : as `make_client`
    """
    return _bare_client(settings, "5", "")


def _bare_client(settings: Mqtt, protocol: Protocol, client_id: str) -> paho.Client:
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=_PAHO_PROTOCOL[protocol],
        reconnect_on_failure=False,
    )
    context = tls_context(settings)
    if context is not None:
        client.tls_set_context(context)
    return client


def tls_context(settings: Mqtt) -> ssl.SSLContext | None:
    """TLS as configured: the broker's certificate and name are always checked; None for a plain connection.

    Raises
    ------
    ConfigError : a file that is missing or unreadable, a key without its certificate
    """
    if settings.key_file is not None and settings.cert_file is None:
        raise ConfigError("mqtt.key_file is set without mqtt.cert_file", fix="name the certificate of that key")
    if not (settings.tls or settings.ca_file or settings.cert_file):
        return None
    context = _trusting(settings.ca_file)
    context.sslsocket_class = _PatientSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.cert_file is not None:
        _load_own(context, settings.cert_file, settings.key_file)
    return context


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    """Trust the system's authorities, or those of the file and nobody else."""
    if ca_file is None:
        return ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    _readable("ca_file", ca_file)
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file)
    except ssl.SSLError:
        raise ConfigError(
            f"mqtt.ca_file: {ca_file} holds no certificate",
            fix="give the authority's certificate as PEM",
        ) from None
    # As Python 3.13 does it and older ones do not: the file may name an authority in the middle of a chain. As older
    # ones do it and 3.13 does not: authorities that people make at home lack extensions that a strict reader wants.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


class _PatientSocket(ssl.SSLSocket):
    """Waits after the handshake until the broker has judged our certificate.

    Mosquitto with ``require_certificate`` needs it, as any broker on TLS 1.3 does: the client's part of that
    handshake ends before the verdict, and a refusal comes as an alert afterwards, followed by a close. Whoever
    writes in between may lose the alert, and cannot tell it from a broken connection. A broker that is content
    sends session tickets, so the wait is short.
    """

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        if self.version() != "TLSv1.3":
            return
        timeout_s = self.gettimeout()
        wait_for([self], [], VERDICT_S)
        self.settimeout(0)
        try:
            # No broker speaks before the client: this reads tickets, or raises what the alert says.
            self.recv(1)
        except ssl.SSLWantReadError:
            pass
        finally:
            self.settimeout(timeout_s)


def _load_own(context: ssl.SSLContext, cert_file: str, key_file: str | None) -> None:
    _readable("cert_file", cert_file)
    if key_file is not None:
        _readable("key_file", key_file)
    try:
        # Without the function, a key with a pass phrase would make OpenSSL ask on the terminal.
        context.load_cert_chain(cert_file, key_file, password=lambda: b"")
    except (ssl.SSLError, ValueError):
        raise ConfigError(
            f"mqtt.cert_file: {cert_file} and its key do not make a pair that can be read",
            fix="give certificate and key as PEM, the key without a pass phrase",
        ) from None


def _readable(key: str, path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise ConfigError(
            f"mqtt.{key}: {path} cannot be read: {error.strerror}", fix="check path and permissions"
        ) from None
