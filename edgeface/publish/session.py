"""One session with a broker, driven by the thread that owns it: opened once, used, lost or closed.

paho's own loop is not used: it would reconnect with the same client, which repeats the same version of MQTT
for ever and keeps messages of its own. Here a turn of the loop is a call, and a lost connection an exception.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgeface.publish.certificates import peer_end
from edgeface.publish.client import Abilities
from edgeface.publish.reasons import (
    CHECK_CREDENTIALS,
    PERHAPS_TLS,
    SessionFailure,
    connack_failure,
    connect_failure,
    disconnect_failure,
)
from edgeface.publish.selfpipe import SelfPipe, wait_for

IN_FLIGHT = 20
"""Most messages that are sent and not yet acknowledged."""
LEAST_CONNECT_S = 3.0
"""For each address of a broker that has several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One message as it came.

    Attributes
    ----------
    retained : whether the broker keeps it, or has kept it; a broker of MQTT 3.1.1 says the latter only
    redelivered : whether the broker may have sent it to us before in this session (DUP); what a sender sends twice
        comes without that
    user : what the sender or the broker has written beside it, as names and values (user properties of MQTT 5)
    """

    topic: str
    payload: bytes
    retained: bool = False
    redelivered: bool = False
    user: tuple[tuple[str, str], ...] = ()


class Session:
    """One session.

    Parameters
    ----------
    abilities : what the broker may be asked for; its CONNACK can only lessen it
    on_message : called with what arrives
    keep_s, most_bytes : as in `Account`

    Attributes
    ----------
    resumed : whether the broker still knew what we had subscribed to
    in_flight : how many messages with QoS 1 the broker takes unacknowledged, 1 to 20
    largest : bytes of the largest packet it takes, or None
    abilities : what it takes
    subscribed : whether the broker has answered what was asked for last, be it with a refusal
    barred : whether it has refused some of it
    """

    def __init__(
        self,
        client: paho.Client,
        wake: SelfPipe,
        *,
        abilities: Abilities | None = None,
        on_message: Callable[[Arrival], None] | None = None,
        keep_s: int = 0,
        most_bytes: int | None = None,
    ) -> None:
        self._client = client
        self._keep_s = keep_s if client.protocol == paho.MQTTv5 else 0
        self._most_bytes = most_bytes if client.protocol == paho.MQTTv5 else None
        self.resumed = False
        self._wake = wake
        self._answer: tuple[ReasonCode, Properties | None] | None = None
        self._ending: tuple[ReasonCode, Properties | None, bool] | None = None
        self._tls_alert = ""
        self._encrypted = False
        self._acks: list[tuple[int, int]] = []
        self.subscribed = self.barred = False
        self.in_flight = IN_FLIGHT
        self.largest: int | None = None
        self.abilities = abilities or Abilities()
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_log = self._on_log
        client.on_subscribe = self._on_subscribe
        if on_message is not None:
            client.on_message = lambda _client, _data, message: on_message(_arrival(message))

    def open(
        self,
        host: str,
        port: int,
        *,
        keep_alive_s: int,
        answer_s: float,
        doubt_s: float = 0.0,
        doubt: Callable[[float], None] | None = None,
    ) -> None:
        """Connect, and wait until the broker has accepted us; ``answer_s`` bounds each of the two.

        Parameters
        ----------
        doubt : called once when no answer has come within ``doubt_s``, with the seconds that are left

        Raises
        ------
        SessionFailure : ``away``, ``silent`` (no answer), ``closed_early``, ``old_broker``, ``clock`` or ``refused``;
            or what ``doubt`` raises
        """
        self._connect(host, port, keep_alive_s, answer_s)
        self._encrypted = isinstance(self._client.socket(), ssl.SSLSocket)
        opened_s = time.monotonic()
        while self._answer is None:
            now_s = time.monotonic()
            left_s = opened_s + answer_s - now_s
            if left_s <= 0:
                self.drop()
                raise SessionFailure("silent", f"it does not answer within {answer_s:g} s")
            if doubt is not None and now_s >= opened_s + doubt_s:
                ask, doubt = doubt, None
                ask(left_s)
                continue
            self.turn(left_s if doubt is None else min(left_s, opened_s + doubt_s - now_s))
        refusal = connack_failure(*self._answer)
        if refusal is not None:
            self.drop()
            raise refusal
        self._read_limits(self._answer[1])

    def _connect(self, host: str, port: int, keep_alive_s: int, answer_s: float) -> None:
        try:
            places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            # A dead address must not cost the time of the one behind it.
            self._client.connect_timeout = (
                answer_s if len(places) == 1 else max(min(LEAST_CONNECT_S, answer_s), answer_s / len(places))
            )
            if self._keep_s:
                properties = _keeping(PacketTypes.CONNECT, self._keep_s)
                # What is under way when a connection ends comes again: without a bound Mosquitto sends all that waits.
                properties.ReceiveMaximum = IN_FLIGHT
                self._client.connect(host, port, keep_alive_s, clean_start=False, properties=properties)
            elif self._most_bytes:
                self._client.connect(host, port, keep_alive_s, properties=_bounded(self._most_bytes))
            else:
                self._client.connect(host, port, keepalive=keep_alive_s)
        except (OSError, UnicodeError) as error:
            raise connect_failure(error) from error

    def turn(self, timeout_s: float) -> None:
        """Wait for the network or a wake-up at most ``timeout_s``, and do what is to be done.

        Raises
        ------
        SessionFailure : the connection is lost
        """
        sock = self._client.socket()
        if sock is None:
            raise self._failure()
        # TLS reads whole records: what is decrypted and unread does not show as readable.
        ready = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        writers = [sock] if self._client.want_write() else []
        # A broker may have shortened the keep-alive below our beat.
        beat_s = self._client.keepalive / 4 if self._client.keepalive else timeout_s
        try:
            readable, writable = wait_for([sock, self._wake.reader], writers, 0 if ready else min(timeout_s, beat_s))
        except (OSError, ValueError) as error:
            raise SessionFailure("lost", f"the socket failed: {error}") from error
        if self._wake.reader in readable:
            self._wake.clear()
        if ready or sock in readable:
            self._client.loop_read()
        if writable:
            self._client.loop_write()
        self._client.loop_misc()
        if self._ending is not None:
            raise self._failure()

    def publish(self, topic: str, payload: bytes | str, *, qos: int, retain: bool, expires_s: int | None = None) -> int:
        """Send one message; its number on this connection, told by `take_acks` when the broker or network has it.

        ``expires_s``: seconds after which a broker of MQTT 5 is to forget it; one of 3.1.1 knows no such thing.

        Raises
        ------
        SessionFailure : the connection is lost, and the message was not sent
        """
        qos = min(qos, self.abilities.qos)
        properties = None
        if expires_s is not None and self._client.protocol == MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = expires_s
        retain = retain and self.abilities.retain
        info = self._client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._failure()
        return info.mid

    def subscribe(self, *topics: str) -> None:
        """Ask for topics with QoS 1, in one packet; `subscribed` tells when the broker has answered."""
        self.subscribed = self.barred = False
        if self._client.protocol == paho.MQTTv5:
            # The broker says of each message whether it keeps it, not only of those that it had kept before.
            options = SubscribeOptions(qos=1, retainAsPublished=True)
            self._client.subscribe([(topic, options) for topic in topics])
        else:
            self._client.subscribe([(topic, 1) for topic in topics])

    @property
    def answers(self) -> bool:
        """Whether a refusal of a message with QoS 1 is told in words, as in MQTT 5."""
        return bool(self._client.protocol == paho.MQTTv5)

    @property
    def congested(self) -> bool:
        """Whether bytes wait for the network; more would only grow a buffer."""
        return self._client.want_write()

    @property
    def certificate_end(self) -> datetime | None:
        """End of the broker's certificate; None without one."""
        return peer_end(self._client.socket())

    def take_acks(self) -> list[tuple[int, int]]:
        """Give numbers and reasons acknowledged since the last call; a reason of 128 or more is a refusal.

        A message with QoS 0 is in it, with 0, when its last byte has been handed to the network.
        """
        acks, self._acks = self._acks, []
        return acks

    def close(self) -> None:
        """Say farewell, so that the broker forgets our last will, and let go; right for a lost one too."""
        if self._client.socket() is not None:
            self._client.disconnect(properties=_keeping(PacketTypes.DISCONNECT, 0) if self._keep_s else None)
        # The callbacks tie client and session into a ring; untied, both go at once.
        client = self._client
        client.on_connect = client.on_disconnect = client.on_publish = None
        client.on_log = client.on_message = client.on_subscribe = None

    def drop(self) -> None:
        """Close without a farewell: the broker publishes our last will."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _on_connect(
        self,
        _client: paho.Client,
        _data: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._answer = (reason, properties)
        self.resumed = flags.session_present

    def _on_disconnect(
        self,
        _client: paho.Client,
        _data: object,
        flags: paho.DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        # After the broker's own word paho may report the close once more, with less to say.
        if self._ending is None:
            self._ending = (reason, properties, flags.is_disconnect_packet_from_server)

    def _on_publish(
        self,
        _client: paho.Client,
        _data: object,
        number: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._acks.append((number, reason.value))

    def _on_subscribe(
        self, _client: paho.Client, _data: object, _number: int, reasons: Sequence[ReasonCode], *_: object
    ) -> None:
        self.subscribed, self.barred = True, any(reason.is_failure for reason in reasons)

    def _on_log(self, _client: paho.Client, _data: object, _level: int, text: str) -> None:
        # Only here paho tells why reading failed; with TLS 1.3 a refused client certificate shows here.
        if "[SSL: " in text and "ALERT" in text:
            self._tls_alert = text.partition("] ")[2].partition(" (_ssl")[0] or text

    def _read_limits(self, properties: Properties | None) -> None:
        self.in_flight = max(1, min(IN_FLIGHT, getattr(properties, "ReceiveMaximum", IN_FLIGHT)))
        self.largest = getattr(properties, "MaximumPacketSize", None)
        self.abilities = Abilities(
            retain=self.abilities.retain and bool(getattr(properties, "RetainAvailable", 1)),
            qos=0 if getattr(properties, "MaximumQoS", 1) == 0 else self.abilities.qos,
            will=self.abilities.will,
        )

    def _failure(self) -> SessionFailure:
        if self._tls_alert:
            text = f"it refuses our certificate: {self._tls_alert}"
            return SessionFailure("refused", text, hint=CHECK_CREDENTIALS)
        if self._answer is None:
            if self._ending is not None and self._ending[2]:
                # MQTT 5 lets a broker answer CONNECT with DISCONNECT.
                return disconnect_failure(self._ending[0], self._ending[1], from_server=True)
            plain = not self._encrypted
            hint = PERHAPS_TLS if plain else ""
            text = "it closes the connection without an answer"
            return SessionFailure("closed_early", text, hint=hint, tls_in_doubt=plain)
        refusal = connack_failure(*self._answer)
        if refusal is not None:
            return refusal
        if self._ending is None:
            return SessionFailure("lost", "the connection is closed", blames=True)
        reason, properties, from_server = self._ending
        return disconnect_failure(reason, properties, from_server=from_server)


def _arrival(message: paho.MQTTMessage) -> Arrival:
    user = getattr(message.properties, "UserProperty", ())
    return Arrival(
        topic=message.topic,
        payload=bytes(message.payload),
        retained=message.retain,
        redelivered=message.dup,
        user=tuple(user),
    )


def _bounded(most_bytes: int) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = most_bytes
    return properties


def _keeping(packet: int, keep_s: int) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = keep_s
    return properties
