"""Which version of MQTT is spoken: 5, and 3.1.1 with a broker that knows no other."""

from __future__ import annotations

from edgeface.publish.client import Protocol
from edgeface.publish.reasons import Cause

CLOSES_BEFORE_FALLBACK = 2
"""Closes without an answer, in a row, after which a broker is taken for one that does not know MQTT 5."""
CLOSES_BEFORE_RETURN = 4
"""The same in MQTT 3.1.1, where that is a guess: the guess was wrong."""


class Versions:
    """Chooses the version of the next attempt.

    A broker that has answered in MQTT 5 is not doubted: one that closes without a word is then restarting, or
    stands behind a proxy that is. One that says that it does not know MQTT 5 is believed. Where 3.1.1 is only a
    guess after two closes, MQTT 5 is tried once more at the begin of each outage, and again when 3.1.1 is
    answered as little.

    Attributes
    ----------
    current : version of the next attempt, or of the connection that stands
    sure : whether the broker has answered in MQTT 5
    """

    def __init__(self) -> None:
        self.current: Protocol = "5"
        self.sure = False
        self._denied_before = False
        self._guessed = False
        self._closes = 0

    def connected(self) -> None:
        """Note that the broker has accepted us, or refused us in words of the current version."""
        self._closes = 0
        self.sure = self.current == "5"

    def lost(self) -> None:
        """Note that a connection that stood is over."""
        if self.current == "3.1.1" and not self._denied_before:
            self.current = "5"

    def failed(self, cause: Cause) -> bool:
        """Note a failed attempt; True when the other version is to be tried at once."""
        if cause == "old_broker":
            return self._denied()
        self._closes = self._closes + 1 if cause == "closed_early" else 0
        if self.sure or self._denied_before or self._closes < self._patience():
            return False
        self._closes = 0
        if self.current == "5":
            self._guessed, self.current = True, "3.1.1"
            return True
        # Neither is answered: the next attempt comes after the usual pause.
        self.current = "5"
        return False

    def _patience(self) -> int:
        if self.current == "3.1.1":
            return CLOSES_BEFORE_RETURN
        return 1 if self._guessed else CLOSES_BEFORE_FALLBACK

    def _denied(self) -> bool:
        self.sure, self._closes = False, 0
        if self.current == "5":
            denied_before, self._denied_before = self._denied_before, True
            self.current = "3.1.1"
            return not denied_before
        # It knows 3.1.1 as little, or only MQTT 5: begin anew after the usual pause.
        self.current = "5"
        return False
