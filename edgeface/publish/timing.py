"""Every wait of the connection to a broker, and the clocks it runs on, as values that are handed in."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from edgeface.backoff import Backoff
from edgeface.publish.reasons import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing(Backoff):
    """When to try again, and how long to wait for what, in seconds.

    Attributes
    ----------
    refused_s : the pause after refused credentials or certificates, give or take a tenth; a refused topic rests as long
    rest_most_s : a topic that is refused again and again rests twice as long each time, and never longer
    doubt_s : the wait for a first answer before the broker is asked for its version
    ack_s : the longest wait for an acknowledgement, before the connection is given up
    proof_s : a connection that holds this long after a message does not break on that message
    online_s : least time between two `online` on one connection
    linger_s : how long a farewell in MQTT 3.1.1 stays on the line
    turn_s : longest wait for the network in one turn; the keep-alive is looked after at this beat
    jump_s : a step of the clock against the monotonic one that ends a pause
    """

    refused_s: float = 300.0
    rest_most_s: float = 3600.0
    doubt_s: float = 0.8
    ack_s: float = 30.0
    proof_s: float = 1.0
    online_s: float = 30.0
    linger_s: float = 0.5
    turn_s: float = 1.0
    jump_s: float = 10.0

    def pause_s(self, cause: Cause, failures: int, uniform: Callable[[float, float], float]) -> float:
        """Seconds until the next try after the ``failures``-th failure in a row, which had this cause.

        Drawn between ``first_s`` and a bound that doubles with each failure, the first one included.
        """
        if cause == "refused":
            return self.refused_s * uniform(0.9, 1.1)
        if cause == "denied":
            # The topic rests now, and each topic does so once: what others have waiting goes at once.
            return 0.0
        if cause == "blamed":
            # The message that broke it is known and travels last: nothing speaks for a longer pause.
            failures = 1
        bound_s = self.bound_s(failures)
        return uniform(min(self.first_s, bound_s), bound_s)

    def rest_s(self, rests: int) -> float:
        """Seconds that a topic rests which has rested so often in a row."""
        return min(self.rest_most_s, self.refused_s * 2.0 ** min(rests, 30))


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What is not a function of its arguments: two clocks in seconds, and chance."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    uniform: Callable[[float, float], float] = random.uniform
