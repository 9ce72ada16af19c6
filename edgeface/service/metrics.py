"""The latest `health` as Prometheus metrics, for who asks over HTTP; nothing listens unless an address is given.

Names and units follow Prometheus: seconds, bytes, `_total` for what only counts up. What the node does not know is left
out. Numbers are those of `health`: at most a minute old.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, get_args

from edgeface.errors import ConfigError, RuntimeMissingError
from edgeface.events import About, HealthMessage, moment

logger = logging.getLogger(__name__)

MB = 1e6
Rows = list[tuple[dict[str, str], float | None]]
Family = tuple[str, str, Callable[[HealthMessage], Rows]]
"""Name, what it is, and the values by labels; None: not known."""


def _one(value: Callable[[HealthMessage], float | None]) -> Callable[[HealthMessage], Rows]:
    return lambda health: [({}, value(health))]


def _cameras(value: Callable[[Any], float | None]) -> Callable[[HealthMessage], Rows]:
    return lambda health: [({"camera": name}, value(camera)) for name, camera in health.cameras.items()]


def _machine(value: Callable[[Any], float | None]) -> Callable[[HealthMessage], Rows]:
    return _one(lambda health: None if health.machine is None else value(health.machine))


def _spool(value: Callable[[Any], float]) -> Callable[[HealthMessage], Rows]:
    return _one(lambda health: None if health.spool is None else value(health.spool))


def _info(health: HealthMessage) -> Rows:
    bundle, machine, configured = health.bundle, health.machine, health.configuration
    labels = {
        "node": health.node,
        "version": health.version,
        "bundle": bundle and bundle.name,
        "bundle_hash": bundle and bundle.hash,
        "configuration_hash": configured and configured.hash,
        "board": machine and machine.board,
        "serial": machine and machine.serial,
    }
    return [({name: value or "" for name, value in labels.items()}, 1)]


def _temperatures(health: HealthMessage) -> Rows:
    return [
        ({"sensor": name}, value) for name, value in (health.machine.temperatures if health.machine else {}).items()
    ]


def _throttled(health: HealthMessage) -> Rows:
    now = None if health.machine is None else health.machine.throttled
    return [({}, None if now is None else float(bool(now)))]


def _hold(health: HealthMessage) -> Rows:
    return [({}, None if health.hold is None else float(health.hold.level))]


def _certificates(health: HealthMessage) -> Rows:
    ends = health.mqtt.certificates
    told = {} if ends is None else {"broker": ends.broker, "own": ends.own}
    return [({"whose": whose}, _seconds(end)) for whose, end in told.items() if end is not None]


def _problems(health: HealthMessage) -> Rows:
    now = {problem.about for problem in health.problems}
    return [({"about": about}, float(about in now)) for about in get_args(About)]


def _mega(value: float | None) -> float | None:
    return None if value is None else value * MB


def _seconds(at: str) -> float:
    return moment(at).timestamp()


GAUGES: tuple[Family, ...] = (
    ("edgeface_info", "What runs here", _info),
    ("edgeface_health_timestamp_seconds", "When these numbers were taken", _one(lambda health: _seconds(health.at))),
    ("edgeface_uptime_seconds", "Since the start", _one(lambda health: health.uptime)),
    ("edgeface_problem", "1 while it is one, as in `problems` of `health`", _problems),
    ("edgeface_camera_running", "1 while it gives pictures", _cameras(lambda c: float(c.state == "running"))),
    ("edgeface_camera_frames_per_second", "Analysed", _cameras(lambda camera: camera.fps)),
    ("edgeface_camera_brightness_ratio", "Mean of the picture", _cameras(lambda camera: camera.brightness)),
    ("edgeface_camera_rested_ratio", "Of the frames, not searched as nothing moved", _cameras(lambda c: c.rested)),
    ("edgeface_camera_nearest_face_pixels", "Height of the largest face", _cameras(lambda camera: camera.nearest_px)),
    (
        "edgeface_stage_seconds",
        "Median a frame",
        lambda health: [({"stage": stage}, ms / 1000) for stage, ms in health.stages.items()],
    ),
    ("edgeface_mqtt_connected", "1 while connected", _one(lambda health: float(health.mqtt.state == "connected"))),
    ("edgeface_mqtt_queued_messages", "Not yet acknowledged", _one(lambda health: health.mqtt.queued)),
    ("edgeface_mqtt_parked_messages", "Refused by the broker", _one(lambda health: health.mqtt.parked)),
    (
        "edgeface_mqtt_undelivered_messages",
        "Of earlier runs",
        _one(lambda health: sum(run.messages for run in health.mqtt.undelivered)),
    ),
    ("edgeface_spool_waiting_messages", "Starts and ends that wait", _spool(lambda spool: spool.waiting)),
    (
        "edgeface_spool_on_disk",
        "1 while what waits survives the program",
        _spool(lambda spool: float(spool.state == "disk")),
    ),
    ("edgeface_spool_bytes", "On the disk", _spool(lambda spool: spool.bytes)),
    ("edgeface_certificate_end_timestamp_seconds", "When a certificate ends", _certificates),
    (
        "edgeface_configuration_refused",
        "1 while the latest reload was not taken",
        _one(lambda health: float(bool(health.configuration and health.configuration.error))),
    ),
    ("edgeface_resident_memory_bytes", "Of this program", _one(lambda health: _mega(health.memory_mb))),
    ("edgeface_processor_ratio", "Of one core, by this program", _machine(lambda machine: machine.cpu)),
    ("edgeface_memory_free_bytes", "Of the machine", _machine(lambda machine: _mega(machine.memory_free_mb))),
    ("edgeface_disk_free_bytes", "Where state is kept", _machine(lambda machine: _mega(machine.disk_free_mb))),
    ("edgeface_temperature_celsius", "By sensor", _temperatures),
    ("edgeface_degradation_level", "0 while everything is done", _hold),
    ("edgeface_throttled", "1 while voltage or heat slows the board", _throttled),
)
COUNTERS: tuple[Family, ...] = (
    ("edgeface_camera_dropped_frames", "Replaced by newer ones", _cameras(lambda camera: camera.dropped)),
    ("edgeface_camera_deferred_inferences", "Had to wait for a later frame", _cameras(lambda camera: camera.deferred)),
    (
        "edgeface_mqtt_dropped_messages",
        "Dropped or replaced by newer ones",
        lambda health: [({"kind": kind}, count) for kind, count in health.mqtt.dropped.items()],
    ),
    (
        "edgeface_invalid_answers",
        "Answers of a network that were none",
        lambda health: [({"network": name}, count) for name, count in health.invalid.items()],
    ),
)


def expect_metrics(address: str | None) -> None:
    """Raise where an address is given and cannot hold: ConfigError, RuntimeMissingError."""
    if address is None:
        return
    _endpoint(address)
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise RuntimeMissingError(
            "metrics.address is set and prometheus_client is not installed", fix="pip install 'edgeface[metrics]'"
        ) from None


class Metrics:
    """Serves the latest `health` at an address.

    An address that cannot be had now (another program has it, or the network is not up yet) is said once and tried
    again with each `health`: the daemon does not end for it.
    """

    def __init__(self) -> None:
        self._latest: HealthMessage | None = None
        self._address: str | None = None
        self._server: Any = None
        self._complained = False

    def use(self, address: str | None) -> None:
        """Serve there from the next `offer` on; None: nowhere."""
        if address != self._address:
            self.close()
            self._address, self._complained = address, False

    def offer(self, message: HealthMessage) -> None:
        """Take the newest numbers."""
        self._latest = message
        if self._address is not None and self._server is None:
            self._open(self._address)

    def collect(self) -> Iterator[Any]:
        """What the registry of prometheus_client asks for, in one of its threads."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        health = self._latest
        if health is None:
            return
        for make, families in ((GaugeMetricFamily, GAUGES), (CounterMetricFamily, COUNTERS)):
            for name, text, values in families:
                rows = [(labels, value) for labels, value in values(health) if value is not None]
                if rows:
                    family = make(name, text, labels=list(rows[0][0]))
                    for labels, value in rows:
                        family.add_metric(list(labels.values()), value)
                    yield family

    def close(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _open(self, address: str) -> None:
        from prometheus_client import CollectorRegistry, start_http_server

        host, port = _endpoint(address)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        try:
            self._server, _ = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            if not self._complained:
                logger.warning("metrics cannot be served at %s: %s; tried again each minute", address, error.strerror)
            self._complained = True
            return
        logger.info("metrics are served at http://%s/metrics", address)
        self._complained = False


def _endpoint(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not 1 <= int(port) <= 65_535:
        raise ConfigError(f"metrics.address: {port} is no port", fix="give HOST:PORT with a port from 1 to 65535")
    try:
        # As the socket will do: what it cannot name is no address that may come up later.
        host.encode("idna")
    except UnicodeError:
        raise ConfigError(f"metrics.address: {host} is no name of a host", fix="give HOST:PORT") from None
    return host.strip("[]"), int(port)
