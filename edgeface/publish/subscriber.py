"""The other end: hears what edgeface nodes publish; connects for ever like the publisher."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable

from edgeface.config import Mqtt
from edgeface.publish.keeper import Keeper, State
from edgeface.publish.link import Link
from edgeface.publish.retry import Retry


class Subscriber:
    """Hands every message below the prefix to ``heard`` (topic, payload), in the thread of the connection.

    Raises
    ------
    ConfigError : a certificate or key file that cannot be read
    """

    def __init__(
        self,
        settings: Mqtt,
        *,
        password: str | None,
        heard: Callable[[str, bytes], None],
        retry: Retry | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._topic = f"{settings.prefix.rstrip('/')}/#"
        self._keeper = Keeper(
            settings,
            # The node's own id would throw the node out.
            client_id=f"edgeface-watch-{uuid.uuid4().hex[:8]}",
            password=password,
            serve=self._serve,
            on_message=heard,
            retry=retry,
            rng=rng,
        )

    @property
    def state(self) -> State:
        """``connected``, ``connecting``, ``refused`` or ``offline``."""
        return self._keeper.state

    @property
    def broker(self) -> str:
        """``host:port``."""
        return self._keeper.broker

    @property
    def last_error(self) -> str | None:
        """Why the latest attempt failed, in words; None before any has."""
        return self._keeper.last_error

    def start(self) -> None:
        """Begin to connect, for ever; never blocks."""
        self._keeper.start()

    def wait_connected(self, timeout_s: float) -> bool:
        """Whether the broker has accepted us in time; False early when it refuses."""
        return self._keeper.wait_connected(timeout_s)

    def stop(self) -> None:
        """Disconnect."""
        self._keeper.stop(timeout_s=1.0)

    def _serve(self, link: Link) -> None:
        link.subscribe(self._topic)
        while self._keeper.stop_by_s is None:
            link.turn(1.0)
