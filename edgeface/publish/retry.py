"""When to try again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from edgeface.publish.link import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When to try again, in seconds.

    Attributes
    ----------
    first_s, most_s : the wait is drawn between ``first_s`` and a bound that doubles up to ``most_s``
    refused_s : the wait after refused credentials or certificates, give or take a tenth
    answer_s : the longest wait for a connection, and then for the broker's answer
    doubt_s : the wait for a first answer before the broker is asked for its version
    settled_s : a connection that held this long starts the waits anew when it is lost
    """

    first_s: float = 1.0
    most_s: float = 60.0
    refused_s: float = 300.0
    answer_s: float = 5.0
    doubt_s: float = 0.8
    settled_s: float = 60.0

    def pause_s(self, cause: Cause, failures: int, rng: random.Random) -> float:
        """Seconds until the next try after the ``failures``-th failure in a row, which had this cause."""
        if cause == "refused":
            return self.refused_s * rng.uniform(0.9, 1.1)
        bound_s = min(self.most_s, self.first_s * 2.0 ** min(failures, 30))
        return rng.uniform(min(self.first_s, bound_s), bound_s)
