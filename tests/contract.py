"""Holds what a subscriber heard against the MQTT API: schema on disk, topic, QoS, retained, sequence."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
from brokers import Auditor

from edgeface.events import decode, kind_of_topic

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"
QOS = {"visits": 1, "places": 1, "faces": 0, "state": 1, "summary": 1, "health": 0, "notice": 1}


def hold(auditor: Auditor, *, node: str, prefix: str = "edgeface", gaps: int = 0) -> dict[str, int]:
    """Check every message of one run of one node; returns how many there were of each kind.

    ``gaps`` is how many messages `health` admits to have dropped.
    """
    counts: dict[str, int] = {}
    seqs: set[int] = set()
    boots: set[str] = set()
    for message in list(auditor.heard):
        if message.topic.startswith("homeassistant/"):
            continue
        assert message.topic.startswith(f"{prefix}/{node}/"), message.topic
        kind = kind_of_topic(message.topic)
        if kind is None:
            assert message.topic == f"{prefix}/{node}/availability"
            assert message.payload in {b"online", b"offline"}
            continue
        value = message.json
        schema = json.loads((SCHEMAS / f"{kind}.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(value)
        # What the types do not know would be lost on the way through them.
        assert msgspec.json.encode(decode(kind, message.payload)) == message.payload
        camera = f"{value['camera']}/" if "camera" in value else ""
        assert message.topic == f"{prefix}/{node}/{camera}{kind}"
        assert message.qos == QOS[kind] or not auditor.tells_qos, message
        assert value["node"] == node
        seqs.add(value["seq"])
        boots.add(value["boot"])
        counts[kind] = counts.get(kind, 0) + 1
    assert len(boots) <= 1, boots
    if seqs:
        assert max(seqs) + 1 - len(seqs) <= gaps, f"missing: {sorted(set(range(max(seqs))) - seqs)}"
    return counts
