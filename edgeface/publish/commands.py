"""Messages on the topics of commands: asked for at each connection, and kept until the program takes them.

What they mean is not judged here. Who floods the topics fills a queue of a few small messages, and no more.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import replace

from edgeface.events import COMMAND, LARGEST
from edgeface.publish.session import Arrival

logger = logging.getLogger(__name__)

WAITING = 16
"""Most messages that wait; the program takes them several times a second."""
STRIKES = 2
"""Connections in a row that broke on our asking before we do without."""


class CommandQueue:
    """Between the connection's thread, which asks and hears, and the program's, which takes.

    Parameters
    ----------
    base : ``<prefix>/<node>``
    """

    def __init__(self, base: str) -> None:
        self._begin = f"{base}/{COMMAND}/"
        self._lock = threading.Lock()
        self._waiting: deque[Arrival] = deque()
        self._overflow = 0
        self._deaf = self._asking = False
        self._strikes = 0

    def ask(self) -> tuple[str, ...]:
        """Topics to be subscribed to now, once a connection; empty for none."""
        self._asking = not self._deaf
        return (f"{self._begin}+",) if self._asking else ()

    def answered(self, *, barred: bool) -> None:
        """Note that the broker has answered what was asked for."""
        self._asking = False
        self._strikes = 0
        if barred:
            self._go_without("refuses to tell us of them")

    def broke(self) -> bool:
        """Note that the connection broke; whether that was in the midst of asking."""
        asking, self._asking = self._asking, False
        self._strikes += asking
        if asking and self._strikes >= STRIKES and not self._deaf:
            self._go_without("closes the connection when asked for them")
        return asking

    def heard(self, arrival: Arrival) -> bool:
        """Take in what arrives; whether it is meant for us."""
        if not arrival.topic.startswith(self._begin):
            return False
        with self._lock:
            if len(self._waiting) < WAITING:
                # One byte too many is enough to tell that it is too long.
                self._waiting.append(replace(arrival, payload=arrival.payload[: LARGEST + 1]))
            else:
                self._overflow += 1
        return True

    def take(self) -> tuple[list[Arrival], int]:
        """Give what has arrived since the last call, and how many messages there was no room for."""
        with self._lock:
            taken, overflow = list(self._waiting), self._overflow
            self._waiting.clear()
            self._overflow = 0
        return taken, overflow

    def name(self, topic: str) -> str:
        """Name of the command that a topic is for."""
        return topic.removeprefix(self._begin)

    def _go_without(self, why: str) -> None:
        self._deaf = True
        logger.warning(
            "no command reaches this node until the next reload or start: the broker %s; let it read %s#",
            why,
            self._begin,
        )
