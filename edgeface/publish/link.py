"""One connection to a broker, driven by the thread that owns it: opened once, used, lost or closed.

paho's own loop is not used: it would reconnect with the same client, which repeats the same version of MQTT
for ever and keeps messages of its own. Here a turn of the loop is a call, and a lost connection an exception.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import paho.mqtt.client as paho
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

Cause = Literal["away", "silent", "closed_early", "old_broker", "refused", "lost"]

IN_FLIGHT = 20
"""Most messages that are sent and not yet acknowledged."""
OLD_BROKER = 132
"""CONNACK: unsupported protocol version."""
TAKEN_OVER = 142
"""DISCONNECT: another client came with our id."""
REFUSALS = frozenset({132, 133, 134, 135, 138, 140, 144, 153, 154, 155})
"""CONNACK reasons that trying again soon does not change: credentials, client id, rights, last will."""


class LinkFailure(Exception):  # noqa: N818
    """The connection could not be made or is lost; ``cause`` decides when and how the next is tried."""

    def __init__(self, cause: Cause, text: str) -> None:
        super().__init__(text)
        self.cause = cause


class Wake:
    """Ends a wait for the network from another thread."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()
        self.reader.setblocking(False)
        self._writer.setblocking(False)

    def set(self) -> None:
        """End the wait that runs, or the next one."""
        with suppress(BlockingIOError):  # Full of wake-ups: it will wake.
            self._writer.send(b"!")

    def clear(self) -> None:
        """Forget all wake-ups so far."""
        with suppress(BlockingIOError):
            while self.reader.recv(4096):
                pass

    def wait(self, timeout_s: float) -> None:
        """Sleep until woken or ``timeout_s`` have passed."""
        select.select([self.reader], [], [], max(0.0, timeout_s))
        self.clear()


class Link:
    """One connection.

    Attributes
    ----------
    in_flight : how many messages the broker takes unacknowledged, 1 to 20
    largest : bytes of the largest packet it takes, or None
    """

    def __init__(
        self, client: paho.Client, wake: Wake, *, on_message: Callable[[str, bytes], None] | None = None
    ) -> None:
        self._client = client
        self._wake = wake
        self._answer: tuple[ReasonCode, Properties | None] | None = None
        self._ending: tuple[ReasonCode, bool] | None = None
        self._tls_alert = ""
        self._acks: list[tuple[int, int]] = []
        self.in_flight = IN_FLIGHT
        self.largest: int | None = None
        self._most_qos = 1
        self._can_retain = True
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_log = self._on_log
        if on_message is not None:
            client.on_message = lambda _client, _data, message: on_message(message.topic, bytes(message.payload))

    def open(self, host: str, port: int, *, keep_alive_s: int, connect_s: float, answer_s: float) -> None:
        """Connect within ``connect_s`` and wait at most ``answer_s`` until the broker has accepted us.

        Raises
        ------
        LinkFailure : ``away``, ``silent`` (no answer), ``closed_early``, ``old_broker`` or ``refused``
        """
        self._client.connect_timeout = connect_s
        try:
            self._client.connect(host, port, keepalive=keep_alive_s)
        except (OSError, UnicodeError) as error:
            raise _connect_failure(error) from error
        deadline = time.monotonic() + answer_s
        while self._answer is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                self.drop()
                raise LinkFailure("silent", f"it does not answer within {answer_s:g} s")
            self.turn(left_s)
        refusal = _refusal(self._answer[0])
        if refusal is not None:
            self.drop()
            raise refusal
        self._read_limits(self._answer[1])

    def turn(self, timeout_s: float) -> None:
        """Wait for the network or a wake-up at most ``timeout_s``, and do what is to be done.

        Raises
        ------
        LinkFailure : the connection is lost
        """
        sock = self._client.socket()
        if sock is None:
            raise self._failure()
        # TLS reads whole records: what is decrypted and unread does not show as readable.
        ready = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        writers = [sock] if self._client.want_write() else []
        try:
            readable, writable, _ = select.select(
                [sock, self._wake.reader], writers, [], 0 if ready else max(0.0, timeout_s)
            )
        except (OSError, ValueError) as error:
            raise LinkFailure("lost", f"the socket failed: {error}") from error
        if self._wake.reader in readable:
            self._wake.clear()
        if ready or sock in readable:
            self._client.loop_read()
        if writable:
            self._client.loop_write()
        self._client.loop_misc()
        if self._ending is not None:
            raise self._failure()

    def publish(self, topic: str, payload: bytes | str, *, qos: int, retain: bool) -> int | None:
        """Send one message; its number on this connection, or None when nothing will be acknowledged."""
        qos = min(qos, self._most_qos)
        number = self._client.publish(topic, payload, qos=qos, retain=retain and self._can_retain).mid
        return number if qos else None

    def subscribe(self, topic: str) -> None:
        """Ask for a topic with QoS 1."""
        self._client.subscribe(topic, qos=1)

    @property
    def congested(self) -> bool:
        """Whether bytes wait for the network; more would only grow a buffer."""
        return self._client.want_write()

    def take_acks(self) -> list[tuple[int, int]]:
        """Give numbers and reasons acknowledged since the last call; a reason of 128 or more is a refusal."""
        acks, self._acks = self._acks, []
        return acks

    def close(self) -> None:
        """Say farewell, so that the broker forgets our last will, and let go; right for a lost one too."""
        if self._client.socket() is not None:
            self._client.disconnect()
        # The callbacks tie client and link into a ring; untied, both go at once.
        client = self._client
        client.on_connect = client.on_disconnect = client.on_publish = None
        client.on_log = client.on_message = None

    def drop(self) -> None:
        """Close without a farewell: the broker publishes our last will."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _on_connect(
        self,
        _client: paho.Client,
        _data: object,
        _flags: object,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._answer = (reason, properties)

    def _on_disconnect(
        self,
        _client: paho.Client,
        _data: object,
        flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        # After the broker's own word paho may report the close once more, with less to say.
        if self._ending is None:
            self._ending = (reason, flags.is_disconnect_packet_from_server)

    def _on_publish(
        self,
        _client: paho.Client,
        _data: object,
        number: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._acks.append((number, reason.value))

    def _on_log(self, _client: paho.Client, _data: object, _level: int, text: str) -> None:
        # Only here paho tells why reading failed; with TLS 1.3 a refused client certificate shows here.
        if "[SSL: " in text and "ALERT" in text:
            self._tls_alert = text.partition("] ")[2].partition(" (_ssl")[0] or text

    def _read_limits(self, properties: Properties | None) -> None:
        self.in_flight = min(IN_FLIGHT, getattr(properties, "ReceiveMaximum", IN_FLIGHT))
        self.largest = getattr(properties, "MaximumPacketSize", None)
        self._most_qos = getattr(properties, "MaximumQoS", 1)
        self._can_retain = bool(getattr(properties, "RetainAvailable", 1))

    def _failure(self) -> LinkFailure:
        if self._tls_alert:
            return LinkFailure("refused", f"it refuses our certificate: {self._tls_alert}")
        if self._answer is None:
            return LinkFailure("closed_early", "it closes the connection without an answer")
        refusal = _refusal(self._answer[0])
        if refusal is not None:
            return refusal
        if self._ending is None:
            return LinkFailure("lost", "the connection is closed")
        reason, from_server = self._ending
        if from_server and reason.value == TAKEN_OVER:
            return LinkFailure("refused", "another client has come with our client id")
        return LinkFailure("lost", str(reason).lower() if from_server else f"connection lost ({str(reason).lower()})")


def _refusal(reason: ReasonCode) -> LinkFailure | None:
    if reason.value < 128:
        return None
    cause: Cause = "away"
    if reason.value in REFUSALS:
        cause = "old_broker" if reason.value == OLD_BROKER else "refused"
    return LinkFailure(cause, f"it refuses us: {str(reason).lower()}")


def _connect_failure(error: Exception) -> LinkFailure:
    if isinstance(error, ssl.SSLCertVerificationError):
        return LinkFailure("refused", f"its certificate does not hold: {error.verify_message.rstrip('.')}")
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        ours = "alert" in reason and any(word in reason for word in ("cert", "unknown ca", "access"))
        return LinkFailure("refused", f"{'it refuses our certificate' if ours else 'no TLS with it'}: {reason}")
    if isinstance(error, TimeoutError):
        return LinkFailure("away", "no connection in time")
    if isinstance(error, OSError):
        return LinkFailure("away", (error.strerror or str(error)).lower())
    return LinkFailure("away", str(error))
