"""What a broker's word means: reason codes of CONNACK, DISCONNECT and PUBACK (OASIS MQTT 5.0, section 2.4)."""

from __future__ import annotations

import ssl
from typing import Literal

from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

Cause = Literal["away", "silent", "closed_early", "old_broker", "refused", "lost", "clock", "blamed", "denied"]
Verdict = Literal["taken", "wait", "topic", "message"]

OLD_BROKER, TAKEN_OVER, KEEP_ALIVE, QUOTA = 0x84, 0x8E, 0x8D, 0x97
TOPIC_INVALID, PAYLOAD_INVALID, RETAIN_NOT_SUPPORTED, QOS_NOT_SUPPORTED = 0x90, 0x99, 0x9A, 0x9B
USE_ANOTHER_SERVER, SERVER_MOVED = 0x9C, 0x9D

CHECK_CREDENTIALS = "check user, password and certificates"
HINTS = {
    0x85: "check mqtt.client_id and node.id",
    0x86: CHECK_CREDENTIALS,
    0x87: CHECK_CREDENTIALS,
    0x8A: "ask who runs the broker",
    0x8C: CHECK_CREDENTIALS,
    TAKEN_OVER: "give each its own node.id or mqtt.client_id",
    TOPIC_INVALID: "it takes no last will on our topic, check mqtt.prefix",
    0x95: "the packet that asks to connect is larger than it takes",
    RETAIN_NOT_SUPPORTED: "it does not take our last will",
    QOS_NOT_SUPPORTED: "it does not take our last will",
    SERVER_MOVED: "set mqtt.host and mqtt.port anew",
}
"""Refusals that trying again soon does not change, and what a person can do."""

MESSAGE_REASONS = frozenset(
    {0x80, 0x81, 0x82, 0x83, 0x87, TOPIC_INVALID, 0x94, 0x95, PAYLOAD_INVALID, RETAIN_NOT_SUPPORTED, QOS_NOT_SUPPORTED}
)
"""DISCONNECT reasons for which a message of ours may be the cause."""

NOT_YET_VALID = 9
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID."""
CERTIFICATE_HINTS = {
    10: "it has to be renewed on the broker",
    **dict.fromkeys((18, 19, 20, 21), "set mqtt.ca_file to the certificate of the authority that signed it"),
    **dict.fromkeys((62, 64), "set mqtt.host to a name that it is for"),
}
"""By OpenSSL's X509_V_ERR numbers: it has expired, nobody known signed it, it is for another name or address."""
SET_TLS = "set mqtt.tls or mqtt.ca_file"
CHECK_RIGHTS = "check what it allows this node to publish, and its limits"
PERHAPS_TLS = f"if it expects TLS there, {SET_TLS}"


class SessionFailure(Exception):  # noqa: N818
    """The connection could not be made or is lost; ``cause`` decides when and how the next is tried.

    Attributes
    ----------
    reason : the broker's own word, or None
    hint : what a person can do about it, or empty
    blames : whether a message that was under way may have caused it
    tls_in_doubt : whether the port may speak TLS where we do not, or the other way round
    """

    def __init__(
        self,
        cause: Cause,
        text: str,
        *,
        reason: int | None = None,
        hint: str = "",
        blames: bool = False,
        tls_in_doubt: bool = False,
    ) -> None:
        super().__init__(text)
        self.cause = cause
        self.reason = reason
        self.hint = hint
        self.blames = blames
        self.tls_in_doubt = tls_in_doubt


def puback_verdict(reason: int) -> Verdict:
    """What becomes of a message after its acknowledgement.

    Returns
    -------
    ``taken``; ``topic``: nothing on this topic is allowed; ``message``: this one never will be; ``wait``: the
    broker cannot now (quota, unspecified, specific to it, or a reason that nobody knows yet)
    """
    if reason < 0x80:
        return "taken"
    if reason in {0x87, TOPIC_INVALID}:
        return "topic"
    if reason in {0x95, PAYLOAD_INVALID, RETAIN_NOT_SUPPORTED, QOS_NOT_SUPPORTED}:
        return "message"
    return "wait"


def connack_failure(reason: ReasonCode, properties: Properties | None) -> SessionFailure | None:
    """Tell what a CONNACK refuses, or None when it accepts."""
    if reason.value < 0x80:
        return None
    cause: Cause = "refused" if reason.value in HINTS else "away"
    if reason.value == OLD_BROKER:
        cause = "old_broker"
    text = f"it refuses us: {_named(reason, properties)}"
    return SessionFailure(cause, text, reason=reason.value, hint=HINTS.get(reason.value, ""))


def disconnect_failure(reason: ReasonCode, properties: Properties | None, *, from_server: bool) -> SessionFailure:
    """Tell why a connection that stood is over."""
    if not from_server:
        text = f"connection lost ({str(reason).lower()})"
        return SessionFailure("lost", text, blames=reason.value != KEEP_ALIVE)
    if reason.value == TAKEN_OVER:
        text = "another client has come with our client id"
        return SessionFailure("refused", text, reason=TAKEN_OVER, hint=HINTS[TAKEN_OVER])
    cause: Cause = "refused" if reason.value == SERVER_MOVED else "lost"
    return SessionFailure(
        cause,
        _named(reason, properties),
        reason=reason.value,
        hint=HINTS[SERVER_MOVED] if cause == "refused" else "",
        blames=reason.value in MESSAGE_REASONS,
    )


def connect_failure(error: Exception) -> SessionFailure:
    """Tell why there is no connection at all: names, network, TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"its certificate does not hold: {error.verify_message.rstrip('.')}"
        if error.verify_code == NOT_YET_VALID:
            return SessionFailure("clock", f"{text} by this machine's clock")
        hint = CERTIFICATE_HINTS.get(error.verify_code, CHECK_CREDENTIALS)
        return SessionFailure("refused", text, hint=hint)
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        ours = "alert" in reason and any(word in reason for word in ("cert", "unknown ca", "access"))
        text = f"{'it refuses our certificate' if ours else 'no TLS with it'}: {reason}"
        no_tls = reason == "wrong version number"
        hint = "check mqtt.port: what listens there speaks no TLS" if no_tls else CHECK_CREDENTIALS
        return SessionFailure("refused", text, hint=hint, tls_in_doubt=no_tls)
    if isinstance(error, TimeoutError):
        return SessionFailure("away", "no connection in time", tls_in_doubt="handshake" in str(error))
    if isinstance(error, ssl.SSLError | ConnectionResetError):
        return SessionFailure("away", "it closes the connection in the TLS handshake", tls_in_doubt=True)
    text = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
    return SessionFailure("away", text)


def _named(reason: ReasonCode, properties: Properties | None) -> str:
    text = str(reason).lower()
    reference = getattr(properties, "ServerReference", "")
    # It is told and not followed: a broker must not send our credentials to a place of its choice.
    return f"{text} ({reference})" if reference else text
