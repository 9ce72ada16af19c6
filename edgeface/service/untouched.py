"""What a change of the configuration leaves as it is: networks, the reading of a camera, the rules for people. Pure."""

from __future__ import annotations

import msgspec

from edgeface.config import Config

ABOUT_NO_CAMERA = ("node", "mqtt", "spool", "home_assistant", "metrics", "commands")
ABOUT_PEOPLE = ("detector", "attributes", "schedule", "networks", "visits", "runtime", "bundle")


def same_networks(old: Config, new: Config) -> bool:
    """Whether both load the same networks of one bundle in the same way."""
    return _loading(old) == _loading(new)


def same_rules(old: Config, new: Config) -> bool:
    """Whether people are followed, sampled and told of by the same rules."""
    return (old.detector, old.visits, old.schedule) == (new.detector, new.visits, new.schedule)


def same_reading(old: Config, new: Config, camera: str) -> bool:
    """Whether the pictures of a camera come as before.

    A table that is not known to be about something else counts: who forgets to name it here ends visits, and keeps
    nothing that does not hold any more.
    """
    return old.cameras[camera] == new.cameras[camera] and _rest(old) == _rest(new)


def _loading(config: Config) -> tuple[object, ...]:
    detector, runtime = config.detector, config.runtime
    return detector.network, detector.size, config.attributes, config.networks, runtime.name, runtime.threads


def _rest(config: Config) -> Config:
    usual = Config()
    elsewhere = (*ABOUT_NO_CAMERA, *ABOUT_PEOPLE, "cameras")
    return msgspec.structs.replace(config, **{name: getattr(usual, name) for name in elsewhere})
