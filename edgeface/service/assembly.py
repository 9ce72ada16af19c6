"""What one configuration makes: networks, worker, inbox and readers; built and tried before it takes another's place.

`Assembly` is also what ``edgeface config check`` builds, so that a configuration is judged as `run` would judge it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import cv2

from edgeface import board
from edgeface.backoff import Backoff
from edgeface.bundle import Bundle, CategoricalHead, chosen_networks
from edgeface.config import Config, hide_credentials, mqtt_password
from edgeface.engine.networks import Networks
from edgeface.engine.turn import Worker
from edgeface.errors import EdgefaceError, UsageError
from edgeface.events import Body, CameraHealth
from edgeface.files import look
from edgeface.machine import node_id
from edgeface.publish.client import tls_context
from edgeface.publish.discovery import Announcement, announcement
from edgeface.service.inbox import Ended, Inbox
from edgeface.service.metrics import expect_metrics
from edgeface.service.reader import BACKOFF, Reader
from edgeface.service.standing import Look
from edgeface.service.vitals import bundle_health, config_hash
from edgeface.sources import SCHEMES, is_live, open_source
from edgeface.types import Frame, Reason

USUAL_WH = (1280, 720)
"""A camera's picture; whether the detector has a size for it is asked before there is one."""


class Assembly:
    """Everything that a configuration makes, ready to start; nothing runs yet.

    Parameters
    ----------
    environ : for the broker's password
    once : whether the run ends with its sources, also when they are cameras
    whole : whether the cameras are all that this node has, not some that a command line names in their place
    backoff : pauses before a live camera is opened again

    Attributes
    ----------
    live : cameras for which time goes on without us
    finite : whether the run has an end of its own: files only, or ``once``
    bundle, config_hash : which networks and which configuration these are, for `health`
    running : cameras whose sources have not ended
    failure : the first error of a source that ended
    announcement : what Home Assistant is told, or None

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
    ) -> None:
        self.config = config
        self.loaded_at = datetime.now(timezone.utc)
        self.node = node_id(config)
        self.password = expect_files(config, environ)
        expect_sources(config, self.loaded_at)
        expect_metrics(config.metrics.address)
        self.networks = load_networks(config, bundle)
        self.bundle = bundle_health(bundle)
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
        self.finite = once or not self.live
        self.running = set(config.cameras)
        self.failure: EdgefaceError | None = None
        self.announcement = announce(config, bundle, node=self.node, whole=whole)
        self._ended: list[tuple[str, EdgefaceError | None]] = []
        self._inbox = Inbox()
        self._halt = threading.Event()
        self._readers = [
            Reader(
                camera,
                partial(open_source, camera, settings, limits=config.limits, started_at=self.loaded_at),
                self._inbox.feed(camera),
                self._halt,
                once=self.finite or not is_live(settings),
                frozen_after_s=settings.frozen_after,
                backoff=backoff,
            )
            for camera, settings in config.cameras.items()
        ]
        self._counted: dict[str, int] = {}

    def start(self) -> None:
        """Begin to read the cameras; from now on OpenCV has as many threads as a network."""
        cv2.setNumThreads(self.networks.threads)
        for reader in self._readers:
            reader.start()

    def turn(self, timeout_s: float) -> list[Body]:
        """Take what the cameras gave, wait for it at most ``timeout_s``; the messages about it."""
        taken = self._inbox.take(timeout_s=timeout_s)
        frames = [item for item in taken if isinstance(item, Frame)]
        bodies = self.worker.away(self.running - {item.camera for item in taken}, time.monotonic())
        if frames:
            bodies += self.worker.turn(frames)
        for item in taken:
            if isinstance(item, Ended):
                self.running.discard(item.camera)
                self._ended.append((item.camera, item.error))
                self.failure = self.failure or item.error
                bodies += self.worker.close(item.camera, "source_ended").bodies
        return bodies

    def take_ended(self) -> list[tuple[str, EdgefaceError | None]]:
        """Cameras that ended since the last call, each with its error."""
        ended, self._ended = self._ended, []
        return ended

    def end_visits(self, reason: Reason) -> list[Body]:
        """End the visits of all cameras that still run."""
        return [body for camera in sorted(self.running) for body in self.worker.close(camera, reason).bodies]

    def halt(self) -> None:
        """Ask the readers to leave."""
        self._halt.set()
        self._inbox.close()
        for reader in self._readers:
            reader.close()

    def join(self, timeout_s: float) -> None:
        """Wait for each reader at most ``timeout_s``, so that it lets go of its device."""
        for reader in self._readers:
            # Without a broker a finite run ends before its readers begin.
            if reader.is_alive():
                reader.join(timeout_s)

    def looks(self) -> dict[str, Look]:
        """How the cameras fare, for their states."""
        return {
            reader.camera: Look(status=reader.state, frames=self.worker.frames[reader.camera])
            for reader in self._readers
        }

    def health(self, elapsed_s: float) -> dict[str, CameraHealth]:
        """How the cameras fare; frames a second over the ``elapsed_s`` since the last call."""
        cameras = {reader.camera: self._camera_health(reader, elapsed_s) for reader in self._readers}
        self._counted = dict(self.worker.frames)
        return cameras

    def _camera_health(self, reader: Reader, elapsed_s: float) -> CameraHealth:
        brightness, nearest_px = self.worker.view(reader.camera)
        # What was seen before the camera went is nothing that is seen.
        seeing = reader.state == "running"
        return CameraHealth(
            state=reader.state,
            fps=_rate(self.worker.frames[reader.camera], self._counted.get(reader.camera), elapsed_s),
            dropped=reader.dropped,
            ignored=self.worker.ignored(reader.camera),
            deferred=self.worker.deferred(reader.camera),
            brightness=round(brightness, 3) if seeing and brightness is not None else None,
            nearest_px=round(nearest_px, 1) if seeing and nearest_px is not None else None,
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
    asked = chosen_networks(bundle, config)
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
        whole=whole,
    )


def load_networks(config: Config, bundle: Bundle) -> Networks:
    """Load and try every network, and see whether the detector has a size.

    Raises
    ------
    BundleError, ConfigError, RuntimeMissingError : as the errors say
    """
    networks = Networks(bundle, config)
    networks.detector.size_for(USUAL_WH)
    networks.verify(bundle)
    return networks


def _rate(count: int, before: int | None, elapsed_s: float) -> float | None:
    if before is None or elapsed_s <= 0:
        return None
    return round((count - before) / elapsed_s, 2)
