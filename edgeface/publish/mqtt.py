"""The publisher: takes messages from the outbox to the broker, and never loses one that was not acknowledged.

Topics are ``<prefix>/<node>/...``. ``availability`` is ``online`` while we are connected; the broker sets it
to ``offline`` by our last will, and a clean stop does so itself. A message leaves the outbox when the broker
has acknowledged it. One that the broker refuses is parked and counted, and when it is the topic that is
refused, the topic rests for five minutes: a broker that closes the connection at each refusal is not visited
in a circle.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping

from edgeface.config import Mqtt
from edgeface.events import Kind, MqttHealth
from edgeface.publish.client import Protocol, Will
from edgeface.publish.keeper import Keeper, State
from edgeface.publish.link import Link, LinkFailure
from edgeface.publish.outbox import Entry, Outbox
from edgeface.publish.retry import Retry

logger = logging.getLogger(__name__)

ONLINE, OFFLINE = "online", "offline"
NOT_AUTHORIZED, BAD_TOPIC = 0x87, 0x90
TURN_S = 1.0
"""Longest wait for the network in one turn; the keep-alive is looked after at this beat."""
LINGER_S = 0.5
"""How long a farewell in MQTT 3.1.1 stays on the line."""
PROVED_S = 1.0
"""A connection that holds this long after the first message of a topic does not break on that topic."""
STRIKES = 3
"""Connections in a row that break on a topic before the topic is taken for refused."""


class Publisher:
    """Publishes an outbox.

    Parameters
    ----------
    settings : section ``[mqtt]``
    node : id in the topics
    outbox : what is to be sent
    password : for ``settings.username``
    retry, rng, clock : for tests

    Raises
    ------
    ConfigError : a certificate or key file that cannot be read
    """

    def __init__(
        self,
        settings: Mqtt,
        *,
        node: str,
        outbox: Outbox,
        password: str | None,
        retry: Retry | None = None,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = f"{settings.prefix.rstrip('/')}/{node}"
        self._availability = f"{self._base}/availability"
        self._outbox = outbox
        self._retry = retry or Retry()
        self._clock = clock
        self._sent: dict[int, tuple[str, Entry | None]] = {}
        self._proved: set[str] = set()
        self._next: Entry | None = None
        self._refused_until_s: dict[str, float] = {}
        self._first_s: dict[str, float] = {}
        self._strikes: dict[str, int] = {}
        self._keeper = Keeper(
            settings,
            client_id=settings.client_id or f"edgeface-{node}",
            password=password,
            serve=self._serve,
            will=Will(topic=self._availability, payload=OFFLINE),
            pending=lambda: not outbox.idle,
            retry=self._retry,
            rng=rng,
            clock=clock,
        )

    @property
    def state(self) -> State:
        """``connected``, ``connecting``, ``refused`` (by the broker), ``offline`` (not running)."""
        return self._keeper.state

    @property
    def protocol(self) -> Protocol:
        """Version of MQTT that is spoken, or tried."""
        return self._keeper.protocol

    @property
    def last_error(self) -> str | None:
        """Why the latest attempt failed, in words; None before any has."""
        return self._keeper.last_error

    @property
    def broker(self) -> str:
        """``host:port``."""
        return self._keeper.broker

    @property
    def reconnects(self) -> int:
        """Connections after the first."""
        return max(0, self._keeper.connections - 1)

    @property
    def queued(self) -> int:
        """Messages that wait or are not yet acknowledged."""
        return self._outbox.counters().queued

    @property
    def parked(self) -> int:
        """Messages that the broker refused."""
        return self._outbox.counters().parked

    @property
    def dropped(self) -> Mapping[Kind, int]:
        """Messages dropped or replaced by newer ones, by kind."""
        return self._outbox.counters().dropped

    def health(self) -> MqttHealth:
        """Describe connection and counters for the health message."""
        counters = self._outbox.counters()
        return MqttHealth(
            state=self.state,
            protocol=self.protocol,
            queued=counters.queued,
            parked=counters.parked,
            dropped=counters.dropped,
        )

    def start(self) -> None:
        """Begin to connect, for ever; never blocks."""
        self._outbox.on_accept(self._keeper.wake.set)
        self._keeper.start()

    def wait_connected(self, timeout_s: float) -> bool:
        """Whether the broker has accepted us in time; False early when it refuses."""
        return self._keeper.wait_connected(timeout_s)

    def stop(self, *, timeout_s: float = 5.0) -> bool:
        """Deliver what waits, set ``offline``, disconnect; whether everything was delivered in time."""
        self._keeper.stop(timeout_s=timeout_s)
        self._outbox.on_accept(None)
        left = self._outbox.counters().queued
        if left:
            logger.warning("stopped with %d messages undelivered to broker %s", left, self.broker)
        return left == 0

    def hand_over(self, *, timeout_s: float) -> None:
        """Stop as `stop` does, but leave what could not be delivered to another publisher of the same outbox."""
        outbox = self._outbox
        self._keeper.stop(timeout_s=timeout_s)
        outbox.on_accept(None)
        if not self._keeper.ended:
            # It waits for a name or a connection; whatever comes of that must not touch the successor's messages.
            self._outbox = Outbox(node=outbox.node, boot=outbox.boot, capacity=1)

    def _serve(self, link: Link) -> None:
        self._proved.clear()
        self._first_s.clear()
        try:
            self._announce(link, ONLINE)
            while not self._finished(link):
                self._pump(link)
                link.turn(self._turn_s())
                self._settle(link)
        except LinkFailure:
            # What was refused may be the very reason why the broker closed.
            self._settle(link)
            self._blame()
            raise
        finally:
            self._sent.clear()
            self._next = None
            self._outbox.give_back()

    def _turn_s(self) -> float:
        stop_by_s = self._keeper.stop_by_s
        return TURN_S if stop_by_s is None else min(TURN_S, max(0.0, stop_by_s - self._clock()))

    def _finished(self, link: Link) -> bool:
        stop_by_s = self._keeper.stop_by_s
        if stop_by_s is None:
            return False
        if self._clock() >= stop_by_s:
            # Without a farewell the broker says `offline` for us.
            link.drop()
            return True
        if self._sent or not self._outbox.idle:
            return False
        self._announce(link, OFFLINE)
        while self._sent and self._clock() < stop_by_s:
            link.turn(self._turn_s())
            self._settle(link)
        if self._keeper.protocol != "5":
            self._linger(link, min(stop_by_s, self._clock() + LINGER_S))
        return True

    def _linger(self, link: Link, until_s: float) -> None:
        """Stay a moment: small brokers (amqtt) acknowledge at once and forget what waits when its sender leaves."""
        while (left_s := until_s - self._clock()) > 0:
            link.turn(left_s)

    def _announce(self, link: Link, word: str) -> None:
        if not self._resting(self._availability):
            number = link.publish(self._availability, word, qos=1, retain=True)
            if number is not None:
                self._sent[number] = (self._availability, None)

    def _pump(self, link: Link) -> None:
        while len(self._sent) < link.in_flight and not link.congested:
            self._next = self._next or self._outbox.take()
            if self._next is None or not self._may_send(self._next):
                return
            entry, self._next = self._next, None
            topic = self._topic(entry)
            if self._resting(topic):
                self._outbox.park(entry)
            elif link.largest is not None and len(entry.payload) + len(topic.encode()) + 16 > link.largest:
                logger.warning("a message on %s is larger than the broker takes, %d bytes", topic, link.largest)
                self._outbox.park(entry)
            else:
                self._send(link, topic, entry)

    def _topic(self, entry: Entry) -> str:
        return f"{self._base}/{entry.suffix}"

    def _may_send(self, entry: Entry) -> bool:
        """Whether it need not wait: the first message of a topic travels alone.

        A broker that closes the connection at a refusal resets it where more of ours is under way, and the
        refusal is lost with it: the same messages would be sent and refused for ever.
        """
        if any(topic not in self._proved for topic, _ in self._sent.values()):
            return False
        return not self._sent or entry.qos == 0 or self._topic(entry) in self._proved

    def _send(self, link: Link, topic: str, entry: Entry) -> None:
        number = link.publish(topic, entry.payload, qos=entry.qos, retain=entry.retain)
        if number is None:
            self._outbox.done(entry)
            self._first_s.setdefault(topic, self._clock())
        else:
            self._sent[number] = (topic, entry)

    def _settle(self, link: Link) -> None:
        """Take in what the broker has acknowledged."""
        for number, reason in link.take_acks():
            topic, entry = self._sent.pop(number, ("", None))
            if reason >= 0x80:
                self._refused(topic, entry, reason)
                continue
            self._proved.add(topic)
            if self._refused_until_s.pop(topic, None) is not None and entry is not None:
                self._outbox.release(entry.suffix)
            if entry is not None:
                self._outbox.done(entry)

    def _refused(self, topic: str, entry: Entry | None, reason: int) -> None:
        if entry is not None:
            self._outbox.park(entry)
        if entry is None or reason in {NOT_AUTHORIZED, BAD_TOPIC}:
            self._rest(topic, f"reason {reason}")
        else:
            logger.warning("the broker refuses a message on %s: reason %d", topic, reason)

    def _blame(self) -> None:
        """Find the unacknowledged topics on which the connection may have broken; let them rest in the end.

        Of a message with QoS 0 the broker cannot say that it refuses it; some close the connection without a
        word.
        """
        proved_s = self._clock() - PROVED_S
        fresh = [topic for topic, first_s in self._first_s.items() if first_s > proved_s]
        self._strikes = {topic: self._strikes.get(topic, 0) + 1 for topic in fresh}
        for topic in fresh:
            if self._strikes[topic] >= STRIKES:
                self._rest(topic, "it closes the connection after each message")

    def _rest(self, topic: str, why: str) -> None:
        if not self._resting(topic):
            logger.warning(
                "the broker refuses topic %s: %s; its messages are set aside, tried again in %.0f s",
                topic,
                why,
                self._retry.refused_s,
            )
        self._refused_until_s[topic] = self._clock() + self._retry.refused_s

    def _resting(self, topic: str) -> bool:
        return self._clock() < self._refused_until_s.get(topic, float("-inf"))
