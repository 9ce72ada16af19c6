"""What Home Assistant makes of a line and of a zone: a device each, beside that of their camera.

So each has a topic of its own, by which it is taken back when it leaves the configuration. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeface.publish.entities import device_id, device_message, place_id, truth


def line_device(base: str, node: str, camera: str, line: str, ways: Sequence[str], *, people: bool) -> dict[str, Any]:
    """Describe a line; ``ways`` are its directions to the right and to the left.

    The keys of the sensors are none of the directions' names: those may change and keep their history.
    """
    counts = f"((value_json.today.get('lines') or {{}}).get('{line}') or {{}})"
    entities: dict[str, dict[str, Any]] = {
        key: {
            "platform": "sensor",
            "name": f"{way} today",
            "icon": "mdi:counter",
            "state_class": "total_increasing",
            "value_template": f"{{{{ {counts}.get('{way}') }}}}",
        }
        for key, way in zip(("right", "left"), ways, strict=True)
    }
    entities["crossing"] = (
        {
            "platform": "event",
            "name": "Crossing",
            "icon": "mdi:sign-direction",
            "state_topic": f"{base}/{camera}/places",
            "event_types": list(ways),
            # An empty object is passed over without a line; what is replayed happened long ago.
            "value_template": f"{{% if value_json.place == '{line}' and not value_json.get('replayed') %}}"
            "{{ {'event_type': value_json.direction, 'visit': value_json.visit} | to_json }}{% else %}{}{% endif %}",
        }
        if people
        else {"platform": "event"}
    )
    return _device(base, node, camera, place_id(node, camera, "line", line), line, "edgeface line", entities)


def zone_device(base: str, node: str, camera: str, zone: str, *, people: bool) -> dict[str, Any]:
    """Describe a zone."""
    count = f"(value_json.get('zones') or {{}}).get('{zone}')"
    totals = f"((value_json.today.get('zones') or {{}}).get('{zone}') or {{}})"
    entities: dict[str, dict[str, Any]] = {
        "occupancy": {
            "platform": "binary_sensor",
            "name": "Occupancy",
            "device_class": "occupancy",
            "value_template": truth(count),
        },
        "count": {
            "platform": "sensor",
            "name": "People",
            "icon": "mdi:account-group",
            "state_class": "measurement",
            "value_template": f"{{{{ {count} }}}}",
        },
        "entries": {
            "platform": "sensor",
            "name": "Entries today",
            "icon": "mdi:counter",
            "state_class": "total_increasing",
            "value_template": f"{{{{ {totals}.get('entries') }}}}",
        },
        "dwell": {
            "platform": "sensor",
            "name": "Time today",
            "device_class": "duration",
            "state_class": "total_increasing",
            "unit_of_measurement": "s",
            "suggested_display_precision": 0,
            "value_template": f"{{{{ {totals}.get('seconds') }}}}",
        },
    }
    if not people:
        entities |= {key: {"platform": entities[key]["platform"]} for key in ("occupancy", "count")}
    return _device(base, node, camera, place_id(node, camera, "zone", zone), zone, "edgeface zone", entities)


def _device(
    base: str, node: str, camera: str, own: str, place: str, model: str, entities: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    device = {
        "identifiers": [own],
        "name": f"Edgeface {node} {camera} {place}",
        "model": model,
        "via_device": device_id(node, camera),
    }
    return device_message(base, device, entities, state_topic=f"{base}/{camera}/state")
