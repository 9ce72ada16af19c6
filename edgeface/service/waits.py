"""How long the daemon waits for what."""

from __future__ import annotations

from dataclasses import dataclass

from edgeface.service.control import MINUTE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long the daemon waits, in seconds.

    Attributes
    ----------
    turn_s : longest wait for a frame: how soon a signal is noticed, and how often an idle daemon feeds the watchdog
    up_within_s : a run that has an end waits this long for the broker
    health_s, extra_s : between two messages on ``health``, and between two that a change makes come earlier
    flush_s : for the last messages of a stop, or of a node that a reload renames
    hand_over_s : for the farewell of a connection that a reload replaces; its messages wait for the next
    join_s : for the readers to let go of their cameras
    leave_s : for a reload that is under way when the program ends
    restart_s : least time of a run before a command may end it
    """

    turn_s: float = 0.25
    up_within_s: float = 10.0
    health_s: float = 60.0
    extra_s: float = 10.0
    flush_s: float = 5.0
    hand_over_s: float = 1.0
    join_s: float = 1.0
    leave_s: float = 3.0
    restart_s: float = MINUTE_S
