"""Metrics for Prometheus, and the examples that read them: what they name is there."""

from __future__ import annotations

import json
import logging
import re
import socket
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from brokers import HOST, free_port
from people import NOON
from prometheus_client.parser import text_string_to_metric_families

from edgeface.errors import ConfigError, RuntimeMissingError
from edgeface.events import (
    CameraHealth,
    Certificates,
    ConfigurationHealth,
    HealthMessage,
    HoldHealth,
    MachineHealth,
    MqttHealth,
    Problem,
    SpoolHealth,
    Undelivered,
    health_body,
    schemas,
)
from edgeface.service.metrics import COUNTERS, GAUGES, Metrics, expect_metrics

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"


def health(**values: Any) -> HealthMessage:
    message = health_body(
        **{
            "at": NOON,
            "uptime_s": 61.26,
            "cameras": {
                "main": CameraHealth(state="running", fps=14.9, dropped=2, rested=0.25, brightness=0.4, nearest_px=80.0)
            },
            "stages_ms": {"detect": 5.0},
            "mqtt": MqttHealth(
                state="connected",
                protocol="5",
                queued=0,
                parked=0,
                dropped={"faces": 3},
                undelivered=[Undelivered(boot="a", messages=6, visits=5, exact=True)],
                certificates=Certificates(broker="2027-01-01T00:00:00.000Z", own=None),
            ),
            "memory_mb": 155.5,
            "configuration": ConfigurationHealth(loaded_at="2026-01-01T00:00:00.000Z", error=None, hash="cafe"),
            "invalid": {"yunet": 1},
            "version": "0.1.0",
            "machine": MachineHealth(
                board="Pi",
                serial=None,
                temperature=52.0,
                temperatures={"cpu": 52.0},
                throttled=[],
                throttled_since_boot=[],
                cpu=0.4,
                load=0.5,
                memory_free_mb=100.0,
                disk_free_mb=1000.0,
                clock_synchronised=True,
            ),
            "spool": SpoolHealth(state="disk", error=None, number=8, waiting=2, bytes=4096),
            "hold": HoldHealth(level=2, levels=5, name="detection/2", text="less", causes=["heat"]),
            **values,
        }
    ).message
    assert isinstance(message, HealthMessage)
    return msgspec.structs.replace(message, node="hall")


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    made = Metrics()
    yield made
    made.close()


def read(port: int) -> dict[str, dict[str, float]]:
    """What is served: values by labels by name."""
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[" ".join(sample.labels.values())] = sample.value
    return found


def test_health_is_served_where_it_is_asked_for(metrics: Metrics) -> None:
    port = free_port()
    metrics.use(f"{HOST}:{port}")
    metrics.offer(health())
    told = read(port)
    assert set(told) == {name for name, _, _ in GAUGES} | {f"{name}_total" for name, _, _ in COUNTERS}
    assert told["edgeface_info"] == {"Pi   cafe hall  0.1.0": 1}
    assert told["edgeface_stage_seconds"] == {"detect": 0.005}
    assert told["edgeface_resident_memory_bytes"] == {"": 155.5e6}
    assert told["edgeface_mqtt_dropped_messages_total"] == {"faces": 3}
    assert told["edgeface_degradation_level"] == {"": 2}
    assert (told["edgeface_spool_waiting_messages"], told["edgeface_spool_on_disk"]) == ({"": 2}, {"": 1})
    assert told["edgeface_certificate_end_timestamp_seconds"] == {"broker": 1798761600}
    assert set(told["edgeface_problem"].values()) == {0}
    away = Problem(about="camera", text="camera main is away")
    metrics.offer(health(uptime_s=99, problems=[away], memory_mb=None, machine=None, cameras={}))
    told = read(port)
    assert told["edgeface_uptime_seconds"] == {"": 99}
    assert [about for about, value in told["edgeface_problem"].items() if value] == ["camera"]
    assert "edgeface_resident_memory_bytes" not in told, "what is not known is left out"
    metrics.use(None)
    with socket.socket() as sock:
        assert sock.connect_ex((HOST, port)) != 0


def test_an_address_that_cannot_be_had_is_said_once_and_tried_again(
    metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edgeface")
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        metrics.use(f"{HOST}:{port}")
        metrics.offer(health())
        metrics.offer(health())
        assert [record.getMessage() for record in caplog.records] == [
            f"metrics cannot be served at {HOST}:{port}: Address already in use; tried again each minute"
        ]
    metrics.offer(health())
    assert read(port)["edgeface_mqtt_connected"] == {"": 1}


def test_what_cannot_hold_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    expect_metrics(None)
    expect_metrics("[::1]:9464")
    with pytest.raises(ConfigError, match="70000 is no port"):
        expect_metrics("localhost:70000")
    for host in ("a..b", "a" * 64):
        with pytest.raises(ConfigError, match=f"{host} is no name of a host"):
            expect_metrics(f"{host}:9464")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    expect_metrics(None)
    with pytest.raises(RuntimeMissingError, match=r"edgeface\[metrics\]"):
        expect_metrics("localhost:9464")


def test_grafana_asks_for_metrics_and_labels_that_exist() -> None:
    board = json.loads((EXAMPLES / "grafana.json").read_text())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    names = {name for name, _, _ in GAUGES} | {f"{name}_total" for name, _, _ in COUNTERS}
    labels = {
        label
        for _, _, values in (*GAUGES, *COUNTERS)
        for row, _ in values(health())
        for label in row
    } | {"instance"}  # fmt: skip
    asks: set[str] = set()
    asked = [target for panel in board["panels"] for target in panel["targets"]]
    for target in asked:
        found = set(re.findall(r"edgeface_\w+", target["expr"]))
        assert found, target
        assert found <= names | labels, target
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels
        asks |= found
        for grouped in re.findall(r"by \(([^)]*)\)", target["expr"]):
            assert set(re.split(r",\s*", grouped)) <= labels
    assert {"edgeface_spool_waiting_messages", "edgeface_spool_on_disk"} <= asks, "what waits for the broker is shown"


def test_telegraf_asks_for_fields_that_exist() -> None:
    config = tomllib.loads((EXAMPLES / "telegraf.conf").read_text())
    seen: set[str] = set()
    for consumer in config["inputs"]["mqtt_consumer"]:
        (topic,) = consumer["topics"]
        schema = schemas()[topic.rsplit("/", 1)[-1]]
        for part in consumer["json_v2"]:
            wanted = [*part.get("tag", []), *part.get("field", []), *part.get("object", [])]
            paths = [one["path"] for one in wanted] + ([part["timestamp_path"]] if "timestamp_path" in part else [])
            for path in paths:
                assert has(schema, schema, path.split(".")), f"{topic} has no {path}"
                seen.add(path)
    assert len(seen) > 15
    assert {"spool.state", "spool.waiting"} <= seen, "what waits for the broker is kept"


def has(root: dict[str, Any], schema: dict[str, Any], path: list[str]) -> bool:
    """Whether a schema knows a path of fields."""
    if "$ref" in schema:
        return has(root, root["$defs"][schema["$ref"].rsplit("/", 1)[-1]], path)
    if "anyOf" in schema:
        return any(has(root, one, path) for one in schema["anyOf"])
    if not path:
        return True
    if path[0] in schema.get("properties", {}):
        return has(root, schema["properties"][path[0]], path[1:])
    names = schema.get("propertyNames", {})
    return "additionalProperties" in schema and ("enum" not in names or path[0] in names["enum"])
