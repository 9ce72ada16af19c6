"""Exponential back-off: how the pauses between tries grow; pure, chance and clock are the caller's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Pauses that double, in seconds.

    Attributes
    ----------
    first_s, most_s : the bound of a pause before it doubled, and what it never exceeds
    settled_s : what held this long starts the pauses anew when it is lost
    """

    first_s: float = 1.0
    most_s: float = 60.0
    settled_s: float = 60.0

    def bound_s(self, doublings: int) -> float:
        """Longest pause after so many doublings, 0 or more."""
        return min(self.most_s, self.first_s * 2.0 ** min(doublings, 30))
