"""What is wrong with a node now, and when `health` is due: each minute, and soon after that has changed.

Home Assistant's *Problem* rests on it; it must not come a minute late. Pure: time is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from edgeface.events import Problem
from edgeface.publish.outbox import Outbox
from edgeface.service.reader import VIEWS
from edgeface.service.standing import Look

LOOK_S = 1.0
"""Between two looks at what is wrong."""
RECENT_S = 3600.0
"""So long a count that has grown is a problem of now. No shorter: a topic that is refused is asked once an hour."""


class Problems:
    """Finds what is wrong; counts never fall, so it remembers when each has grown."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._grown_s: dict[str, float] = {}

    def see(
        self,
        now_s: float,
        *,
        looks: Mapping[str, Look],
        outbox: Outbox,
        invalid: Mapping[str, int],
        error: str | None,
        throttled: Iterable[str] = (),
        degraded: str | None = None,
    ) -> list[Problem]:
        """Say what is wrong now; words change only where what is wrong does.

        Parameters
        ----------
        now_s : monotonic
        invalid : how often each network gave what is no answer
        error : why the latest configuration was not taken
        throttled : what the board suffers from
        degraded : what is not done of what is configured
        """
        spool, counters = outbox.spool_health(), outbox.counters()
        networks = {f"network {name} gives what is no answer": count for name, count in invalid.items()}
        refused, dropped = "the broker refuses messages", "messages on visits were dropped"
        counts = {refused: counters.rejected, dropped: counters.dropped["visits"], **networks}
        recent = [text for text, count in counts.items() if self._recent(text, count, now_s)]
        return [
            *(Problem(about="camera", text=f"camera {name} {what}") for name, what in _wrong(looks)),
            *([Problem(about="configuration", text=f"the configuration was not taken: {error}")] if error else []),
            *(Problem(about="refused", text=text) for text in recent if text == refused),
            *(Problem(about="dropped", text=text) for text in recent if text == dropped),
            *([Problem(about="spool", text=f"no disk: {spool.error}")] if spool.state == "memory" else []),
            *(Problem(about="network", text=text) for text in recent if text in networks),
            *(Problem(about="board", text=f"board: {text}") for text in throttled),
            *([Problem(about="degraded", text=degraded)] if degraded else []),
        ]

    def _recent(self, key: str, count: int, now_s: float) -> bool:
        if count > self._counts.get(key, 0):
            self._grown_s[key] = now_s
        # It falls where refused visits were taken after all, and where a reload begins to count anew.
        self._counts[key] = count
        return count > 0 and now_s - self._grown_s[key] < RECENT_S


def _wrong(looks: Mapping[str, Look]) -> Iterator[tuple[str, str]]:
    """Cameras with which something is wrong, and what. Dark they are each night: no problem of theirs."""
    for name, look in looks.items():
        if look.status == "away":
            yield name, "is away"
        elif look.status == "running" and look.view in ("covered", "moved"):
            yield name, VIEWS[look.view]


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
        self._told: object = None

    def due(self, now_s: float, now: Callable[[], object]) -> bool:
        """Whether it is to be told now; ``now``, how things stand, is asked once a second at most."""
        if now_s >= self._due_s:
            return True
        if now_s < max(self._look_s, self._extra_at_s + self._extra_s):
            return False
        self._look_s = now_s + LOOK_S
        if now() == self._told:
            return False
        self._extra_at_s = now_s
        return True

    def told(self, now_s: float, told: object) -> None:
        """Note that it is told, and how things stood."""
        self._due_s, self._told = now_s + self._every_s, told
