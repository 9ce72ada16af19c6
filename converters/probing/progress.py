"""How far a search is and how long it still takes: a bar on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import TracebackType

from tqdm import tqdm

EVERY_S = 15.0
logger = logging.getLogger(__name__)


class Progress:
    """Counts settings that were tried.

    Parameters
    ----------
    total : how many there will be, about
    clock : seconds of any origin
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock = total, clock
        self._bar = tqdm(total=total, desc="settings", unit="setting", disable=None, leave=False)
        self._began = self._said = clock()
        self._count = 0

    def __enter__(self) -> Progress:
        """Start."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Take the bar away."""
        self._bar.close()

    def update(self) -> None:
        """Count one more."""
        self._count += 1
        self._total = max(self._total, self._count)
        self._bar.total = self._total
        self._bar.update()
        now = self._clock()
        if self._bar.disable and now - self._said >= EVERY_S:
            self._said = now
            left = (now - self._began) / self._count * (self._total - self._count)
            logger.info("%d of about %d settings, about %.0f s left", self._count, self._total, left)
