"""What Home Assistant is told of a node and its cameras, so that it makes devices and entities of them by itself.

One retained message for the node and one for each camera, on ``<prefix>/device/<id>/config`` (device discovery, Home
Assistant 2024.11 and later). Ids and keys rest on the ids of node and camera and never change: they are the names under
which people's history, automations and areas are kept. Home Assistant drops a key that it does not know without a word,
so what was made of these messages is compared with the real one (``scripts/slow home-assistant``). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from edgeface.config import HomeAssistant
from edgeface.events import Counted
from edgeface.publish.entities import CAMERA, camera_device, device_id, node_device, place_id
from edgeface.publish.place_entities import line_device, zone_device

NOTHING = Counted()
IDS = re.compile(r"(?P<camera>(?:[^_]|__)+)(?:_(?:line|zone)_(?:[^_]|__)+)?")
"""What follows in the id of a device: the camera's, and that of its line or zone."""


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is announced of one node.

    Attributes
    ----------
    prefix : Home Assistant's
    base : ``<prefix>/<node>`` of our own topics
    own : what the ids of this node's cameras begin with
    messages : payload by topic; the node's first, for the cameras refer to it
    cameras : ids of all that are configured, announced or not
    whole : whether these are all cameras of the node: what it announced before and is not among them can go
    """

    prefix: str
    base: str
    own: str
    messages: Mapping[str, bytes]
    cameras: frozenset[str]
    whole: bool = True

    @property
    def birth_topic(self) -> str:
        """Where Home Assistant says ``online``."""
        return f"{self.prefix}/status"

    @property
    def config_topics(self) -> str:
        """Where messages of discovery lie, others' among them."""
        return config_topic(self.prefix, "+")

    def camera_of(self, topic: str) -> str | None:
        """Id of the camera of this node to which a topic belongs; None for any other topic."""
        return camera_of(self.prefix, self.own, topic)


def announcement(
    settings: HomeAssistant,
    *,
    prefix: str,
    node: str,
    cameras: Collection[str],
    live: Collection[str],
    labels: Sequence[str] | None,
    age: bool,
    temperature: bool,
    commands: bool = False,
    bands: Sequence[str] = (),
    people: bool = True,
    whole: bool = True,
    counted: Mapping[str, Counted] = {},
) -> Announcement | None:
    """Say what is announced; None where nothing is.

    Parameters
    ----------
    prefix, node, cameras : of our own topics
    live : cameras that are none of files
    labels : of expressions, in the manifest's order; None: nobody looks at them
    age : whether apparent age is estimated
    temperature : whether this machine has a sensor
    commands : whether there are switches and a button
    bands : of age, where these are told and no years
    people : whether anything is told of single people; False: totals only
    whole : whether ``cameras`` are all that the configuration has
    counted : lines, zones and attention of each camera
    """
    told = [camera for camera in cameras if settings.discovery == "on" or camera in live]
    if settings.discovery == "off" or not told:
        return None
    base, ha = f"{prefix.rstrip('/')}/{node}", settings.prefix.rstrip("/")
    devices = {
        device_id(node): node_device(
            base, node, temperature=temperature, commands=commands, expression=labels is not None
        )
    }
    devices |= {
        device_id(node, camera): camera_device(
            base,
            node,
            camera,
            labels=labels,
            age=age,
            commands=commands,
            bands=bands,
            people=people,
            attention=counted.get(camera, NOTHING).attention,
        )
        for camera in told
    }
    for camera in told:
        devices |= _places(base, node, camera, counted.get(camera, NOTHING), people=people)
    return Announcement(
        prefix=ha,
        base=base,
        own=f"{device_id(node)}{CAMERA}",
        messages={config_topic(ha, name): msgspec.json.encode(device) for name, device in devices.items()},
        cameras=frozenset(cameras),
        whole=whole,
    )


def _places(base: str, node: str, camera: str, counted: Counted, *, people: bool) -> dict[str, Any]:
    """Devices of a camera's lines and zones."""
    lines = {
        place_id(node, camera, "line", line): line_device(base, node, camera, line, ways, people=people)
        for line, ways in counted.lines.items()
    }
    zones = {
        place_id(node, camera, "zone", zone): zone_device(base, node, camera, zone, people=people)
        for zone in counted.zones
    }
    return lines | zones


def config_topic(prefix: str, device: str) -> str:
    """Where a device is announced."""
    return f"{prefix}/device/{device}/config"


def node_topic(prefix: str, node: str, topic: str) -> bool:
    """Whether a node, one of its cameras, or a line or zone of one is announced on a topic."""
    own = device_id(node)
    return topic == config_topic(prefix, own) or camera_of(prefix, f"{own}{CAMERA}", topic) is not None


def camera_of(prefix: str, own: str, topic: str) -> str | None:
    """Id of the camera that is announced on a topic, or a line or zone of which is; None for any other topic.

    ``own`` is what the ids of a node's cameras begin with.
    """
    begin, end = f"{prefix}/device/{own}", "/config"
    if not (topic.startswith(begin) and topic.endswith(end)):
        return None
    found = IDS.fullmatch(topic[len(begin) : -len(end)])
    return found["camera"].replace("__", "_") if found else None
