"""TensorRT's engines, built in a child while the node works: the thread that waits for it, and what `health` says."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone

from edgeface.bundle import Bundle
from edgeface.config import Config
from edgeface.engine.networks import Networks
from edgeface.events import BuildHealth, InferenceHealth, NetworkHealth, TuningHealth, iso
from edgeface.proof import Accelerated, build
from edgeface.runtime import library
from edgeface.runtime.providers import Provider

logger = logging.getLogger(__name__)

Build = Callable[[Bundle, Config, Provider], str | None]
"""Builds the engines of a provider; why it could not."""


class Building:
    """At most one build at a time; what it comes to is asked for, never waited for.

    Parameters
    ----------
    work : builds; for tests
    """

    def __init__(self, work: Build = build) -> None:
        self._work = work
        self._provider: Provider | None = None
        self._since: datetime | None = None
        self._begun_s = 0.0
        self._ended = False
        self._failed: str | None = None
        self._thread: threading.Thread | None = None

    @property
    def since(self) -> datetime | None:
        """When the build began that goes on; None: none does."""
        return None if self._thread is None or self._ended else self._since

    @property
    def words(self) -> str:
        """For a line on how the program fares; empty while nothing is built."""
        return "" if self.since is None or self._provider is None else f"; {self._provider.name} builds its engines"

    def begin(self, bundle: Bundle, config: Config, accelerated: Accelerated) -> None:
        """Build what is wanted, unless a build goes on already or has failed."""
        wanted = accelerated.pending
        if wanted is None or self._thread is not None or (wanted == self._provider and self._failed is not None):
            return
        self._provider, self._since, self._begun_s = wanted, datetime.now(timezone.utc), time.monotonic()
        self._ended, self._failed = False, None
        logger.info(
            "%s builds its engines for these networks, once for this GPU and these versions; that takes minutes, and "
            "until then they run on %s",
            wanted.name,
            accelerated.provider.name,
        )
        self._thread = threading.Thread(target=self._run, args=(bundle, config, wanted), name="building", daemon=True)
        self._thread.start()

    def take_done(self) -> bool:
        """Whether a build has ended since the last call, well or not."""
        if self._thread is None or not self._ended:
            return False
        self._thread.join()
        self._thread = None
        elapsed_s = time.monotonic() - self._begun_s
        if self._failed is None:
            logger.info("the engines are built, after %.0f s", elapsed_s)
        else:
            logger.warning("%s, after %.0f s", self._failed, elapsed_s)
        return True

    @property
    def failed(self) -> str | None:
        """Why the latest build failed; None: it did not, or goes on."""
        return self._failed if self._ended else None

    def health(
        self, networks: Networks, accelerated: Accelerated, tuning: TuningHealth | None = None
    ) -> InferenceHealth:
        """What each network runs on, and what is being built."""
        since, wanted = self.since, self._provider
        reasons = [*accelerated.reasons, *([self.failed] if self.failed else [])]
        return InferenceHealth(
            onnxruntime=onnxruntime_words(),
            networks=placed(networks),
            building=None if since is None or wanted is None else BuildHealth(provider=wanted.name, since=iso(since)),
            fallback="; ".join(reasons) or None,
            tuning=tuning,
        )

    def _run(self, bundle: Bundle, config: Config, provider: Provider) -> None:
        try:
            self._failed = self._work(bundle, config, provider)
        except Exception as error:  # a mistake of ours here must not end what runs
            logger.exception("building engines met an error of this program")
            self._failed = f"an error of this program: {error!r}; please report this"
        finally:
            self._ended = True


def placed(networks: Networks) -> dict[str, NetworkHealth]:
    """What each loaded network runs on."""
    return {
        name: NetworkHealth(runtime=runner.file.runtime, precision=runner.file.precision, provider=runner.provider)
        for name, runner in networks.runners.items()
    }


def onnxruntime_words() -> str | None:
    """Version of ONNX Runtime and whose it is; None where there is none."""
    from edgeface.runtime import onnx

    version = onnx.version()
    return f"{version}, {library.origin().words}" if version else None
