"""What becomes of messages that the broker does not take: set aside, or kept until it can; each said once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from edgeface.publish.entries import Entry
from edgeface.publish.outbox import Outbox
from edgeface.publish.reasons import QUOTA, Verdict, puback_verdict
from edgeface.publish.topics import Topics

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is sent: of the outbox, or of our own (``entry`` is None).

    ``extra`` is what the program can do without: where the broker refuses it, it is not tried again.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    entry: Entry | None = None
    expires_s: int | None = None
    extra: bool = False


class Refusals:
    """Settles each message with the outbox and with what is known of its topic; ``now_s`` is monotonic.

    ``forgo`` hears of a message refused that can be done without: its topic, and why.
    """

    def __init__(
        self,
        outbox: Outbox,
        topics: Topics,
        *,
        forgo: Callable[[str, str], None] = lambda _topic, _why: None,
    ) -> None:
        self._forgo = forgo
        self._outbox = outbox
        self._topics = topics
        self._logged: set[tuple[str, str]] = set()

    def taken(self, message: Message, now_s: float, *, in_turn: bool) -> None:
        """Count an acknowledged message as delivered; what its topic has cost before may follow.

        ``in_turn``: no older message of the topic is passed over; only then the topic is above suspicion.
        """
        entry = message.entry
        refused, since_s = False, None
        if in_turn:
            refused, since_s = self._topics.taken(message.topic, None if entry is None else entry.seq)
        if since_s is not None:
            logger.info("the broker takes messages on %s again after %.0f s", message.topic, now_s - since_s)
        if entry is not None:
            self._outbox.done(entry)
            if refused:
                self._outbox.release(entry.suffix)

    def refused(self, message: Message, reason: int, now_s: float) -> Verdict:
        """Settle a message that was acknowledged with a refusal; what the refusal means."""
        verdict = puback_verdict(reason)
        if message.extra:
            self._forgo(message.topic, f"reason {reason}")
        elif verdict == "wait":
            self._cannot_now(message, reason, now_s)
        elif verdict == "topic" or message.entry is None:
            self._rest(message.topic, f"reason {reason}", now_s)
            if message.entry is not None:
                self._outbox.reject(message.entry)
        else:
            self._set_aside(message.entry, message.topic, f"refuses a message on {message.topic}: reason {reason}")
        return verdict

    def struck(self, message: Message, now_s: float) -> bool:
        """Judge a message on which the connection broke, or that is not acknowledged; whether it is set aside."""
        verdict = self._topics.strike(message.topic)
        if verdict == "message" and message.entry is not None:
            why = f"neither takes nor refuses a message on {message.topic}, and the connection is lost"
            self._set_aside(message.entry, message.topic, why)
            return True
        why = "it closes the connection after each message"
        if verdict != "again" and message.extra:
            self._forgo(message.topic, why)
        elif verdict != "again":
            self._rest(message.topic, why, now_s)
        return False

    def too_large(self, message: Message, largest: int) -> None:
        """Settle a message that is larger than the broker said it takes."""
        if message.extra:
            self._forgo(message.topic, f"it takes {largest} bytes")
        if message.entry is not None:
            self._set_aside(
                message.entry, message.topic, f"takes {largest} bytes, a message on {message.topic} is larger"
            )

    def _cannot_now(self, message: Message, reason: int, now_s: float) -> None:
        entry = message.entry
        first = self._topics[message.topic].waiting_since_s is None
        # A quota is never the fault of one message.
        seq = None if entry is None or reason == QUOTA else entry.seq
        verdict = self._topics.cannot_now(message.topic, seq, now_s)
        if first:
            logger.warning(
                "the broker cannot take messages on %s now: reason %d; they wait and are tried again",
                message.topic,
                reason,
            )
        if entry is None:
            return
        if verdict == "message":
            self._set_aside(entry, message.topic, f"refuses a message on {message.topic}: reason {reason}")
        elif verdict == "behind":
            self._outbox.give_way(entry)
        else:
            self._outbox.give_back([entry], unsure=False)

    def _rest(self, topic: str, why: str, now_s: float) -> None:
        rest_s = self._topics.rest(topic, now_s)
        if rest_s is not None:
            logger.warning(
                "the broker refuses topic %s: %s; its messages are set aside, tried again in %.0f s",
                topic,
                why,
                rest_s,
            )

    def _set_aside(self, entry: Entry, topic: str, text: str) -> None:
        """Give one message up; told once for each topic and reason, then only counted."""
        self._outbox.discard(entry)
        if (topic, text) not in self._logged:
            self._logged.add((topic, text))
            logger.warning("the broker %s; it is set aside, as all that follow it so", text)
