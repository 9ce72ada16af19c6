"""Keeps a connection for ever: tries, waits with jitter, falls back to MQTT 3.1.1, says each thing once."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Literal

from edgeface.config import Mqtt
from edgeface.errors import ConfigError
from edgeface.publish.client import Protocol, Will, make_client, make_probe
from edgeface.publish.link import Cause, Link, LinkFailure, Wake
from edgeface.publish.retry import Retry

logger = logging.getLogger(__name__)

State = Literal["connected", "connecting", "refused", "offline"]

CLOSES_BEFORE_FALLBACK = 2
"""Closes without an answer, in a row, after which a broker is taken for one that does not know MQTT 5."""
SHORT_ONES = 4
"""Connections in a row that are lost before they have settled, after which a reason is guessed in the log."""


class Keeper:
    """Owns the thread that talks to the broker.

    Parameters
    ----------
    serve : called in that thread with every connection; returns when the work is done for good, which ends
        the thread. A `LinkFailure` that it lets through leads to the next connection.
    pending : whether something is worth a few more tries once `stop` was called
    on_message : called in that thread with topic and payload of what arrives
    """

    def __init__(
        self,
        settings: Mqtt,
        *,
        client_id: str,
        password: str | None,
        serve: Callable[[Link], None],
        will: Will | None = None,
        pending: Callable[[], bool] = lambda: False,
        on_message: Callable[[str, bytes], None] | None = None,
        retry: Retry | None = None,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._password = password
        self._serve = serve
        self._will = will
        self._pending = pending
        self._on_message = on_message
        self._retry = retry or Retry()
        self._rng = rng or random.Random()
        self._clock = clock
        self._changed = threading.Condition()
        self._state: State = "offline"
        self._stop_by_s: float | None = None
        self._outage_s: float | None = None
        self._said: Cause | None = None
        self._failures = 0
        self._attempts = 0
        self._closes = 0
        self._short = 0
        self._doubtful = False
        self._answered = False
        self.wake = Wake()
        self.protocol: Protocol = "5"
        self.connections = 0
        self.last_error: str | None = None
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        # Files that are missing are the user's mistake, and told before anything starts.
        make_client(settings, client_id=client_id, protocol="5", password=password, will=will)
        if password is not None and settings.username is None:
            logger.warning("a broker password is set without mqtt.username and is not used")

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._state

    @property
    def broker(self) -> str:
        """Name of the broker for people."""
        return f"{self._settings.host}:{self._settings.port}"

    @property
    def stop_by_s(self) -> float | None:
        """Until when the work is to be finished, by the clock; None while nobody has asked to stop."""
        return self._stop_by_s

    @property
    def ended(self) -> bool:
        """Whether the thread is over, or never began."""
        return not self._thread.is_alive()

    def start(self) -> None:
        """Begin to connect; never blocks."""
        self._set_state("connecting")
        self._thread.start()

    def wait_connected(self, timeout_s: float) -> bool:
        """Whether a connection stands in time; comes back early when the broker refuses us."""
        with self._changed:
            self._changed.wait_for(lambda: self._state in {"connected", "refused"}, timeout_s)
            return self._state == "connected"

    def stop(self, *, timeout_s: float) -> None:
        """Ask ``serve`` to finish, and wait for that at most ``timeout_s``."""
        self._stop_by_s = self._clock() + timeout_s
        self.wake.set()
        if self._thread.ident is not None:
            # The little more is for a farewell that began in time.
            self._thread.join(timeout_s + 0.5)
        self._set_state("offline")

    def _run(self) -> None:
        try:
            while self._go_on():
                failure = self._attempt()
                if failure is None:
                    return
                self._wait(self._after(failure))
        finally:
            self._set_state("offline")

    def _attempt(self) -> LinkFailure | None:
        try:
            if self._doubtful:
                self._ask_for_version()
            self._connect_and_serve()
        except LinkFailure as failure:
            return failure
        except ConfigError as error:
            # A certificate that was there at the start and has gone, or is being renewed.
            return LinkFailure("refused", str(error))
        except Exception:
            # A mistake of ours must not silence the device for good; the traceback tells of it.
            logger.exception("the connection to %s broke on an error of this program", self.broker)
            return LinkFailure("lost", "an error of this program")
        return None

    def _go_on(self) -> bool:
        if self._stop_by_s is None:
            return True
        hopeful = self.connections > 0 and self._state != "refused" and self._pending()
        return hopeful and self._clock() < self._stop_by_s

    def _connect_and_serve(self) -> None:
        client = make_client(
            self._settings,
            client_id=self._client_id,
            protocol=self.protocol,
            password=self._password,
            will=self._will,
        )
        link = Link(client, self.wake, on_message=self._on_message)
        patient = self._answered or self.protocol != "5"
        try:
            self._open(link, self._retry.answer_s if patient else self._retry.doubt_s)
            self._use(link)
        finally:
            link.close()

    def _use(self, link: Link) -> None:
        since_s = self._clock()
        self._connected()
        try:
            self._serve(link)
        finally:
            if self._clock() - since_s >= self._retry.settled_s:
                self._failures = self._short = 0
            else:
                self._short += 1

    def _open(self, link: Link, answer_s: float) -> None:
        link.open(
            self._settings.host,
            self._settings.port,
            keep_alive_s=self._settings.keep_alive,
            connect_s=self._retry.answer_s,
            answer_s=answer_s,
        )

    def _ask_for_version(self) -> None:
        link = Link(make_probe(self._settings), self.wake)
        try:
            self._open(link, self._retry.answer_s)
        except LinkFailure as failure:
            # Even a refusal is an answer in MQTT 5.
            if failure.cause != "refused":
                raise
        finally:
            link.close()
        self._doubtful = False
        self._answered = True

    def _connected(self) -> None:
        self.connections += 1
        self._closes = 0
        self._answered = True
        now_s = self._clock()
        if self._outage_s is None:
            logger.info("connected to broker %s with MQTT %s", self.broker, self.protocol)
        else:
            logger.info(
                "broker %s is back after %.0f s, %d attempts",
                self.broker,
                now_s - self._outage_s,
                self._attempts,
            )
        self._outage_s = self._said = None
        self._attempts = 0
        self._set_state("connected")

    def _after(self, failure: LinkFailure) -> float:
        """Note a failure; seconds until the next try."""
        cause = failure.cause
        self._failures += 1
        self._attempts += 1
        self._closes = self._closes + 1 if cause == "closed_early" else 0
        old = cause == "old_broker" or self._closes >= CLOSES_BEFORE_FALLBACK
        if old and self.protocol == "5":
            self.protocol = "3.1.1"
            self._closes = 0
            self._doubtful = False
            logger.info("broker %s does not speak MQTT 5, going on with 3.1.1", self.broker)
            return 0.0
        if cause == "silent" and self.protocol == "5" and not self._answered and not self._doubtful:
            self._doubtful = True
            return 0.0
        if cause == "old_broker":
            cause = "refused"
        self._say(cause, str(failure))
        if cause == "lost" and self._short == SHORT_ONES:
            logger.warning(
                "broker %s has ended %d connections in a row at once; is client id %s used twice?",
                self.broker,
                SHORT_ONES,
                self._client_id,
            )
        self._set_state("refused" if cause == "refused" else "connecting")
        return self._retry.pause_s(cause, self._failures, self._rng)

    def _say(self, cause: Cause, text: str) -> None:
        self.last_error = text
        if self._outage_s is None:
            self._outage_s = self._clock()
        # Once per outage, and once more when it turns into a refusal or out of one.
        if self._said is None or (self._said == "refused") != (cause == "refused"):
            if cause == "refused":
                logger.warning(
                    "broker %s: %s; check user, password and certificates, trying again every %.0f s",
                    self.broker,
                    text,
                    self._retry.refused_s,
                )
            else:
                known = "lost" if self.connections else "not reached"
                logger.warning("broker %s %s: %s; trying again until it works", self.broker, known, text)
            self._said = cause

    def _wait(self, pause_s: float) -> None:
        until_s = self._clock() + pause_s
        while (left_s := until_s - self._clock()) > 0:
            if self._stop_by_s is not None:
                # Somebody waits for us: a few quick tries, then leave.
                self.wake.wait(min(left_s, 0.2))
                return
            self.wake.wait(left_s)

    def _set_state(self, state: State) -> None:
        with self._changed:
            self._state = state
            self._changed.notify_all()
