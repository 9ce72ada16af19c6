"""What Home Assistant makes of a node and of a camera: a device each, with its entities.

Each component has the keys of its platform in Home Assistant's MQTT integration. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from edgeface import __version__

URL = "https://github.com/edgeface/edgeface"
OWNER = "edgeface"
CAMERA = "_camera_"
"""Between the ids of node and camera. In these every underscore is doubled, so no two devices share an id."""
PlaceKind = Literal["line", "zone"]


def device_id(node: str, camera: str | None = None) -> str:
    """Id of a device, also the begin of its entities' unique ids; letters, digits, - and _ only, and never changed."""
    own = f"{OWNER}_{escaped(node)}"
    return own if camera is None else f"{own}{CAMERA}{escaped(camera)}"


def place_id(node: str, camera: str, kind: PlaceKind, place: str) -> str:
    """Id of the device of a line or a zone."""
    return f"{device_id(node, camera)}_{kind}_{escaped(place)}"


def escaped(name: str) -> str:
    """Part of a device's id that stands for a name."""
    return name.replace("_", "__")


def node_device(base: str, node: str, *, temperature: bool, commands: bool, expression: bool) -> dict[str, Any]:
    """Describe the node; the flags say which entities there are, the others are taken back."""
    # The `health` of an older version, which the broker may still have, lacks newer fields.
    entities: dict[str, dict[str, Any]] = {
        "problem": {
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "value_template": "{{ 'ON' if value_json.get('problems') else 'OFF' }}",
            "json_attributes_topic": f"{base}/health",
            "json_attributes_template": "{{ {'problems': value_json.get('problems', []) | map(attribute='text') "
            "| list} | to_json }}",
        },
        "undelivered": {
            "platform": "sensor",
            "name": "Undelivered messages",
            "icon": "mdi:tray-full",
            "state_class": "measurement",
            "entity_category": "diagnostic",
            "value_template": "{{ value_json.mqtt.queued + value_json.mqtt.parked }}",
        },
        "drops": {
            "platform": "sensor",
            "name": "Dropped visits",
            "icon": "mdi:delete-outline",
            "state_class": "total_increasing",
            "entity_category": "diagnostic",
            "value_template": "{{ value_json.mqtt.dropped.visits }}",
        },
        "start": {
            "platform": "sensor",
            "name": "Last start",
            "device_class": "timestamp",
            "entity_category": "diagnostic",
            "value_template": "{{ value_json.started }}",
        },
        "temperature": {
            "platform": "sensor",
            "name": "Temperature",
            "device_class": "temperature",
            "state_class": "measurement",
            "unit_of_measurement": "°C",
            "entity_category": "diagnostic",
            "value_template": "{{ (value_json.get('machine') or {}).get('temperature') }}",
        }
        if temperature
        else GONE_SENSOR,
        "expressions": {
            "platform": "switch",
            "name": "Expressions",
            "icon": "mdi:emoticon-outline",
            "entity_category": "config",
            "command_topic": f"{base}/command/expression",
            "command_template": _command("'on': value == 'ON'"),
            "value_template": "{{ 'ON' if (value_json.get('commands') or {}).get('expression') else 'OFF' }}",
        }
        if commands and expression
        else GONE_SWITCH,
        "restart": {
            "platform": "button",
            "name": "Restart",
            "device_class": "restart",
            "entity_category": "config",
            "command_topic": f"{base}/command/restart",
            "command_template": _command(),
        }
        if commands
        else GONE_BUTTON,
    }
    device = {"identifiers": [device_id(node)], "name": f"Edgeface {node}", "model": "edgeface node"}
    return device_message(base, device, entities, state_topic=f"{base}/health")


def camera_device(
    base: str,
    node: str,
    camera: str,
    *,
    labels: Sequence[str] | None,
    age: bool,
    commands: bool,
    bands: Sequence[str],
    people: bool,
    attention: bool,
) -> dict[str, Any]:
    """Describe one camera; parameters as of `discovery.announcement`."""
    health = {"platform": "sensor", "state_topic": f"{base}/health", "state_class": "measurement"}
    diagnostic = {"entity_category": "diagnostic", "enabled_by_default": False}
    of_camera = f"value_json.cameras.get('{camera}', {{}})"
    entities: dict[str, dict[str, Any]] = {
        "occupancy": {
            "platform": "binary_sensor",
            "name": "Occupancy",
            "device_class": "occupancy",
            "value_template": truth("value_json.occupied"),
        },
        "count": {
            "platform": "sensor",
            "name": "People",
            "icon": "mdi:account-group",
            "state_class": "measurement",
            "value_template": "{{ value_json.count }}",
        },
        "visits": {
            "platform": "sensor",
            "name": "Visits today",
            "icon": "mdi:counter",
            "state_class": "total_increasing",
            "value_template": "{{ value_json.today.visits }}",
        },
        "visit": {
            "platform": "event",
            "name": "Visit",
            "icon": "mdi:account-arrow-right",
            "state_topic": f"{base}/{camera}/visits",
            "event_types": ["arrived", "left"],
            "value_template": EVENT_OF_BANDS if bands else EVENT,
        },
        "expression": {
            "platform": "sensor",
            "name": "Expression",
            "icon": "mdi:emoticon-outline",
            "device_class": "enum",
            "options": list(labels),
            "value_template": "{{ value_json.expression }}",
        }
        if labels
        else GONE_SENSOR,
        "age": {
            "platform": "sensor",
            "name": "Mean apparent age",
            "icon": "mdi:account-clock",
            "state_class": "measurement",
            "unit_of_measurement": "years",
            "suggested_display_precision": 0,
            "value_template": "{{ value_json.age }}",
        }
        if age and not bands
        else GONE_SENSOR,
        "age_band": {
            "platform": "sensor",
            "name": "Age band",
            "icon": "mdi:account-clock",
            "device_class": "enum",
            "options": list(bands),
            "value_template": "{{ value_json.get('age_band') }}",
        }
        if age and bands
        else GONE_SENSOR,
        "looking": {
            "platform": "sensor",
            "name": "Facing the camera",
            "icon": "mdi:account-eye",
            "state_class": "measurement",
            "value_template": "{{ value_json.get('looking') }}",
        }
        if attention
        else GONE_SENSOR,
        "glances": {
            "platform": "sensor",
            "name": "Glances today",
            "icon": "mdi:eye-outline",
            "state_class": "total_increasing",
            "value_template": "{{ (value_json.today.get('attention') or {}).get('glances') }}",
        }
        if attention
        else GONE_SENSOR,
        "pause": {
            "platform": "switch",
            "name": "Pause analysis",
            "icon": "mdi:pause",
            "entity_category": "config",
            "command_topic": f"{base}/command/pause",
            "command_template": _command(f"'on': value == 'ON', 'camera': '{camera}'"),
            # Out of its hours a camera is paused too; no switch can change that.
            "value_template": "{{ 'ON' if value_json.get('paused') == 'command' else 'OFF' }}",
        }
        if commands
        else GONE_SWITCH,
        "connection": {
            "platform": "binary_sensor",
            "name": "Camera connection",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "value_template": "{{ none if value_json.status == 'starting' else "
            "'ON' if value_json.status in ['running', 'paused'] else 'OFF' }}",
        },
        "tamper": {
            "platform": "binary_sensor",
            "name": "Covered or moved",
            "device_class": "tamper",
            "entity_category": "diagnostic",
            "value_template": "{% set view = value_json.get('view') %}"
            "{{ none if view is none else 'ON' if view in ['covered', 'moved'] else 'OFF' }}",
        },
        "fps": {
            **health,
            "name": "Frame rate",
            "icon": "mdi:filmstrip",
            "unit_of_measurement": "fps",
            "suggested_display_precision": 1,
            "value_template": f"{{{{ {of_camera}.get('fps') }}}}",
            **diagnostic,
        },
        "nearest": {
            **health,
            "name": "Nearest face",
            "icon": "mdi:face-recognition",
            "unit_of_measurement": "px",
            "suggested_display_precision": 0,
            "value_template": f"{{{{ {of_camera}.get('nearest_px') }}}}",
            **diagnostic,
        },
        "brightness": {
            **health,
            "name": "Brightness",
            "icon": "mdi:brightness-6",
            "unit_of_measurement": "%",
            "suggested_display_precision": 0,
            "value_template": f"{{% set share = {of_camera}.get('brightness') %}}"
            "{{ none if share is none else (share * 100) | round(1) }}",
            **diagnostic,
        },
    }
    if not people:
        entities |= {key: {"platform": one["platform"]} for key in OF_PEOPLE if (one := entities[key])}
    device = {
        "identifiers": [device_id(node, camera)],
        "name": f"Edgeface {node} {camera}",
        "model": "edgeface camera",
        "via_device": device_id(node),
    }
    return device_message(base, device, entities, state_topic=f"{base}/{camera}/state")


OF_PEOPLE = ("occupancy", "count", "looking", "visit", "expression", "age", "age_band", "nearest")
"""Entities whose values tell of single people."""
EVENT = (
    "{% if value_json.event == 'update' or value_json.get('replayed') %}{}{% else %}"
    "{{ {'event_type': 'arrived' if value_json.event == 'start' else 'left', 'visit': value_json.visit, "
    "'seconds': value_json.seconds, 'reason': value_json.reason, "
    "'age': (value_json.age or {}).get('years'), 'age_low': (value_json.age or {}).get('low'), "
    "'age_high': (value_json.age or {}).get('high'), "
    "'gender': (value_json.gender or {}).get('label'), "
    "'gender_probability': (value_json.gender or {}).get('probability'), "
    "'expression': (value_json.expression or {}).get('dominant')} | to_json }}{% endif %}"
)
"""An empty object is what Home Assistant passes over without a line. What is replayed happened long ago: nobody's light
is to go on for it."""
EVENT_OF_BANDS = EVENT.replace(
    "'age': (value_json.age or {}).get('years'), 'age_low': (value_json.age or {}).get('low'), "
    "'age_high': (value_json.age or {}).get('high'), ",
    "'age_band': value_json.get('age_band'), ",
)


GONE_SENSOR, GONE_SWITCH, GONE_BUTTON = ({"platform": platform} for platform in ("sensor", "switch", "button"))
"""A component that has only its platform is removed: one that a configuration before this one had."""


def _command(fields: str = "") -> str:
    """Template of a command: its fields, as Jinja writes them in a dict, and when it was said."""
    return f"{{{{ {{'at': utcnow().isoformat(){f', {fields}' if fields else ''}}} | to_json }}}}"


def device_message(
    base: str, device: Mapping[str, Any], entities: Mapping[str, Mapping[str, Any]], *, state_topic: str
) -> dict[str, Any]:
    """Put a device and its entities together; a component that has only its platform is removed."""
    (own,) = device["identifiers"]
    return {
        "device": {**device, "manufacturer": "edgeface", "sw_version": __version__},
        "origin": {"name": "edgeface", "sw_version": __version__, "support_url": URL},
        "availability_topic": f"{base}/availability",
        "state_topic": state_topic,
        "qos": 1,
        "components": {
            # Older versions do not hand the root's QoS down.
            key: {"unique_id": f"{own}_{key}", "qos": 1, **entity} if len(entity) > 1 else entity
            for key, entity in entities.items()
        },
    }


def truth(value: str) -> str:
    """Template of a binary sensor; what is null is unknown."""
    return f"{{{{ none if {value} is none else 'ON' if {value} else 'OFF' }}}}"
