"""What one configuration makes: networks, worker, inbox and readers; built and tried before it takes another's place.

`Assembly` is also what ``edgeface config check`` builds, so that a configuration is judged as `run` would judge it.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2

from edgeface import board
from edgeface.backoff import Backoff
from edgeface.bundle import Bundle, CategoricalHead, chosen_detector, chosen_networks
from edgeface.config import Camera, Config, hide_credentials, mqtt_password
from edgeface.detect import measurable
from edgeface.engine.networks import Networks
from edgeface.engine.turn import Worker
from edgeface.errors import EdgefaceError, UsageError
from edgeface.events import Body, CameraHealth, Counted, Pause
from edgeface.files import look
from edgeface.machine import node_id
from edgeface.proof import Accelerated
from edgeface.publish.client import tls_context
from edgeface.publish.discovery import Announcement, announcement
from edgeface.questions import band_names
from edgeface.service.hours import Hours, Now, local_now
from edgeface.service.inbox import Ended, Inbox, Pace
from edgeface.service.loading import ON_PROCESSOR, load_accelerated
from edgeface.service.metrics import expect_metrics
from edgeface.service.notice import notice
from edgeface.service.reader import BACKOFF, Reader
from edgeface.service.standing import Look
from edgeface.service.untouched import same_networks, same_reading, same_rules
from edgeface.service.vitals import bundle_health, config_hash
from edgeface.sources import SCHEMES, Source, is_live, open_source
from edgeface.tuning import Tuned
from edgeface.types import Frame, Reason, Task

logger = logging.getLogger(__name__)

LET_GO_S = 5.0
"""Longest wait for the reader before, when a camera is opened again after a pause."""
CameraStatus = Literal["starting", "running", "away", "ended", "paused"]


class Assembly:
    """Everything that a configuration makes, ready to start; nothing runs yet.

    Parameters
    ----------
    environ : for the broker's password
    once : whether the run ends with its sources, also when they are cameras
    whole : whether the cameras are all that this node has, not some that a command line names in their place
    backoff : pauses before a live camera is opened again
    before : what runs now; its networks serve on where the change does not touch them
    now : local time, for `privacy.hours`
    accelerated : what the networks are to compute on
    tuned : the configuration with what runs best on this board; None: as it is

    Attributes
    ----------
    live : cameras for which time goes on without us
    finite : whether the run has an end of its own: files only, or ``once``
    bundle, config_hash : which networks and which configuration these are, for `health`
    counted : what is counted before each camera beside visits
    running : cameras whose sources have not ended
    announcement : what Home Assistant is told, or None
    opened, accelerated, tuned : the bundle, what its networks compute on, and how they are loaded

    Raises
    ------
    ConfigError, UsageError, BundleError, RuntimeMissingError : it cannot hold; nothing has been touched
    """

    def __init__(
        self,
        config: Config,
        bundle: Bundle,
        *,
        environ: Mapping[str, str],
        once: bool,
        whole: bool = True,
        backoff: Backoff = BACKOFF,
        before: Assembly | None = None,
        now: Now = local_now,
        accelerated: Accelerated = ON_PROCESSOR,
        tuned: Tuned | None = None,
    ) -> None:
        self.config, self.opened = config, bundle
        self.tuned = tuned or Tuned(config=config, standing="none")
        self.loaded_at = datetime.now(timezone.utc)
        self.node = node_id(config)
        self.password = expect_files(config, environ)
        expect_sources(config, self.loaded_at)
        expect_metrics(config.metrics.address)
        self.bundle = bundle_health(bundle)
        self.networks: Networks
        self.accelerated: Accelerated
        loading = self.tuned.config
        known = before is not None and before.bundle == self.bundle and same_networks(before.tuned.config, loading)
        if before is not None and known and before.accelerated.provider == accelerated.provider:
            self.networks, self.accelerated = before.networks, accelerated
        else:
            self.networks, self.accelerated = load_accelerated(loading, bundle, accelerated)
        self.config_hash = config_hash(config)
        self.live = frozenset(camera for camera, settings in config.cameras.items() if is_live(settings))
        self.worker = Worker(
            self.networks,
            config,
            list(config.cameras),
            new_id=lambda: secrets.token_hex(4),
            clock=time.perf_counter,
            live=self.live,
        )
        self._paces = {camera: Pace(settings.rate) for camera, settings in config.cameras.items()}
        self.finite = once or not self.live
        self.running = set(config.cameras)
        told = measurable(config, self.networks.detector.network)
        self.counted = {camera: Counted.of(told, camera) for camera in config.cameras}
        self.announcement = announce(config, bundle, node=self.node, whole=whole)
        self._notice = partial(notice, config, bundle, node=self.node, at=self.loaded_at)
        self._hours = Hours(config.privacy.hours, now=now)
        self._closed = False
        self._ended: list[tuple[str, EdgefaceError | None]] = []
        self._failures: dict[str, EdgefaceError] = {}
        self._backoff = backoff
        self._inbox = Inbox()
        self._readers = {camera: self._reader(camera) for camera in config.cameras}
        self._counted: dict[str, int] = {}
        self._paused: frozenset[str] = frozenset()
        self._started = False

    @property
    def failure(self) -> EdgefaceError | None:
        """The first error of a source that ended."""
        return next(iter(self._failures.values()), None)

    def notice(self, muted: Collection[Task]) -> Body:
        """The notice, without the questions that are not answered."""
        return self._notice(muted=muted)

    def untouched(self, old: Assembly) -> frozenset[str]:
        """Cameras that are read as another assembly reads them: their visits need not end."""
        return frozenset(
            camera
            for camera in self.config.cameras.keys() & old.config.cameras.keys()
            if same_reading(old.config, self.config, camera) and self._once(camera) == old._once(camera)
        )

    def take_over(self, old: Assembly, cameras: Collection[str]) -> list[Body]:
        """Go on with these cameras of another assembly: with readers and people; the messages of it."""
        bodies: list[Body] = []
        same = self.networks is old.networks
        self._inbox = old._inbox
        self._paused, self._closed = old._paused & set(cameras), old._closed
        for camera in self.config.cameras:
            if camera not in cameras:
                self._readers[camera] = self._reader(camera)
                continue
            self._readers[camera] = old._readers.pop(camera)
            as_before = same and same_rules(old.config, self.config, camera)
            bodies += self.worker.take_over(camera, old.worker, same=as_before)
            self._counted |= {name: count for name, count in old._counted.items() if name == camera}
            self._failures |= {name: error for name, error in old._failures.items() if name == camera}
            if camera not in old.running:
                self.running.discard(camera)
        return bodies

    def start(self) -> None:
        """Begin to read the cameras that nobody reads; from now on OpenCV has as many threads as a network."""
        cv2.setNumThreads(self.networks.threads)
        self._started = True
        for camera, reader in self._readers.items():
            if reader.ident is None and camera not in self._paused & self.live:
                reader.start()

    def restrict(self, paused: Collection[str], muted: Collection[Task]) -> list[Body]:
        """Look at all cameras but these, and answer all questions but these; the messages about it.

        A live camera that is paused is let go of; a file waits.
        """
        self.worker.mute(muted)
        before, self._paused = self._paused, frozenset(paused)
        bodies: list[Body] = []
        for camera in sorted(self._paused - before):
            bodies += self.worker.close(camera, "paused").bodies if camera in self.running else []
            if camera in self.live:
                self._readers[camera].close()
                self._inbox.drop(self._readers[camera].feed)
        for camera in sorted((before - self._paused) & self.live & self.running):
            self._readers[camera] = self._reader(camera, after=self._readers[camera])
            if self._started:
                self._readers[camera].start()
        return bodies

    def turn(self, timeout_s: float) -> list[Body]:
        """Take what the cameras gave, wait for it at most ``timeout_s``; the messages about it."""
        taken = self._inbox.take(timeout_s=timeout_s, but=self._paused)
        bodies = self._keep_hours()
        frames = [] if self._closed else [item for item in taken if isinstance(item, Frame) and self._is_due(item)]
        bodies += self.worker.away(self.running - {item.camera for item in taken}, time.monotonic())
        if frames:
            bodies += self.worker.turn(frames)
        for item in taken:
            if isinstance(item, Ended):
                self.running.discard(item.camera)
                self._ended.append((item.camera, item.error))
                if item.error is not None:
                    self._failures[item.camera] = item.error
                bodies += self.worker.close(item.camera, "source_ended").bodies
        return bodies

    def _is_due(self, frame: Frame) -> bool:
        """Whether a frame is to be analysed: all of a file, of a live camera as many as are asked for."""
        return frame.camera not in self.live or self._paces[frame.camera].takes(frame.time_s)

    def take_ended(self) -> list[tuple[str, EdgefaceError | None]]:
        """Cameras that ended since the last call, each with its error."""
        ended, self._ended = self._ended, []
        return ended

    def end_visits(self, reason: Reason, *, but: Collection[str] = ()) -> list[Body]:
        """End the visits of all cameras that still run, ``but`` of these."""
        ending = sorted(self.running - set(but))
        return [body for camera in ending for body in self.worker.close(camera, reason).bodies]

    def _keep_hours(self) -> list[Body]:
        """See whether people may be looked at now; the ends of their visits when that is over."""
        before, self._closed = self._closed, self._hours.closed()
        if before == self._closed:
            return []
        what = "within privacy.hours: analysis goes on" if before else "outside of privacy.hours: analysis pauses"
        logger.info("%s (it is %s here)", what, self._hours.clock())
        return [] if before else self.end_visits("paused")

    def halt(self) -> None:
        """Ask the readers to leave."""
        for reader in self._readers.values():
            reader.close()
            self._inbox.drop(reader.feed)

    def join(self, timeout_s: float) -> None:
        """Wait for the readers at most ``timeout_s``, so that they let go of their devices."""
        until_s = time.monotonic() + timeout_s
        for reader in self._readers.values():
            # Without a broker a finite run ends before its readers begin.
            if reader.is_alive():
                reader.join(max(0.0, until_s - time.monotonic()))

    def looks(self) -> dict[str, Look]:
        """How the cameras fare, for their states."""
        return {
            camera: Look(
                status=self._status(reader),
                frames=self.worker.frames[camera],
                paused=self._why_paused(reader),
                view=reader.view if camera in self.live else None,
                absent=self.worker.absent(camera),
            )
            for camera, reader in self._readers.items()
        }

    def health(self, elapsed_s: float) -> dict[str, CameraHealth]:
        """How the cameras fare; frames a second over the ``elapsed_s`` since the last call."""
        cameras = {camera: self._camera_health(reader, elapsed_s) for camera, reader in self._readers.items()}
        self._counted = dict(self.worker.frames)
        return cameras

    def _once(self, camera: str) -> bool:
        return self.finite or camera not in self.live

    def _why_paused(self, reader: Reader) -> Pause | None:
        if reader.camera not in self.running:
            return None
        return "command" if reader.camera in self._paused else "hours" if self._hours.closed() else None

    def _status(self, reader: Reader) -> CameraStatus:
        if self._why_paused(reader) is not None:
            return "paused"
        # Its thread may not have seen yet that it may go on.
        return "starting" if reader.state == "paused" else reader.state

    def _reader(self, camera: str, *, after: Reader | None = None) -> Reader:
        """A reader that begins when the one before it has let go of the device, or hangs."""
        opening = partial(
            _open_after,
            None if after is None or after.ident is None else after.gone,
            camera,
            self.config.cameras[camera],
            limits=self.config.limits,
            started_at=self.loaded_at,
        )
        return Reader(
            camera,
            opening,
            self._inbox.feed(camera),
            threading.Event(),
            once=self._once(camera),
            # A file is read on, so that it ends; its frames are not looked at.
            closed=self._hours.closed if camera in self.live else lambda: False,
            frozen_after_s=self.config.cameras[camera].frozen_after,
            backoff=self._backoff,
        )

    def _camera_health(self, reader: Reader, elapsed_s: float) -> CameraHealth:
        brightness, nearest_px = self.worker.view(reader.camera)
        # What was seen before the camera went is nothing that is seen.
        status = self._status(reader)
        seeing = status == "running"
        # From minute to minute it would tell whether somebody is there.
        discreet = self.config.privacy.least_count is not None
        near = nearest_px if seeing and not discreet else None
        rested = None if discreet else self.worker.rested(reader.camera)
        return CameraHealth(
            state=status,
            fps=_rate(self.worker.frames[reader.camera], self._counted.get(reader.camera), elapsed_s),
            dropped=reader.dropped,
            ignored=self.worker.ignored(reader.camera),
            deferred=self.worker.deferred(reader.camera),
            rested=None if rested is None else round(rested, 3),
            brightness=round(brightness, 3) if seeing and brightness is not None else None,
            nearest_px=None if near is None else round(near, 1),
            rate=self.worker.rate(reader.camera) if seeing else None,
        )


def expect_files(config: Config, environ: Mapping[str, str]) -> str | None:
    """The broker's password, after certificates and password file were seen to be there and right.

    Raises
    ------
    ConfigError : one of them is missing or is not what it should be
    """
    tls_context(config.mqtt)
    return mqtt_password(config.mqtt, environ)


def expect_sources(config: Config, started_at: datetime) -> None:
    """Raise UsageError for a file or folder that is not there; a camera may come later, and is not looked for."""
    for name, camera in config.cameras.items():
        source = str(camera.source)
        shown = hide_credentials(source)
        if not is_live(camera) and "://" in shown:
            raise UsageError(
                f"cameras.{name}.source: {shown} has a scheme that is not known",
                fix=f"write one of {' '.join(SCHEMES)}, in small letters",
            )
        if not is_live(camera) and "@" in source and look(Path(source)) is None:
            raise UsageError(
                f"cameras.{name}.source: ***@{shown.rpartition('@')[2]} does not exist",
                fix="give a file, a folder, a camera number, or an address that begins with its scheme (rtsp://...)",
            )
        try:
            open_source(name, camera, limits=config.limits, started_at=started_at).close()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(f"{shown} cannot be looked at: {why}", fix="check the path and its permissions") from None


def announce(config: Config, bundle: Bundle, *, node: str, whole: bool = True) -> Announcement | None:
    """What Home Assistant is told of a node; see `announcement`."""
    asked, privacy = chosen_networks(bundle, config), config.privacy
    told = measurable(config, chosen_detector(bundle, config))
    shown = asked["expression"].answers["expression"] if "expression" in asked else None
    return announcement(
        config.home_assistant,
        prefix=config.mqtt.prefix,
        node=node,
        cameras=list(config.cameras),
        live={camera for camera, settings in config.cameras.items() if is_live(settings)},
        labels=shown.labels if isinstance(shown, CategoricalHead) else None,
        age="age" in asked,
        temperature=bool(board.temperatures()),
        commands=config.commands.enabled,
        bands=band_names(privacy.age_bands) if privacy.age_bands else (),
        people=privacy.least_count is None,
        whole=whole,
        counted={camera: Counted.of(told, camera) for camera in config.cameras},
    )


def _open_after(gone: threading.Event | None, camera: str, settings: Camera, **options: Any) -> Source:
    if gone is not None:
        gone.wait(LET_GO_S)
    return open_source(camera, settings, **options)


def _rate(count: int, before: int | None, elapsed_s: float) -> float | None:
    if before is None or elapsed_s <= 0:
        return None
    return round((count - before) / elapsed_s, 2)
