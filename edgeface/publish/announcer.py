"""Announces node and cameras to Home Assistant over the connection of the publisher, and takes back what has gone.

What is announced is sent at each connection and some seconds after Home Assistant says that it is there. It is an
extra: a broker that refuses it, by a word or by closing the connection, costs one line, and it is off until a reload.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from edgeface.publish.discovery import Announcement, config_topic
from edgeface.publish.refusals import Message

logger = logging.getLogger(__name__)

GRACE_S = (2.0, 6.0)
"""Who answers Home Assistant's ``online`` at once is not heard; who answers with all others at once is a flood."""
EAR_STRIKES = 2
"""Connections in a row that broke on our asking for topics before we do without."""
ONLINE = b"online"
CAMERA_TOPICS = ("state", "summary")
"""What a camera leaves at the broker."""


class Announcer:
    """What is announced, what was heard, what is due; `change` may be called from another thread.

    ``uniform`` is chance.
    """

    def __init__(
        self, announcement: Announcement | None, *, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._wake: Callable[[], object] = lambda: None
        self._uniform = uniform
        self._lock = threading.Lock()
        self._announcement = announcement
        self._off = self._deaf = self._asking = False
        self._strikes = 0
        self._due: dict[str, Message] = {}
        self._answer_s: float | None = None
        self._born = False

    def on_due(self, wake: Callable[[], object]) -> None:
        """Call ``wake`` when something is to be sent."""
        self._wake = wake

    def change(self, announcement: Announcement | None, *, keep: bool = False) -> None:
        """Announce this from now on, and take back what is not in it; ``keep``: nothing, discovery is turned off."""
        with self._lock:
            before, self._announcement = self._announcement, announcement
            self._off = self._deaf = False
            self._strikes = 0
            told = _messages(announcement)
            gone = () if before is None or keep else [topic for topic in before.messages if topic not in told]
            self._due |= {topic: _extra(topic, b"") for topic in gone}
            if before is None or announcement is None or before.messages != announcement.messages:
                self._due |= told
        self._wake()

    def begin(self) -> list[Message]:
        """What is to be sent at a new connection."""
        with self._lock:
            self._asking = False
            self._answer_s = None
            if self._off:
                return []
            due, self._due = self._due, {}
            return list((due | _messages(self._announcement)).values())

    def ask(self) -> tuple[str, ...]:
        """Topics to be subscribed to now, once a connection; empty for none."""
        with self._lock:
            told = self._announcement
            if self._off or self._deaf or told is None:
                return ()
            self._asking = True
            return (told.birth_topic, *([told.config_topics] if told.whole else []))

    def answered(self, *, barred: bool = False) -> None:  # noqa: ARG002  what it may not hear it does without
        """Note that the broker has answered what was asked for."""
        self._asking = False
        self._strikes = 0

    def broke(self) -> bool:
        """Note that the connection broke; whether that was in the midst of asking."""
        asking, self._asking = self._asking, False
        self._strikes += asking
        if asking and self._strikes >= EAR_STRIKES and not self._deaf:
            self._deaf = True
            logger.warning(
                "the broker closes the connection when asked for Home Assistant's topics; cameras are announced at "
                "each connection only, until the next reload or start"
            )
        return asking

    def heard(self, topic: str, payload: bytes) -> None:
        """Take in what arrives."""
        with self._lock:
            told = self._announcement
            if told is None or self._off:
                return
            if topic == told.birth_topic:
                self._born = self._born or payload.strip() == ONLINE
                return
            camera = told.camera_of(topic)
            if camera is None or topic in told.messages or not payload or not told.whole:
                return
            self._due[topic] = _extra(topic, b"")
            if camera not in told.cameras:
                kept = (f"{told.base}/{camera}/{kind}" for kind in CAMERA_TOPICS)
                self._due |= {one: _empty(one) for one in kept}
            logger.info("camera %s was announced to Home Assistant earlier and is taken back", camera)

    def due(self, now_s: float) -> tuple[list[Message], bool]:
        """What is to be sent now, and whether what is retained is to follow; ``now_s`` is monotonic."""
        with self._lock:
            if self._born:
                self._born, self._answer_s = False, now_s + self._uniform(*GRACE_S)
            due, self._due = self._due, {}
            again = self._answer_s is not None and now_s >= self._answer_s
            if again:
                self._answer_s = None
                due |= _messages(self._announcement)
            return list(due.values()), again

    def next_s(self, now_s: float) -> float:
        """Seconds until something is due; infinite for nothing."""
        return float("inf") if self._answer_s is None else max(0.0, self._answer_s - now_s)

    def refused(self, topic: str, why: str) -> None:
        """Note that the broker does not take a message: nothing more is announced."""
        with self._lock:
            if self._off:
                return
            self._off = True
            self._due.clear()
            told = self._announcement
        where = config_topic("homeassistant" if told is None else told.prefix, "+")
        logger.warning(
            "Home Assistant is told nothing until the next reload or start: the broker refuses %s (%s); let this node "
            'write %s, or set home_assistant.discovery = "off"',
            topic,
            why,
            where,
        )

    @property
    def off(self) -> bool:
        """Whether the broker has refused what was announced."""
        return self._off


def _messages(announcement: Announcement | None) -> dict[str, Message]:
    messages = {} if announcement is None else announcement.messages
    return {topic: _extra(topic, payload) for topic, payload in messages.items()}


def _extra(topic: str, payload: bytes) -> Message:
    return Message(topic=topic, payload=payload, qos=1, retain=True, extra=True)


def _empty(topic: str) -> Message:
    return Message(topic=topic, payload=b"", qos=1, retain=True)
