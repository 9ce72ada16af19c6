"""Loads a new configuration beside the one that runs; the outcome is asked for, never waited for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from edgeface.errors import EdgefaceError
from edgeface.service.assembly import Assembly

logger = logging.getLogger(__name__)

Load = Callable[[Assembly | None], Assembly]
"""Builds what the configuration makes; gets what runs now, None at the start."""


class Reload:
    """One reading of the configuration, in a thread of its own: cameras and broker are served meanwhile.

    Parameters
    ----------
    load : reads, judges and builds; an EdgefaceError says why it cannot hold
    before : what runs now
    """

    def __init__(self, load: Load, before: Assembly) -> None:
        self._load = load
        self._before: Assembly | None = before
        self._outcome: Assembly | EdgefaceError | None = None
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)
        self._thread.start()

    def outcome(self) -> Assembly | EdgefaceError | None:
        """What came of it; None while it goes on."""
        return self._outcome

    def join(self, timeout_s: float) -> None:
        """Wait for its end: libraries that load while the process ends take it down."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._outcome = self._load(self._before)
        except EdgefaceError as error:
            # Its traceback would hold the networks that were loaded.
            self._outcome = error.with_traceback(None)
        except Exception as error:
            # A mistake of ours in judging a new configuration must not end the one that runs.
            logger.exception("the new configuration met an error of this program")
            self._outcome = EdgefaceError(f"an error of this program: {error!r}", fix="please report this")
        finally:
            # Its networks are let go of when another takes its place.
            self._before = None
