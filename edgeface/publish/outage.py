"""What the log says of the connection: each loss and each return once, and what goes on for ever in counts."""

from __future__ import annotations

import logging

from edgeface.publish.client import Abilities, Protocol
from edgeface.publish.reasons import TAKEN_OVER, Cause, SessionFailure
from edgeface.publish.timing import Timing

logger = logging.getLogger(__name__)

SHORT_ONES = 4
"""Connections in a row that are lost before they have settled, after which a reason is guessed and counting begins."""


class OutageLog:
    """Writes the log of one connection supervisor; time is handed in, in seconds of a monotonic clock.

    Attributes
    ----------
    last_error : why the latest attempt failed, in words; None before any has
    hint : what a person can do about it, or empty
    """

    def __init__(self, broker: str, client_id: str, timing: Timing) -> None:
        self._broker = broker
        self._client_id = client_id
        self._timing = timing
        self._since_s: float | None = None
        self._logged: Cause | None = None
        self._attempts = 0
        self._short = 0
        self._taken_over = 0
        self._connected_before = False
        self._quiet = False
        self._limits: set[str] = set()
        self._old = False
        self.last_error: str | None = None
        self.hint = ""

    def connected(self, protocol: Protocol, now_s: float) -> None:
        """Tell that a connection stands."""
        if self._since_s is None and not self._connected_before:
            logger.info("connected to broker %s with MQTT %s", self._broker, protocol)
        elif self._since_s is not None and not self._quiet:
            outage_s = now_s - self._since_s
            logger.info("broker %s is back after %.0f s, %d attempts", self._broker, outage_s, self._attempts)
        self._connected_before = True
        self._since_s = self._logged = None
        self._attempts = 0

    def limits(self, abilities: Abilities) -> None:
        """Tell once what the broker does not offer, and what that means."""
        if not abilities.retain:
            self._limit("keeps no retained messages: who subscribes later hears of this node with its next message")
        if not abilities.qos:
            self._limit("takes QoS 0 only: a message that is lost on the way is not noticed")
        if not abilities.will:
            self._limit("takes no last will: nobody says `offline` when this node or its network dies")

    def settled(self) -> None:
        """Tell that a connection holds after many that did not."""
        if self._short > SHORT_ONES:
            logger.info("broker %s holds the connection again, after %d short ones", self._broker, self._short)
        self._short = 0

    def short(self) -> None:
        """Count a connection that was lost before it had settled."""
        self._short += 1
        if self._short == SHORT_ONES or (self._short > SHORT_ONES and _round(self._short)):
            logger.warning(
                "broker %s has ended %d connections in a row at once; is client id %s used twice?",
                self._broker,
                self._short,
                self._client_id,
            )

    def old_broker(self) -> None:
        """Tell once that MQTT 3.1.1 is spoken."""
        if not self._old:
            logger.info("broker %s does not speak MQTT 5, going on with 3.1.1", self._broker)
        self._old = True

    def failed(self, failure: SessionFailure, now_s: float) -> None:
        """Tell of a failure: once per outage, and once more when it turns into a refusal or out of one."""
        self.last_error, self.hint = str(failure), failure.hint
        if failure.cause == "denied":
            # The refusal was told where it came; the next connection is made at once.
            return
        self._attempts += 1
        if self._since_s is None:
            self._since_s = now_s
            self._quiet = self._counted_only(failure)
        again = self._logged is not None and (self._logged == "refused") == (failure.cause == "refused")
        if again or self._quiet:
            return
        self._logged = failure.cause
        hint = f"; {failure.hint}" if failure.hint else ""
        if failure.cause == "refused":
            every_s = self._timing.refused_s
            logger.warning("broker %s: %s%s, trying again every %.0f s", self._broker, failure, hint, every_s)
            return
        known = "lost" if self._connected_before else "not reached"
        if failure.cause == "clock":
            hint = "; is that clock right?"
        logger.warning("broker %s %s: %s%s; trying again until it works", self._broker, known, failure, hint)

    def _counted_only(self, failure: SessionFailure) -> bool:
        """Whether this outage is one of many of its kind, that are counted and not told one by one."""
        if failure.reason != TAKEN_OVER:
            return self._short > SHORT_ONES
        self._taken_over += 1
        if self._taken_over > 1 and _round(self._taken_over):
            logger.warning(
                "another client has come with client id %s %d times; %s",
                self._client_id,
                self._taken_over,
                failure.hint,
            )
        return self._taken_over > 1

    def _limit(self, text: str) -> None:
        if text not in self._limits:
            self._limits.add(text)
            logger.warning("broker %s %s", self._broker, text)


def _round(count: int) -> bool:
    """Whether it is 10, 100, 1000, ...: something that goes on for years is told ever more rarely."""
    return count >= 10 and count == 10 ** (len(str(count)) - 1)
