"""One session's deliveries: what is sent next, what is under way, and what a break may have been caused by."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from edgeface.publish.entries import Entry
from edgeface.publish.outbox import Outbox
from edgeface.publish.reasons import SessionFailure, Verdict, puback_verdict
from edgeface.publish.refusals import Message, Refusals
from edgeface.publish.session import Session
from edgeface.publish.timing import Timing
from edgeface.publish.topics import Topics

OVERHEAD = 16
"""Most bytes of a PUBLISH packet besides topic and payload: header, lengths, number, no properties."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message under way; ``acks`` counts the acknowledgements on this connection before it."""

    message: Message
    at_s: float
    acks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A message that the broker refused in its acknowledgement."""

    topic: str
    verdict: Verdict
    at_s: float


class Delivery:
    """Sends messages over one session and settles each.

    Parameters
    ----------
    base : ``<prefix>/<node>``, before the outbox's suffixes
    births : messages that begin each session: `online`, and what is retained
    """

    def __init__(
        self,
        session: Session,
        outbox: Outbox,
        topics: Topics,
        refusals: Refusals,
        *,
        base: str,
        births: Iterable[Message],
        timing: Timing,
        clock: Callable[[], float],
    ) -> None:
        self._session = session
        self._outbox = outbox
        self._topics = topics
        self._base = base
        self._births = deque(births)
        self._timing = timing
        self._clock = clock
        self._refusals = refusals
        self._since_s = clock()
        self._sent: dict[int, Sent] = {}
        self._written: dict[str, tuple[Message, float]] = {}
        self._suspect: Message | None = None
        self._refusal: Refusal | None = None
        self._alone: str | None = None
        self._alone_until_s = self._since_s
        self._acks = 0

    def under_way(self) -> bool:
        """Whether something is sent and not yet settled."""
        return bool(self._sent)

    def also(self, messages: Iterable[Message]) -> None:
        """Send these too, before what waits in the outbox; each takes the place of an older one on its topic."""
        for message in messages:
            self._births = deque(birth for birth in self._births if birth.topic != message.topic)
            self._births.append(message)

    def forgo(self) -> None:
        """Send no more of what can be done without."""
        self._births = deque(birth for birth in self._births if not birth.extra)

    def announced(self) -> bool:
        """Whether nothing is under way, and all is sent that can be done without."""
        return not self._sent and not any(birth.extra for birth in self._births)

    def pump(self) -> None:
        """Send what may be sent now: the first of a topic alone, suspects last and alone.

        A broker that closes the connection at a refusal resets it where more of ours is under way, and the word
        of refusal is lost with it.
        """
        while not self._session.congested:
            message = self._next(suspects=False)
            if message is None and self._may_risk():
                message = self._suspect = self._next(suspects=True)
            if message is None:
                return
            if message is self._suspect or (message.qos and not self._topics[message.topic].taken):
                self._alone, self._alone_until_s = message.topic, self._clock() + self._timing.proof_s
            if self._session.largest is not None and _size(message) > self._session.largest:
                self._refusals.too_large(message, self._session.largest)
            else:
                self.send(message)

    def send(self, message: Message) -> None:
        """Send one message.

        Raises
        ------
        SessionFailure : the connection is lost, and the message waits again
        """
        qos = min(message.qos, self._session.abilities.qos)
        try:
            number = self._session.publish(
                message.topic, message.payload, qos=qos, retain=message.retain, expires_s=message.expires_s
            )
        except SessionFailure:
            if message.entry is not None:
                self._outbox.give_back([message.entry], unsure=False)
            raise
        self._sent[number] = Sent(message=replace(message, qos=qos), at_s=self._clock(), acks=self._acks)

    def settle(self) -> None:
        """Take in what the broker has acknowledged."""
        for number, reason in self._session.take_acks():
            sent = self._sent.pop(number, None)
            if sent is None:
                continue
            if not sent.message.qos:
                self._written[sent.message.topic] = (replace(sent.message, entry=None), self._clock())
                if sent.message.entry is not None:
                    self._outbox.done(sent.message.entry)
                continue
            self._no_longer_alone(sent.message.topic)
            if puback_verdict(reason) == "taken":
                self._acks += 1
                self._refusals.taken(sent.message, self._clock(), in_turn=not self._passed_over(sent))
            else:
                verdict = self._refusals.refused(sent.message, reason, self._clock())
                self._refusal = Refusal(topic=sent.message.topic, verdict=verdict, at_s=self._clock())

    def refusal(self) -> Refusal | None:
        """Give the latest refusal where it is so fresh that the connection may have broken on it."""
        known = self._refusal
        return None if known is None or self._clock() - known.at_s >= self._timing.proof_s else known

    def held(self) -> list[Message]:
        """Give what was written with QoS 0 and has not broken the connection since: it counts as taken."""
        until_s = self._clock() - self._timing.proof_s
        held = [message for message, at_s in self._written.values() if at_s <= until_s]
        for message in held:
            del self._written[message.topic]
            self._topics.taken(message.topic, None)
            self._no_longer_alone(message.topic)
        return held

    def overdue(self) -> None:
        """Give the connection up when the oldest message under way is not acknowledged in time.

        Raises
        ------
        SessionFailure : it is not
        """
        oldest = next(iter(self._sent.values()), None)
        if oldest is None or self._clock() - oldest.at_s < self._timing.ack_s:
            return
        what = "takes no more bytes"
        if oldest.message.qos:
            what = "acknowledges nothing"
            if self._acks > oldest.acks:
                what = f"does not acknowledge a message on {oldest.message.topic}"
                self._strike(oldest.message)
        raise SessionFailure("lost", f"it {what} within {self._timing.ack_s:g} s")

    def blame(self) -> bool:
        """Find the message on which the connection has broken; whether there is just one.

        Of a message with QoS 0, and in MQTT 3.1.1 of any, the broker cannot say that it refuses it; some close
        the connection without a word.
        """
        self.held()
        if self._suspect is not None:
            self._strike(self._suspect)
            return True
        fresh = {sent.message.topic: sent.message for sent in self._sent.values()}
        fresh |= {topic: message for topic, (message, _) in self._written.items()}
        if len(fresh) == 1 and self._proved():
            self._strike(next(iter(fresh.values())))
            return True
        self._topics.accuse(fresh)
        return False

    def give_back(self) -> None:
        """Let everything that is under way wait again, in order; the broker may have it.

        What is promised at most once, and was sent so that it is acknowledged, does not come again.
        """
        again = []
        for sent in self._sent.values():
            entry = sent.message.entry
            if entry is not None and sent.message.qos > entry.qos:
                self._outbox.done(entry)
            elif entry is not None:
                again.append(entry)
        self._sent.clear()
        self._outbox.give_back(again, unsure=True)

    def next_s(self) -> float:
        """Seconds until something is due that neither network nor outbox tells of."""
        due_s = self._topics.next_s(self._clock())
        waits = self._written or self._sent or self._alone is not None or not self._proved()
        return min(due_s, self._timing.proof_s) if waits else due_s

    def _next(self, *, suspects: bool) -> Message | None:
        """Take the next message that may be sent; what refused topics have waiting is set aside on the way."""
        now_s = self._clock()
        while rested := self._outbox.take(lambda entry: self._topics.rests(self._topic(entry), now_s)):
            self._outbox.reject(rested)
        if self._alone is not None and now_s < self._alone_until_s:
            return None
        for birth in self._births:
            if self._may(birth.topic, birth.qos, now_s, suspects=suspects):
                self._births.remove(birth)
                return self._asking(birth)
        entry = self._outbox.take(lambda head: self._may(self._topic(head), head.qos, now_s, suspects=suspects))
        return None if entry is None else self._asking(as_message(self._base, entry))

    def _asking(self, message: Message) -> Message:
        """Let the broker say whether it takes a message of QoS 0 where a connection may have broken on its topic.

        What MQTT 5 refuses of QoS 1 it refuses in words; of QoS 0 brokers such as Mosquitto close without one.
        """
        return replace(message, qos=self._qos(message.topic, message.qos))

    def _qos(self, topic: str, qos: int) -> int:
        asks = self._topics.suspect(topic) and self._session.answers
        return max(qos, self._session.abilities.qos) if asks else qos

    def _may(self, topic: str, qos: int, now_s: float, *, suspects: bool) -> bool:
        qos = self._qos(topic, qos)
        if self._topics.rests(topic, now_s) or self._topics.waits(topic, now_s):
            return False
        if self._topics.suspect(topic) and not suspects:
            return False
        known = self._topics[topic]
        if known.waiting_since_s is not None and self._flies(topic):
            return False
        if qos and not known.taken and self._busy(now_s):
            return False
        return not qos or sum(sent.message.qos for sent in self._sent.values()) < self._session.in_flight

    def _no_longer_alone(self, topic: str) -> None:
        if self._alone == topic:
            self._alone = self._suspect = None

    def _may_risk(self) -> bool:
        """Whether a suspect may go: the connection works, and nothing else is under way that may break it."""
        innocent = all(self._topics[topic].taken for topic in self._written)
        return innocent and self._proved() and not self._busy(self._clock())

    def _busy(self, now_s: float) -> bool:
        """Whether something was sent a moment ago and may yet break the connection; what it does later is no break."""
        return any(now_s - sent.at_s < self._timing.proof_s for sent in self._sent.values())

    def _flies(self, topic: str) -> bool:
        return any(sent.message.topic == topic for sent in self._sent.values())

    def _passed_over(self, sent: Sent) -> bool:
        """Whether an older message of the topic is still not acknowledged, and may be what is wrong with it."""
        return any(
            other.message.topic == sent.message.topic and other.at_s <= sent.at_s for other in self._sent.values()
        )

    def _proved(self) -> bool:
        """Whether the connection has shown that it works: a break that follows has a reason of its own."""
        return self._acks > 0 or self._clock() - self._since_s >= self._timing.proof_s

    def _strike(self, message: Message) -> None:
        if self._refusals.struck(message, self._clock()):
            # It is settled, and must not be given back.
            self._sent = {n: sent for n, sent in self._sent.items() if sent.message.entry is not message.entry}

    def _topic(self, entry: Entry) -> str:
        return f"{self._base}/{entry.suffix}"


def as_message(base: str, entry: Entry, *, ours: bool = False) -> Message:
    """Say where an entry of the outbox goes; ``ours``: it is a copy, and the outbox counts it no more."""
    return Message(
        topic=f"{base}/{entry.suffix}",
        payload=entry.payload,
        qos=entry.qos,
        retain=entry.retain,
        entry=None if ours else entry,
        expires_s=entry.expires_s,
    )


def _size(message: Message) -> int:
    return len(message.payload) + len(message.topic.encode()) + OVERHEAD
