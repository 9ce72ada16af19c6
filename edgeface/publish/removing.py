"""Takes a node and its cameras back from Home Assistant, from anywhere: what it announced is found at the broker."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection

from edgeface.config import Mqtt
from edgeface.publish.client import Account
from edgeface.publish.discovery import config_topic, node_topic
from edgeface.publish.session import Arrival, Session
from edgeface.publish.supervisor import Supervisor

QUIET_S = 1.0
"""Retained messages come right after the answer to a subscription; after so much silence there are no more."""


class Remover:
    """Looks for the announcements of a node, and empties them.

    Parameters
    ----------
    prefix : Home Assistant's
    node : whose announcements
    known : topics to be emptied in any case: a broker may not let us read

    Raises
    ------
    ConfigError : a certificate or key file that cannot be read

    Attributes
    ----------
    connection : state, broker and errors
    found : topics that the broker kept, as far as it lets us read
    removed, refused : topics that were emptied, and those that the broker did not let us empty
    done : whether all was tried
    """

    def __init__(
        self, settings: Mqtt, *, password: str | None, prefix: str, node: str, known: Collection[str] = ()
    ) -> None:
        self._prefix = prefix
        self._node = node
        self._topics = set(known)
        self._heard_s = 0.0
        self.found: set[str] = set()
        self.removed: list[str] = []
        self.refused: list[str] = []
        self.done = False
        account = Account(client_id=f"edgeface-discovery-{uuid.uuid4().hex[:8]}", password=password)
        self.connection = Supervisor(settings, account, self)

    def run(self, *, connect_s: float, timeout_s: float) -> bool:
        """Do it all; whether a connection stood within ``connect_s`` and it was done in time."""
        self.connection.start()
        try:
            if not self.connection.wait_connected(connect_s):
                return False
            until_s = time.monotonic() + timeout_s
            while not self.done and time.monotonic() < until_s:
                time.sleep(0.02)
        finally:
            self.connection.stop(timeout_s=1.0)
        return self.done

    def serve(self, session: Session) -> None:
        """Read, then empty.

        Raises
        ------
        SessionFailure : the connection is lost
        """
        session.subscribe(config_topic(self._prefix, "+"))
        self._heard_s = time.monotonic()
        while time.monotonic() - self._heard_s < QUIET_S:
            self.connection.turn(session, at_most_s=QUIET_S)
        # Cameras first: they refer to their node.
        sent = {session.publish(topic, b"", qos=1, retain=True): topic for topic in sorted(self._topics, reverse=True)}
        while sent:
            self.connection.turn(session)
            for number, reason in session.take_acks():
                topic = sent.pop(number)
                (self.refused if reason >= 0x80 else self.removed).append(topic)
        self.done = True

    def pending(self) -> bool:
        """Nothing is left to do at the end."""
        return False

    def heard(self, arrival: Arrival) -> None:
        """Note a topic of the node."""
        if arrival.payload and node_topic(self._prefix, self._node, arrival.topic):
            self._heard_s = time.monotonic()
            self._topics.add(arrival.topic)
            self.found.add(arrival.topic)

    def idle(self) -> None:
        """Nothing is to be done without a connection."""
