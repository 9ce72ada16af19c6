"""The publisher: takes messages from the outbox to the broker, and never loses one that was not acknowledged.

Topics are ``<prefix>/<node>/...``. ``availability`` is ``online`` while we are connected; the broker sets it
to ``offline`` by our last will, and a clean stop does so itself; a node of the same id that dies does it too, so
`online` is said again with `health`. A message leaves the outbox when the broker
has acknowledged it; what is promised to be retained is sent again at each connection, for a broker may have
forgotten it. One message, topic or limit of the broker never blocks the others: what it refuses is set aside or
waits (`refusals`, `topics`), and what it does not acknowledge has a deadline (`delivery`).
"""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Protocol

from edgeface.config import Mqtt
from edgeface.events import Certificates, MqttHealth, iso
from edgeface.publish.announcer import Announcer
from edgeface.publish.certificates import file_end
from edgeface.publish.client import Account, Will
from edgeface.publish.commands import CommandQueue
from edgeface.publish.delivery import Delivery, Refusal, as_message
from edgeface.publish.ledger import Ledger
from edgeface.publish.outbox import Outbox
from edgeface.publish.reasons import CHECK_RIGHTS, Cause, SessionFailure
from edgeface.publish.refusals import Message, Refusals
from edgeface.publish.session import Arrival, Session
from edgeface.publish.supervisor import Supervisor
from edgeface.publish.timing import Clock, Timing
from edgeface.publish.topics import Topics

logger = logging.getLogger(__name__)

LARGEST_IN = 4_000_000
"""Bytes of what may come where anybody may send: a stranger's message must not take all memory."""

ONLINE, OFFLINE = b"online", b"offline"


class Publisher:
    """Publishes an outbox; another publisher over the same outbox goes on where this one was stopped.

    Parameters
    ----------
    settings : section ``[mqtt]``
    node : id in the topics
    outbox : what is to be sent
    password : for ``settings.username``
    ledger : where it is written down what could not be delivered; None: nowhere
    announcer : tells Home Assistant of us; None: nobody does
    commands : whether they are listened to
    timing, clock : waits and clocks

    Raises
    ------
    ConfigError : a certificate or key file that cannot be read

    Attributes
    ----------
    connection : state, broker, version and errors
    commands : those that have arrived; None: nobody listens
    """

    def __init__(
        self,
        settings: Mqtt,
        *,
        node: str,
        outbox: Outbox,
        password: str | None,
        ledger: Ledger | None = None,
        announcer: Announcer | None = None,
        commands: bool = False,
        timing: Timing | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._base = f"{settings.prefix.rstrip('/')}/{node}"
        self._availability = f"{self._base}/availability"
        self._own_certificate = settings.cert_file
        self._outbox = outbox
        self._ledger = ledger
        self._announcer = announcer or Announcer(None)
        self.commands = CommandQueue(self._base) if commands else None
        self._askers: list[_Asker] = [*([self.commands] if self.commands else ()), self._announcer]
        self._timing = timing or Timing()
        self._clock = (clock or Clock()).monotonic
        self._topics = Topics(self._timing)
        self._refusals = Refusals(outbox, self._topics, forgo=self._announcer.refused)
        self._leave = False
        self._online_s = float("-inf")
        account = Account(
            client_id=settings.client_id or f"edgeface-{node}",
            password=password,
            will=Will(topic=self._availability, payload=OFFLINE.decode()),
            most_bytes=LARGEST_IN if commands else None,
        )
        self.connection = Supervisor(settings, account, self, timing=timing, clock=clock)

    def health(self) -> MqttHealth:
        """Describe connection and counters for the health message."""
        counters = self._outbox.counters(replaced_by="health")
        return MqttHealth(
            state=self.connection.state,
            protocol=self.connection.protocol,
            queued=counters.queued,
            parked=counters.rejected,
            dropped=counters.dropped,
            undelivered=[] if self._ledger is None else list(self._ledger.earlier),
            certificates=self._certificates(),
        )

    def start(self) -> None:
        """Begin to connect, for ever; never blocks."""
        if self._ledger is not None:
            self._ledger.open()
        self._outbox.on_accept(self.connection.wake.set)
        self._announcer.on_due(self.connection.wake.set)
        self.connection.start()

    def stop(self, *, timeout_s: float = 5.0) -> bool:
        """Deliver what waits, set ``offline``, disconnect; whether everything was delivered in time."""
        self.connection.stop(timeout_s=timeout_s)
        self._outbox.on_accept(None)
        left = self._outbox.counters().queued
        kept = self._outbox.kept()
        if kept:
            logger.warning("%d messages on visits wait in the spool for the next start", kept)
        elif left:
            logger.warning("stopped with %d messages undelivered to broker %s", left, self.connection.broker)
        if self._ledger is not None:
            self._ledger.close(self._outbox.undelivered())
        return left == 0

    def hand_over(self, *, timeout_s: float = 1.0) -> None:
        """Set ``offline`` and disconnect; what waits stays in the outbox for the next publisher."""
        self._leave = True
        self.connection.stop(timeout_s=timeout_s)
        self._outbox.on_accept(None)

    def pending(self) -> bool:
        """Whether a few more tries are worth it at the end."""
        return not self._leave and not self._outbox.idle

    def heard(self, arrival: Arrival) -> None:
        """Hand on what arrives."""
        if self.commands is None or not self.commands.heard(arrival):
            self._announcer.heard(arrival.topic, arrival.payload)

    def idle(self) -> None:
        """Write down what could not be delivered so far."""
        if self._ledger is not None:
            away = self.connection.state != "connected"
            self._ledger.note(self._outbox.undelivered(), away=away, now_s=self._clock())

    def serve(self, session: Session) -> None:
        """Publish over this connection until all is done after a stop.

        Raises
        ------
        SessionFailure : the connection is lost
        """
        if self._leave:
            # A name or a connection that came too late: the messages are a successor's now.
            session.drop()
            return
        if self._ledger is not None:
            # What is about to be delivered must not be told as lost, should we be killed in the midst of it.
            self._ledger.only_gone(self._outbox.undelivered())
        self._outbox.connected()
        delivery = self._delivery(session)
        ears = [_Ear(session, asker, self._timing) for asker in self._askers]
        try:
            while not self._finished(session, delivery):
                # One asks after the other: who breaks the connection must be known.
                if not self._leave and not any(ear.open(delivery, self._clock()) for ear in ears):
                    self._announce(delivery)
                    delivery.pump()
                now_s = self._clock()
                next_s = min(delivery.next_s(), self._announcer.next_s(now_s), *(ear.next_s(now_s) for ear in ears))
                self._turn(session, delivery, next_s)
        except SessionFailure as failure:
            if failure.blames and any(asker.broke() for asker in self._askers):
                raise SessionFailure("blamed", str(failure), reason=failure.reason) from failure
            delivery.settle()
            refusal = delivery.refusal()
            if failure.blames and refusal is not None:
                raise _denied(failure, refusal) from failure
            if failure.blames and delivery.blame():
                raise SessionFailure("blamed", str(failure), reason=failure.reason) from failure
            raise
        finally:
            delivery.give_back()

    def _certificates(self) -> Certificates | None:
        broker = self.connection.certificate_end
        own = None if self._own_certificate is None else file_end(Path(self._own_certificate))
        return Certificates(broker=_told(broker), own=_told(own)) if broker or own else None

    def _delivery(self, session: Session) -> Delivery:
        self._online_s = self._clock()
        births = [
            self._availability_message(ONLINE),
            *self._retained(),
            *self._announcer.begin(),
        ]
        return Delivery(
            session,
            self._outbox,
            self._topics,
            self._refusals,
            base=self._base,
            births=births,
            timing=self._timing,
            clock=self._clock,
        )

    def _retained(self) -> list[Message]:
        return [as_message(self._base, entry, ours=True) for entry in self._outbox.retained()]

    def _announce(self, delivery: Delivery) -> None:
        """Send what Home Assistant is to be told now, and after it the values that it lacks."""
        due, again = self._announcer.due(self._clock())
        delivery.also([*due, *(self._retained() if again else ())])
        if self._announcer.off:
            delivery.forgo()

    def _turn(self, session: Session, delivery: Delivery, at_most_s: float) -> None:
        self.connection.turn(session, at_most_s=at_most_s)
        delivery.settle()
        for message in delivery.held():
            if message.topic.endswith("/health"):
                self._well(delivery)
        delivery.overdue()
        self.idle()

    def _well(self, delivery: Delivery) -> None:
        """Note that `health` has arrived; with it goes `online` again, should another's will have said `offline`."""
        if self._ledger is not None:
            self._ledger.forget_earlier()
        if self._clock() - self._online_s >= self._timing.online_s:
            self._online_s = self._clock()
            delivery.also([self._availability_message(ONLINE)])

    def _finished(self, session: Session, delivery: Delivery) -> bool:
        stop_by_s = self.connection.stop_by_s
        if stop_by_s is None:
            return False
        if self._clock() >= stop_by_s:
            # Without a farewell the broker says `offline` for us.
            session.drop()
            return True
        if delivery.under_way() or not (self._leave or self._outbox.idle):
            return False
        if not self._topics.rests(self._availability, self._clock()):
            delivery.send(self._availability_message(OFFLINE))
        while delivery.under_way() and self._clock() < stop_by_s:
            self._turn(session, delivery, stop_by_s - self._clock())
        if self.connection.protocol == "3.1.1":
            # amqtt (0.12, the broker of scripts/demo) acknowledges at once, and forgets what it has not passed on
            # when the sender leaves.
            until_s = min(stop_by_s, self._clock() + self._timing.linger_s)
            while (left_s := until_s - self._clock()) > 0:
                self.connection.turn(session, at_most_s=left_s)
        return True

    def _availability_message(self, word: bytes) -> Message:
        return Message(topic=self._availability, payload=word, qos=1, retain=True)


def _denied(failure: SessionFailure, refusal: Refusal) -> SessionFailure:
    """Say that a connection was closed for what was refused, as Mosquitto does after each refusal in MQTT 5."""
    text = f"it closes the connection after it refused a message on {refusal.topic}"
    cause: Cause = "denied" if refusal.verdict == "topic" else failure.cause
    return SessionFailure(cause, text, reason=failure.reason, hint=CHECK_RIGHTS)


def _told(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)


class _Asker(Protocol):
    """Who wants to hear of topics."""

    def ask(self) -> tuple[str, ...]:
        """Topics to be subscribed to now; empty for none."""

    def answered(self, *, barred: bool) -> None:
        """Note the broker's answer, or that none came in time."""

    def broke(self) -> bool:
        """Note that the connection broke; whether that was in the midst of asking."""


class _Ear:
    """Asks for somebody's topics, once a connection, when all is announced and nothing else is under way.

    Some brokers close the connection of who asks for what is not theirs: it must be clear that this was why.
    """

    def __init__(self, session: Session, asker: _Asker, timing: Timing) -> None:
        self._session = session
        self._asker = asker
        self._timing = timing
        self._asked = False
        self._until_s: float | None = None

    def open(self, delivery: Delivery, now_s: float) -> bool:
        """Ask if it is time to; whether nothing is to be sent, for the answer is awaited."""
        if not self._asked and delivery.announced() and (topics := self._asker.ask()):
            self._asked = True
            self._session.subscribe(*topics)
            self._until_s = now_s + self._timing.proof_s
        if self._until_s is not None and (self._session.subscribed or now_s >= self._until_s):
            self._until_s = None
            self._asker.answered(barred=self._session.barred)
        return self._until_s is not None

    def next_s(self, now_s: float) -> float:
        """Seconds until the answer is waited for no longer."""
        return float("inf") if self._until_s is None else max(0.0, self._until_s - now_s)
