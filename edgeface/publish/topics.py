"""What the publisher knows of each topic: whether it is refused, suspect, or has to wait a moment.

A broker may refuse in words (a reason in PUBACK) or without: it closes the connection, in MQTT 3.1.1 always, or never
acknowledges. A topic on which a connection may have broken is *suspect*: its messages travel last, and alone, so
that no other is held up and the next break is proof. After three the message is set aside, or the topic rests.
Pure: time is handed in, in seconds of a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from edgeface.publish.timing import Timing

STRIKES = 3
"""Breaks or refusals in a row before a message is set aside."""


@dataclass(slots=True)
class Topic:
    """What is known of one topic.

    Attributes
    ----------
    strikes : connections in a row that broke on it alone, or that had to be given up because of it
    taken : whether the broker has ever taken a message on it
    struck_out : whether the latest message was set aside for its strikes
    rests_until_s : nothing is sent before, what comes is set aside; None: it was never refused
    rests, rest_s : how often in a row it was refused, and how long it rests for that
    waits_until_s, pause_s : nothing is sent before, what comes waits; and how long this pause is
    waiting_since_s : of the first refusal for the moment; one message at a time asks whether it is over
    refusals : sequence numbers that the broker could not take now, and how often
    taken_since : whether another message was taken since the latest of these refusals
    """

    suspect: bool = False
    strikes: int = 0
    taken: bool = False
    struck_out: bool = False
    rests_until_s: float | None = None
    rests: int = 0
    rest_s: float = 0.0
    waits_until_s: float = float("-inf")
    waiting_since_s: float | None = None
    pause_s: float = 0.0
    refusals: dict[int, int] = field(default_factory=dict)
    taken_since: bool = False


class Topics:
    """Books on all topics of a publisher."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._topics: dict[str, Topic] = {}

    def __getitem__(self, topic: str) -> Topic:
        """Everything about one topic."""
        return self._topics.setdefault(topic, Topic())

    def rests(self, topic: str, now_s: float) -> bool:
        """Whether the topic is refused, and it is not yet time to ask again."""
        until_s = self[topic].rests_until_s
        return until_s is not None and now_s < until_s

    def waits(self, topic: str, now_s: float) -> bool:
        """Whether the broker could not take its messages a moment ago."""
        return now_s < self[topic].waits_until_s

    def suspect(self, topic: str) -> bool:
        """Whether its next message travels alone: a connection may break on it."""
        return self[topic].suspect or self[topic].rests_until_s is not None

    def next_s(self, now_s: float) -> float:
        """Seconds until the first topic that waits may be tried again; infinite when none waits."""
        waits = (topic.waits_until_s - now_s for topic in self._topics.values())
        return min((wait_s for wait_s in waits if wait_s > 0), default=float("inf"))

    def accuse(self, topics: Iterable[str]) -> None:
        """Note that a connection broke while these were under way."""
        for topic in topics:
            self[topic].suspect = True

    def strike(self, topic: str) -> Literal["again", "message", "topic"]:
        """Note that the connection broke on this topic: what is to be set aside, if anything yet."""
        known = self[topic]
        known.suspect = True
        known.strikes += 1
        if known.strikes < STRIKES:
            return "again"
        if known.taken and not known.struck_out:
            known.strikes, known.struck_out = 0, True
            return "message"
        # One more break after the rest is enough.
        known.strikes = STRIKES - 1
        return "topic"

    def rest(self, topic: str, now_s: float) -> float | None:
        """Let a refused topic rest, twice as long as before where it was asked again: seconds; None: it rests already.

        Brokers that close the connection at each refusal do so each time.
        """
        known = self[topic]
        begins = not self.rests(topic, now_s)
        if begins:
            known.rest_s = self._timing.rest_s(known.rests)
            known.rests += 1
        known.rests_until_s = now_s + known.rest_s
        return known.rest_s if begins else None

    def cannot_now(self, topic: str, seq: int | None, now_s: float) -> Literal["again", "behind", "message"]:
        """Note that the broker could not take a message now: where it waits, or that it alone is to blame.

        Only a broker that takes others on the topic in between means this one message; ``seq`` is None where it
        can mean none.
        """
        known = self[topic]
        if known.waiting_since_s is None:
            known.waiting_since_s = now_s
        if not self.waits(topic, now_s):
            known.pause_s = min(self._timing.most_s, max(self._timing.first_s, 2 * known.pause_s))
            known.waits_until_s = now_s + known.pause_s
        if seq is None:
            return "again"
        known.refusals[seq] = known.refusals.get(seq, 0) + 1
        if known.refusals[seq] < STRIKES:
            known.taken_since = False
            return "again"
        if not known.taken_since:
            return "behind"
        del known.refusals[seq]
        known.taken_since = False
        return "message"

    def taken(self, topic: str, seq: int | None) -> tuple[bool, float | None]:
        """Note an acknowledgement: whether the topic was refused until now, and since when it had waited."""
        known = self[topic]
        refused, since_s = known.rests_until_s is not None, known.waiting_since_s
        refusals = {other: count for other, count in known.refusals.items() if other != seq}
        self._topics[topic] = Topic(taken=True, refusals=refusals, taken_since=True)
        return refused, since_s
