"""What a change of the configuration leaves as it is: networks, cameras, rules, outbox and connection. Pure."""

from __future__ import annotations

import msgspec

from edgeface.config import Camera, Config, Mqtt

ABOUT_NO_CAMERA = ("node", "mqtt", "spool", "home_assistant", "metrics", "commands")
ABOUT_PEOPLE = ("detector", "attributes", "schedule", "networks", "visits", "attention", "runtime", "bundle")


def same_networks(old: Config, new: Config) -> bool:
    """Whether both load the same networks of one bundle in the same way."""
    return _loading(old) == _loading(new)


def same_rules(old: Config, new: Config, camera: str) -> bool:
    """Whether people before a camera are followed, sampled, counted and told of by the same rules."""
    return _rules(old, camera) == _rules(new, camera)


def same_reading(old: Config, new: Config, camera: str) -> bool:
    """Whether the pictures of a camera come as before.

    A table that is not known to be about something else counts: who forgets to name it here ends visits, and keeps
    nothing that does not hold any more.
    """
    return _pictures(old.cameras[camera]) == _pictures(new.cameras[camera]) and _rest(old) == _rest(new)


def outbox_of(config: Config, node: str) -> tuple[str, str, bool, bool]:
    """What all topics begin with, whether visits are told, and spooled: what an outbox has for good."""
    return config.mqtt.prefix.rstrip("/"), node, config.privacy.least_count is None, spooled(config)


def connection_of(config: Config, password: str | None) -> tuple[Mqtt, str | None, bool]:
    """The settings without what a connection does not see, the password, and whether commands are asked for."""
    settings = msgspec.structs.replace(config.mqtt, queue=Mqtt().queue)
    return settings, password, config.commands.enabled


def capacity(config: Config) -> int:
    """How many messages on visits may wait."""
    return max(config.mqtt.queue, config.spool.messages) if spooled(config) else config.mqtt.queue


def spooled(config: Config) -> bool:
    """Whether visits are kept on the disk until the broker has them: not those that nobody is told of."""
    return config.spool.enabled and config.privacy.least_count is None


def _loading(config: Config) -> tuple[object, ...]:
    detector, runtime = config.detector, config.runtime
    chosen = (detector.network, detector.size, config.attributes, config.networks)
    return *chosen, runtime.name, runtime.provider, runtime.threads


def _pictures(camera: Camera) -> Camera:
    """What a camera's pictures depend on: lines and zones lie in them, and change nothing."""
    return msgspec.structs.replace(camera, lines=(), zones=())


def _rules(config: Config, camera: str) -> tuple[object, ...]:
    own = config.cameras[camera]
    return config.detector, config.visits, config.schedule, config.attention, own.lines, own.zones


def _rest(config: Config) -> Config:
    usual = Config()
    elsewhere = (*ABOUT_NO_CAMERA, *ABOUT_PEOPLE, "cameras")
    return msgspec.structs.replace(config, **{name: getattr(usual, name) for name in elsewhere})
