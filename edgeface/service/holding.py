"""Holds the rates of live cameras: asks the board and the worker how things are, and does what the governor decides."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from edgeface import board
from edgeface.config import Runtime
from edgeface.engine.governor import Cause, Reading, State, step
from edgeface.engine.levels import LEVELS, Level, usable
from edgeface.engine.turn import Worker
from edgeface.events import HoldHealth

logger = logging.getLogger(__name__)

LOOK_S = 2.0
"""Between two looks: some frames of a slow camera, too."""
WHY: Mapping[Cause, str] = {
    "heat": "the board is too hot",
    "power": "the board has too little voltage",
    "load": "the board is too slow for the rate of its cameras",
}


class Holding:
    """What lives as long as the process: the state of the governor.

    Parameters
    ----------
    root : where files of the kernel begin, for tests
    """

    def __init__(self, root: Path = board.ROOT) -> None:
        self._root = root
        self._due_s = float("-inf")
        self._state = State()
        self._levels = LEVELS
        self._active = False

    def look(self, now_s: float, worker: Worker, settings: Runtime) -> None:
        """See how things are, every few seconds, and let the worker do as much as it should.

        Parameters
        ----------
        now_s : monotonic
        worker : of the configuration that is in force; another one is brought to the level that holds
        """
        if now_s < self._due_s and worker.level == self._level:
            return
        # Not from now on: what each look comes late would add up to a step that takes one look more.
        self._due_s = max(self._due_s + LOOK_S, now_s + LOOK_S / 2)
        costs = worker.costs()
        self._active = settings.hold and worker.has_live
        before, after = self._state, State()
        if self._active:
            self._levels = usable(smaller_input=worker.shrunk > 1)
            degrees = max(board.temperatures(self._root).values(), default=None) if settings.heat else None
            troubles = board.throttled(self._root)
            reading = Reading(
                time_s=now_s, costs=costs, temperature=degrees, troubles=() if troubles is None else troubles[0]
            )
            after = step(before, reading, self._levels, hot_c=settings.heat or None)
        self._state = after
        if after.level != before.level:
            self._log(deeper=after.level > before.level)
        worker.take_level(self._level)

    @property
    def _level(self) -> Level:
        return self._levels[min(self._state.level, len(self._levels) - 1)]

    @property
    def problem(self) -> str | None:
        """What is not done of what is configured, and why, in one line; None: everything is done."""
        if self._state.level == 0:
            return None
        why = " and ".join(WHY[cause] for cause in self._state.causes) or "it is coming back"
        return f"less is done ({why}): {self._level.text}"

    def health(self) -> HoldHealth | None:
        """The same for `health`; None where nothing is held."""
        if not self._active:
            return None
        return HoldHealth(
            level=self._state.level,
            levels=len(self._levels) - 1,
            name=self._level.name,
            text=self._level.text,
            causes=list(self._state.causes),
        )

    def _log(self, *, deeper: bool) -> None:
        why = " and ".join(WHY[cause] for cause in self._state.causes)
        if deeper:
            logger.warning("less is done, since %s: %s", why, self._level.text)
        else:
            logger.info("more is done again, level %d: %s", self._state.level, self._level.text)
