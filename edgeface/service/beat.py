"""When `health` is due: each minute, and soon after what is wrong with the node has changed. Pure: time is handed in.

Home Assistant's *Problem* rests on `health`; it must not come a minute late.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgeface.publish.outbox import Outbox
from edgeface.service.standing import Look

LOOK_S = 1.0
"""Between two looks at what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Troubles:
    """What is wrong with a node.

    Attributes
    ----------
    away : cameras that give no frames
    refused : whether the broker has refused messages that wait or are set aside
    memory : whether the spool has no disk
    invalid : networks that gave what is no answer
    error : why the latest configuration was not taken
    """

    away: frozenset[str] = frozenset()
    refused: bool = False
    memory: bool = False
    invalid: frozenset[str] = frozenset()
    error: str | None = None


def troubles(looks: Mapping[str, Look], outbox: Outbox, invalid: Mapping[str, int], error: str | None) -> Troubles:
    """See what is wrong now."""
    spool = outbox.spool_health()
    return Troubles(
        away=frozenset(camera for camera, look in looks.items() if look.status == "away"),
        refused=outbox.counters().rejected > 0,
        memory=spool is not None and spool.state == "memory",
        invalid=frozenset(name for name, count in invalid.items() if count),
        error=error,
    )


class HealthBeat:
    """Says when `health` is due.

    Parameters
    ----------
    every_s : between two messages
    extra_s : least time between two that come earlier, because something has changed
    """

    def __init__(self, *, every_s: float, extra_s: float) -> None:
        self._every_s = every_s
        self._extra_s = extra_s
        self._due_s = self._look_s = float("-inf")
        self._extra_at_s = float("-inf")
        self._told: Troubles | None = None

    def due(self, now_s: float, now: Callable[[], Troubles]) -> bool:
        """Whether it is to be told now; ``now`` is asked once a second at most."""
        if now_s >= self._due_s:
            return True
        if now_s < max(self._look_s, self._extra_at_s + self._extra_s):
            return False
        self._look_s = now_s + LOOK_S
        if now() == self._told:
            return False
        self._extra_at_s = now_s
        return True

    def told(self, now_s: float, told: Troubles) -> None:
        """Note that it is told, and what."""
        self._due_s, self._told = now_s + self._every_s, told
