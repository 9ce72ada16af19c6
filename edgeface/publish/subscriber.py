"""The other end: hears what edgeface nodes publish; connects for ever like the publisher."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from edgeface.config import Mqtt
from edgeface.publish.client import Account
from edgeface.publish.session import Arrival, Session
from edgeface.publish.supervisor import Supervisor
from edgeface.publish.timing import Clock, Timing


class Subscriber:
    """Hands every message below the prefix to ``heard``, in the thread of the connection.

    ``connected`` is called there at each connection, before anything is heard.

    Raises
    ------
    ConfigError : a certificate or key file that cannot be read

    Attributes
    ----------
    connection : state, broker and errors
    forgotten : how often the broker did not know any more what it was to keep for us
    """

    def __init__(
        self,
        settings: Mqtt,
        *,
        password: str | None,
        heard: Callable[[Arrival], None],
        keep_s: int = 0,
        connected: Callable[[], None] = lambda: None,
        timing: Timing | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._topic = f"{settings.prefix.rstrip('/')}/#"
        self._heard = heard
        self._connected = connected
        # The node's own id would throw the node out.
        account = Account(client_id=f"edgeface-watch-{uuid.uuid4().hex[:8]}", password=password, keep_s=keep_s)
        self.forgotten = 0
        self.connection = Supervisor(settings, account, self, timing=timing, clock=clock)

    def start(self) -> None:
        """Begin to connect, for ever; never blocks."""
        self.connection.start()

    def stop(self) -> None:
        """Disconnect."""
        self.connection.stop(timeout_s=1.0)

    def serve(self, session: Session) -> None:
        """Subscribe and listen.

        Raises
        ------
        SessionFailure : the connection is lost
        """
        self.forgotten += self.connection.connections > 1 and not session.resumed
        self._connected()
        session.subscribe(self._topic)
        while self.connection.stop_by_s is None:
            self.connection.turn(session)

    def pending(self) -> bool:
        """Nothing is left to do at the end."""
        return False

    def heard(self, arrival: Arrival) -> None:
        """Hand on what arrives."""
        self._heard(arrival)

    def idle(self) -> None:
        """Nothing is to be done without a connection."""
