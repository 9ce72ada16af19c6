"""The connection supervisor: connects for ever, pauses with jitter, falls back to MQTT 3.1.1."""

from __future__ import annotations

import logging
import threading
from datetime import datetime
from typing import Literal, Protocol

from edgeface.config import Mqtt
from edgeface.errors import BrokerError, ConfigError
from edgeface.publish.client import Abilities, Account, make_client, make_probe
from edgeface.publish.encryption import explained
from edgeface.publish.outage import OutageLog
from edgeface.publish.reasons import CHECK_CREDENTIALS, TAKEN_OVER, SessionFailure
from edgeface.publish.selfpipe import SelfPipe
from edgeface.publish.session import Arrival, Session
from edgeface.publish.timing import Clock, Timing
from edgeface.publish.versions import Versions

logger = logging.getLogger(__name__)

CHECK_BROKER = "check [mqtt] and that the broker runs"
State = Literal["connected", "connecting", "refused", "offline"]


class Work(Protocol):
    """What a supervisor's connections are for; everything is called in its thread."""

    def serve(self, session: Session) -> None:
        """Use a connection; returns when the work is done for good, which ends the thread.

        A `SessionFailure` that it lets through leads to the next connection.
        """

    def pending(self) -> bool:
        """Whether something is worth a few more tries once `Supervisor.stop` was called."""

    def heard(self, arrival: Arrival) -> None:
        """Take in what arrives."""

    def idle(self) -> None:
        """Look after what is to be done without a connection; called about once a second."""


class Supervisor:
    """Owns the thread that talks to the broker.

    Raises
    ------
    ConfigError : a certificate or key file that cannot be read

    Attributes
    ----------
    broker : ``host:port``, for people
    connections : how many stood so far
    certificate_end : of the broker's certificate as the latest connection saw it; None without one
    """

    def __init__(
        self, settings: Mqtt, account: Account, work: Work, *, timing: Timing | None = None, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._account = account
        self._work = work
        self._timing = timing or Timing()
        self._clock = clock or Clock()
        self._changed = threading.Condition()
        self._state: State = "offline"
        self._stop_by_s: float | None = None
        self._failures = 0
        self._abilities = Abilities()
        self._versions = Versions()
        self._connected_s: float | None = None
        self._settled = False
        self.wake = SelfPipe()
        self.broker = f"{settings.host}:{settings.port}"
        self.connections = 0
        self.certificate_end: datetime | None = None
        self._outage = OutageLog(self.broker, account.client_id, self._timing)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        # Files that are missing are the user's mistake, and told before anything starts.
        make_client(settings, account, protocol="5", abilities=self._abilities)
        if account.password is not None and settings.username is None:
            logger.warning("a broker password is set without mqtt.username and is not used")

    @property
    def state(self) -> State:
        """``connected``, ``connecting``, ``refused`` (by the broker), ``offline`` (not running)."""
        return self._state

    @property
    def protocol(self) -> Literal["5", "3.1.1"]:
        """Version of MQTT that is spoken, or tried."""
        return self._versions.current

    @property
    def last_error(self) -> str | None:
        """Why the latest attempt failed, in words; None before any has."""
        return self._outage.last_error

    @property
    def hint(self) -> str:
        """What a person can do about the latest failure, or empty."""
        return self._outage.hint

    def error(self, more: str = "") -> BrokerError:
        """Say of a program that gives up why, and ``more`` about what that cost."""
        why = self.last_error or "no answer"
        return BrokerError(f"broker {self.broker}: {why}{more}", fix=self.hint or CHECK_BROKER)

    @property
    def stop_by_s(self) -> float | None:
        """Until when the work is to be finished, by the monotonic clock; None while nobody has asked to stop."""
        return self._stop_by_s

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
        """Ask the work to finish, and wait for that at most ``timeout_s``."""
        self._stop_by_s = self._clock.monotonic() + timeout_s
        self.wake.set()
        if self._thread.ident is not None:
            # The little more is for a farewell that began in time.
            self._thread.join(timeout_s + 0.5)
        if not self._thread.is_alive():
            self.wake.close()
        self._set_state("offline")

    def turn(self, session: Session, *, at_most_s: float = float("inf")) -> None:
        """One turn of the network for the work: waits at most a beat or ``at_most_s``, and not beyond the end.

        Raises
        ------
        SessionFailure : the connection is lost
        """
        now_s = self._clock.monotonic()
        held_s = now_s - (self._connected_s or now_s)
        if not self._settled and held_s >= self._timing.settled_s:
            self._settled, self._failures = True, 0
            self._outage.settled()
        left_s = self._timing.turn_s if self._stop_by_s is None else self._stop_by_s - now_s
        session.turn(max(0.0, min(self._timing.turn_s, left_s, at_most_s)))

    def _run(self) -> None:
        try:
            while self._go_on():
                failure = self._attempt()
                if failure is None:
                    return
                # Before anybody is told of the clock: it may be set at once.
                step_s = self._clock_step_s()
                self._pause(self._after(failure), step_s)
        finally:
            self._set_state("offline")

    def _attempt(self) -> SessionFailure | None:
        try:
            self._connect_and_serve()
        except SessionFailure as failure:
            # A port that has served us speaks as we do.
            return failure if self.connections else explained(failure, self._settings)
        except ConfigError as error:
            # A certificate that was there at the start and has gone, or is being renewed.
            return SessionFailure("refused", str(error), hint=CHECK_CREDENTIALS)
        except Exception:
            # A mistake of ours must not silence the device for good; the traceback tells of it.
            logger.exception("the connection to %s broke on an error of this program", self.broker)
            return SessionFailure("lost", "an error of this program")
        return None

    def _go_on(self) -> bool:
        if self._stop_by_s is None:
            return True
        hopeful = self.connections > 0 and self._state != "refused" and self._work.pending()
        return hopeful and self._clock.monotonic() < self._stop_by_s

    def _connect_and_serve(self) -> None:
        abilities = self._abilities
        client = make_client(self._settings, self._account, protocol=self._versions.current, abilities=abilities)
        session = Session(
            client,
            self.wake,
            abilities=abilities,
            on_message=self._work.heard,
            keep_s=self._account.keep_s,
            most_bytes=self._account.most_bytes,
        )
        try:
            doubtful = self._versions.current == "5" and not self._versions.sure
            session.open(
                self._settings.host,
                self._settings.port,
                keep_alive_s=self._settings.keep_alive,
                answer_s=self._settings.connect_timeout,
                doubt_s=self._timing.doubt_s,
                doubt=self._ask_for_version if doubtful else None,
            )
            self._use(session)
        finally:
            session.close()

    def _use(self, session: Session) -> None:
        self.connections += 1
        self.certificate_end = session.certificate_end
        self._connected_s, self._settled = self._clock.monotonic(), False
        self._versions.connected()
        self._outage.connected(self._versions.current, self._connected_s)
        self._outage.limits(session.abilities)
        self._set_state("connected")
        try:
            self._work.serve(session)
        except SessionFailure as failure:
            if not self._settled and failure.cause not in {"blamed", "denied"} and failure.reason != TAKEN_OVER:
                self._outage.short()
            self._versions.lost()
            self._abilities = Abilities()
            raise

    def _ask_for_version(self, answer_s: float) -> None:
        """Ask beside a connection that is not answered whether it is the version that the broker does not know.

        Raises
        ------
        SessionFailure : ``old_broker``; any other answer, or none, says nothing
        """
        probe = Session(make_probe(self._settings), self.wake)
        try:
            probe.open(self._settings.host, self._settings.port, keep_alive_s=60, answer_s=answer_s)
        except SessionFailure as failure:
            if failure.cause == "old_broker":
                raise
        finally:
            probe.close()

    def _after(self, failure: SessionFailure) -> float:
        """Note a failure; seconds until the next try."""
        lessened = self._abilities.lessened(failure.reason)
        if lessened is not None:
            self._abilities = lessened
            return 0.0
        if failure.reason is not None and failure.cause == "refused":
            # Even a refusal is an answer in the version that was spoken.
            self._versions.connected()
        if self._versions.failed(failure.cause):
            self._outage.old_broker()
            return 0.0
        self._failures += failure.cause != "denied"
        refused = failure.cause in {"refused", "old_broker"}
        self._outage.failed(failure, self._clock.monotonic())
        self._set_state("refused" if refused else "connecting")
        return self._timing.pause_s(failure.cause, self._failures, self._clock.uniform)

    def _pause(self, pause_s: float, step_s: float) -> None:
        """Wait for the next try: shorter when somebody waits for our end, or the clock was set since ``step_s``."""
        until_s = self._clock.monotonic() + pause_s
        while (left_s := until_s - self._clock.monotonic()) > 0:
            if self._stop_by_s is not None:
                # Somebody waits for us: a few quick tries, then leave.
                self.wake.wait(min(left_s, 0.2))
                return
            self.wake.wait(min(left_s, self._timing.turn_s))
            self._work.idle()
            if abs(self._clock_step_s() - step_s) > self._timing.jump_s:
                # A certificate may hold now that did not a moment ago.
                return

    def _clock_step_s(self) -> float:
        return self._clock.wall() - self._clock.monotonic()

    def _set_state(self, state: State) -> None:
        with self._changed:
            self._state = state
            self._changed.notify_all()
