"""The program that runs for years: cameras, worker, clocks, signals, health.

The only place that knows the time of day.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from types import FrameType
from typing import Literal

from edgeface.bundle import Bundle, Network
from edgeface.config import Config, mqtt_password
from edgeface.errors import BrokerError, EdgefaceError
from edgeface.events import Body, CameraHealth, NoticeNetwork, health_body, notice_body
from edgeface.inbox import Ended, Inbox
from edgeface.machine import node_id, resident_mb
from edgeface.networks import Networks
from edgeface.notify import Notifier
from edgeface.publish.mqtt import Publisher
from edgeface.publish.outbox import Outbox
from edgeface.reader import Reader
from edgeface.sources import is_live
from edgeface.types import Frame, Reason, Task
from edgeface.worker import Worker

logger = logging.getLogger(__name__)

TURN_S = 0.25
"""Longest wait for a frame: how soon a signal is noticed, and how often an idle daemon feeds the watchdog."""
UP_WITHIN_S = 10.0
"""A run that has an end waits this long for broker and source."""
HEALTH_S = 60.0
FLUSH_S = 5.0
RELOAD = -1
"""Result of `Daemon.run` after SIGHUP: start again with the configuration as it is now."""


class Daemon:
    """One run of the program, from READY to the last message.

    Parameters
    ----------
    finite : whether the run has an end of its own: files only, or ``--once``
    environ : for the broker's password and the service manager
    """

    def __init__(self, config: Config, bundle: Bundle, *, finite: bool, environ: Mapping[str, str]) -> None:
        self._config = config
        self._finite = finite
        self._started_s = time.monotonic()
        self._started_at = datetime.now(timezone.utc)
        self._notifier = Notifier(environ)
        self._networks = Networks(bundle, config)
        self._networks.verify(bundle)
        self._outbox = Outbox(node=node_id(config), boot=secrets.token_hex(4), capacity=config.mqtt.queue)
        self._publisher = Publisher(
            config.mqtt,
            node=node_id(config),
            outbox=self._outbox,
            password=mqtt_password(config.mqtt, environ),
        )
        self._worker = Worker(
            self._networks,
            config,
            list(config.cameras),
            new_id=lambda: secrets.token_hex(4),
            clock=time.perf_counter,
            live=[camera for camera, settings in config.cameras.items() if is_live(settings)],
        )
        self._inbox = Inbox()
        self._stop = threading.Event()
        self._signal: int | None = None
        self._readers = [
            Reader(camera, settings, config, self._inbox.feed(camera), self._stop, self._started_at, once=finite)
            for camera, settings in config.cameras.items()
        ]
        self._health_due_s = self._watchdog_due_s = 0.0
        self._health_frames: dict[str, int] = {}
        self._health_s = self._started_s

    def run(self) -> int:
        """Run until the sources end or a signal comes; exit code, or `RELOAD`.

        Raises
        ------
        BrokerError, SourceError : in a finite run, when broker or source is not up in time or fails
        """
        self._catch_signals()
        self._publisher.start()
        try:
            if self._finite:
                self._await_broker()
            self._notifier.ready()
            self._outbox.accept(self._notice())
            self._tell_health()
            for reader in self._readers:
                reader.start()
            failure = self._loop()
        except BaseException:
            self._shut(flush_s=0.0)
            raise
        if not self._shut(flush_s=FLUSH_S) and self._finite:
            raise self._broker_error()
        if failure is not None:
            raise failure
        if self._signal == signal.SIGHUP:
            return RELOAD
        return 130 if self._signal == signal.SIGINT else 0

    def _await_broker(self) -> None:
        """Wait for the broker, until it refuses us, the time is up, or a signal comes."""
        deadline_s = time.monotonic() + UP_WITHIN_S
        while not self._publisher.wait_connected(TURN_S) and not self._stop.is_set():
            if self._publisher.state == "refused" or time.monotonic() >= deadline_s:
                raise self._broker_error()

    def _loop(self) -> EdgefaceError | None:
        """Turn until all sources have ended; the first failure of a finite source, if any."""
        running = {reader.camera for reader in self._readers}
        failure: EdgefaceError | None = None
        while running and not self._stop.is_set():
            taken = self._inbox.take(timeout_s=TURN_S)
            frames = [item for item in taken if isinstance(item, Frame)]
            for body in self._worker.away(running - {item.camera for item in taken}, time.monotonic()):
                self._outbox.accept(body)
            if frames:
                for body in self._worker.turn(frames):
                    self._outbox.accept(body)
            for item in taken:
                if isinstance(item, Ended):
                    running.discard(item.camera)
                    if item.error is not None and not self._finite:
                        logger.error("camera %s ended: %s", item.camera, item.error)
                    failure = failure or item.error
                    self._close_camera(item.camera, "source_ended")
            if time.monotonic() >= self._health_due_s:
                self._tell_health()
            self._feed_watchdog()
        for camera in sorted(running):
            self._close_camera(camera, "stopped")
        return failure

    def _feed_watchdog(self) -> None:
        """Tell the service manager that a turn is done, a few times a second at most."""
        now_s = time.monotonic()
        if now_s >= self._watchdog_due_s:
            self._watchdog_due_s = now_s + TURN_S
            self._notifier.watchdog()

    def _close_camera(self, camera: str, reason: Reason) -> None:
        for body in self._worker.close(camera, reason).bodies:
            self._outbox.accept(body)

    def _shut(self, *, flush_s: float) -> bool:
        """Stop readers, tell health once more, deliver what waits; True when all was delivered."""
        if self._signal != signal.SIGHUP:
            # A service manager that hears of a stop would kill the process that starts again.
            self._notifier.stopping()
        self._stop.set()
        self._inbox.close()
        for reader in self._readers:
            reader.close()
        self._tell_health()
        delivered = self._publisher.stop(timeout_s=flush_s)
        for reader in self._readers:
            # Without a broker a finite run ends before its readers begin.
            if reader.is_alive():
                reader.join(1.0)
        return delivered

    def _tell_health(self) -> None:
        now_s = time.monotonic()
        self._health_due_s = now_s + HEALTH_S
        elapsed_s = now_s - self._health_s
        cameras = {
            reader.camera: CameraHealth(
                state=reader.state,
                fps=_rate(self._worker.frames[reader.camera], self._health_frames.get(reader.camera), elapsed_s),
                dropped=reader.dropped,
                ignored=self._worker.ignored(reader.camera),
                deferred=self._worker.deferred(reader.camera),
            )
            for reader in self._readers
        }
        self._health_frames, self._health_s = dict(self._worker.frames), now_s
        if not self._stop.is_set():
            running = sum(camera.state == "running" for camera in cameras.values())
            self._notifier.status(f"{running} of {len(cameras)} cameras running, broker {self._publisher.state}")
        body = health_body(
            at=datetime.now(timezone.utc),
            uptime_s=now_s - self._started_s,
            cameras=cameras,
            stages_ms=self._worker.stages.medians_ms(),
            mqtt=self._publisher.health(),
            memory_mb=resident_mb(),
            invalid=self._networks.invalid,
        )
        self._outbox.accept(body)

    def _notice(self) -> Body:
        asked: list[tuple[Task | Literal["detect"], Network]] = [("detect", self._networks.detector.network)]
        asked += [(head.task, network) for network, head in self._networks.heads]
        return notice_body(
            networks=[NoticeNetwork(task=task, name=n.name, licence=n.licence, limits=n.limits) for task, n in asked],
            at=self._started_at,
        )

    def _broker_error(self) -> BrokerError:
        why = self._publisher.last_error or "no answer"
        left = self._outbox.counters().queued
        undelivered = f", {left} messages were not delivered" if left else ""
        return BrokerError(
            f"broker {self._publisher.broker}: {why}{undelivered}",
            fix="check [mqtt] and that the broker runs",
        )

    def _catch_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._signal is not None:
            # Asked twice: whoever asks does not want to wait for the broker.
            os._exit(128 + number)
        self._signal = number
        self._stop.set()


def _rate(count: int, before: int | None, elapsed_s: float) -> float | None:
    if before is None or elapsed_s <= 0:
        return None
    return round((count - before) / elapsed_s, 2)
