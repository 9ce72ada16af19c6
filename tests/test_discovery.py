"""Home Assistant finds node and cameras: the messages, and how they come and go at a real broker."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as paho
import pytest
from brokers import HOST, Auditor, Mosquitto, Scripted, eventually
from daemons import NO_CAMERA, Child
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from people import NOON
from publishing import Make

from edgeface.cli.main import main
from edgeface.config import HomeAssistant, load_config
from edgeface.events import (
    CameraState,
    Counted,
    ExpressionCommand,
    PauseCommand,
    RestartCommand,
    StateMessage,
    Today,
    judge,
)
from edgeface.publish import announcer as announcing
from edgeface.publish.announcer import Announcer
from edgeface.publish.discovery import Announcement, announcement, camera_of, node_topic
from edgeface.publish.entities import device_id

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
NODE, DOOR = "homeassistant/device/edgeface_hall/config", "homeassistant/device/edgeface_hall_camera_door/config"
names = st.from_regex(r"\A[a-zA-Z0-9_-]{1,12}\Z")


def announced(*cameras: str, discovery: Any = "auto", files: tuple[str, ...] = (), **options: Any) -> Announcement:
    values: dict[str, Any] = {"labels": LABELS, "age": True, "temperature": True, **options}
    told = announcement(
        HomeAssistant(discovery=discovery),
        prefix="edgeface",
        node="hall",
        cameras=[*cameras, *files],
        live=set(cameras),
        **values,
    )
    assert told is not None
    return told


def device(told: Announcement, topic: str) -> dict[str, Any]:
    value = json.loads(told.messages[topic])
    assert isinstance(value, dict)
    return value


def components(told: Announcement, topic: str) -> dict[str, dict[str, Any]]:
    return dict(device(told, topic)["components"])


def there(told: Announcement, topic: str = DOOR) -> dict[str, dict[str, Any]]:
    """Components that Home Assistant is to have."""
    return {key: one for key, one in components(told, topic).items() if len(one) > 1}


def test_one_message_for_the_node_and_one_for_each_camera() -> None:
    told = announced("door", "desk")
    assert list(told.messages) == [NODE, DOOR, DOOR.replace("door", "desk")]
    node, door = device(told, NODE), device(told, DOOR)
    assert door["device"]["via_device"] == "edgeface_hall"
    assert node["device"]["identifiers"] == ["edgeface_hall"]
    assert (door["availability_topic"], door["state_topic"]) == (
        "edgeface/hall/availability",
        "edgeface/hall/door/state",
    )
    assert node["availability_topic"] == door["availability_topic"]


KNOWN = {
    "binary_sensor": {
        "device_class",
        "value_template",
        "state_topic",
        "json_attributes_topic",
        "json_attributes_template",
    },
    "sensor": {
        "device_class",
        "value_template",
        "state_topic",
        "state_class",
        "unit_of_measurement",
        "options",
        "suggested_display_precision",
    },
    "event": {"event_types", "value_template", "state_topic"},
    "switch": {"command_topic", "command_template", "value_template"},
    "button": {"command_topic", "command_template", "device_class"},
}
COMMON = {"platform", "unique_id", "name", "qos", "icon", "entity_category", "enabled_by_default"}


COUNTED = Counted(lines={"entry": ("in", "out")}, zones={"bench": (0.0, 0.0, 1.0, 1.0)}, attention=True)
LINE, ZONE = (DOOR.replace("door", f"door_{place}") for place in ("line_entry", "zone_bench"))


@pytest.mark.parametrize("topic", [NODE, DOOR, LINE, ZONE])
def test_no_key_that_home_assistant_drops_or_refuses(topic: str) -> None:
    """It drops what it does not know in a component without a word, and refuses a device that lacks something."""
    message = device(announced("door", commands=True, counted={"door": COUNTED}), topic)
    assert set(message) == {"device", "origin", "availability_topic", "state_topic", "qos", "components"}
    assert set(message["device"]) <= {"identifiers", "name", "model", "manufacturer", "sw_version", "via_device"}
    assert message["origin"]["name"] == "edgeface"
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic)
    assert [key for key, one in message["components"].items() if len(one) == 1] == ["age_band"] * (topic == DOOR)
    for key, one in message["components"].items():
        if len(one) == 1:
            continue
        assert set(one) <= COMMON | KNOWN[one["platform"]], key
        assert one["qos"] == 1, "older versions do not hand the root's down"
        assert one["unique_id"] == f"{message['device']['identifiers'][0]}_{key}"
        assert not {"object_id", "default_entity_id"} & set(one)
        assert one["name"] and not one["name"].startswith("Edgeface")
        assert one.get("entity_category") in ({"config"} if "command_topic" in one else {None, "diagnostic"})
        assert one.get("device_class") != "enum" or not {"state_class", "unit_of_measurement"} & set(one)
        assert "options" not in one or one["device_class"] == "enum"


def test_the_entities_of_a_camera() -> None:
    door = there(announced("door"))
    assert {key: one["platform"] for key, one in door.items()} == {
        "occupancy": "binary_sensor",
        "count": "sensor",
        "visits": "sensor",
        "visit": "event",
        "expression": "sensor",
        "age": "sensor",
        "connection": "binary_sensor",
        "tamper": "binary_sensor",
        "fps": "sensor",
        "nearest": "sensor",
        "brightness": "sensor",
    }
    assert door["visits"]["state_class"] == "total_increasing"
    assert door["visit"]["event_types"] == ["arrived", "left"]
    assert door["expression"]["options"] == list(LABELS)
    off = {key for key, one in door.items() if one.get("enabled_by_default") is False}
    assert off == {"fps", "nearest", "brightness"}
    assert {key for key, one in door.items() if "entity_category" in one} == off | {"connection", "tamper"}


def test_with_bands_of_age_no_years_are_announced() -> None:
    told = announced("door", bands=("0-17", "18+"))
    door = there(told)
    assert "age" not in door
    assert door["age_band"]["options"] == ["0-17", "18+"]
    assert "years" not in door["visit"]["value_template"] and "age_band" in door["visit"]["value_template"]
    assert "years" not in json.dumps(door)


def test_where_only_totals_are_told_only_they_are_announced() -> None:
    without = components(announced("door", people=False), DOOR)
    stay = {"visits", "connection", "tamper", "fps", "brightness"}
    assert {key for key, one in without.items() if len(one) > 1} == stay
    # Home Assistant finds what it is to remove by platform and key.
    before = components(announced("door"), DOOR)
    assert {key: one["platform"] for key, one in without.items()} == {k: one["platform"] for k, one in before.items()}


def test_the_entities_of_a_node() -> None:
    node = there(announced("door"), NODE)
    assert set(node) == {"problem", "undelivered", "drops", "start", "temperature"}
    assert {one["entity_category"] for one in node.values()} == {"diagnostic"}


def said(component: dict[str, Any], name: str, word: str = "") -> Any:
    """The command that Home Assistant sends by a component."""
    return judge(name, render(component["command_template"], value=word).encode(), retained=False, now=NOON)


def test_switches_and_a_button_where_there_are_commands() -> None:
    told = announced("door", commands=True)
    pause, node = components(told, DOOR)["pause"], components(told, NODE)
    assert pause["command_topic"] == "edgeface/hall/command/pause"
    for word, on in (("ON", True), ("OFF", False)):
        assert said(pause, "pause", word) == PauseCommand(at=NOON, on=on, camera="door")
        assert said(node["expressions"], "expression", word) == ExpressionCommand(at=NOON, on=on)
    assert said(node["restart"], "restart") == RestartCommand(at=NOON)
    assert node["restart"]["command_topic"] == "edgeface/hall/command/restart"
    # Nobody estimates expressions: there is nothing to switch.
    assert components(announced("door", commands=True, labels=None), NODE)["expressions"] == {"platform": "switch"}


def test_none_where_there_are_no_commands() -> None:
    told = announced("door")
    assert components(told, DOOR)["pause"] == {"platform": "switch"}
    node = components(told, NODE)
    assert (node["expressions"], node["restart"]) == ({"platform": "switch"}, {"platform": "button"})
    assert not any(b"command_topic" in payload for payload in told.messages.values())


def test_what_is_not_there_is_taken_back() -> None:
    """A component that is left out of an update stays; one that has only its platform goes."""
    told = announced("door", labels=None, age=False, temperature=False)
    assert components(told, NODE)["temperature"] == {"platform": "sensor"}
    door = components(told, DOOR)
    assert (door["expression"], door["age"]) == ({"platform": "sensor"}, {"platform": "sensor"})


def test_files_are_announced_only_when_asked() -> None:
    assert list(announced("door", files=("film",)).messages) == [NODE, DOOR]
    assert len(announced("door", files=("film",), discovery="on").messages) == 3
    only_files: dict[str, Any] = {
        "prefix": "edgeface",
        "node": "hall",
        "cameras": ["film"],
        "live": (),
        "labels": None,
        "age": True,
        "temperature": False,
    }
    assert announcement(HomeAssistant(), **only_files) is None
    assert announcement(HomeAssistant(discovery="off"), **{**only_files, "live": ["film"]}) is None


@given(names, names, names, names)
def test_no_two_devices_share_an_id(node: str, camera: str, other_node: str, other_camera: str) -> None:
    if (node, camera) != (other_node, other_camera):
        assert device_id(node, camera) != device_id(other_node, other_camera)
    assert device_id(node, camera) != device_id(other_node)
    assert device_id(node) != device_id(other_node) or node == other_node


@given(names, names, names)
def test_a_topic_tells_its_camera(node: str, camera: str, other: str) -> None:
    topic = f"homeassistant/device/{device_id(node, camera)}/config"
    assert camera_of("homeassistant", f"{device_id(node)}_camera_", topic) == camera
    assert node_topic("homeassistant", node, topic)
    assert node_topic("homeassistant", other, topic) == (other == node)


def render(template: str, value_json: object = None, **values: object) -> str:
    """As Home Assistant does: Jinja in a sandbox, ``None`` for null."""
    sandbox = pytest.importorskip("jinja2.sandbox").ImmutableSandboxedEnvironment()
    sandbox.filters["to_json"] = json.dumps
    sandbox.globals["utcnow"] = lambda: NOON
    return str(sandbox.from_string(template).render(value_json=value_json, **values))


def state(**values: Any) -> dict[str, Any]:
    body = CameraState("door").news(at=NOON, now_s=0.0, today=Today(date="2026-03-14", visits=7, seconds=1.0))
    assert body is not None and isinstance(body.message, StateMessage)
    return {**msgspec.to_builtins(body.message), **values}


@pytest.mark.parametrize(
    ("key", "value", "seen"),
    [
        ("occupancy", {"occupied": True}, "ON"),
        ("occupancy", {"occupied": False}, "OFF"),
        ("occupancy", {"occupied": None}, "None"),
        ("count", {"count": 3}, "3"),
        ("count", {"count": None}, "None"),
        ("visits", {}, "7"),
        ("expression", {"expression": "sad"}, "sad"),
        ("expression", {"expression": None}, "None"),
        ("age", {"age": 31.5}, "31.5"),
        ("connection", {"status": "running"}, "ON"),
        ("connection", {"status": "away"}, "OFF"),
        ("connection", {"status": "starting"}, "None"),
        ("tamper", {"view": "covered"}, "ON"),
        ("tamper", {"view": "dark"}, "OFF"),
        ("tamper", {"view": None}, "None"),
        ("tamper", {}, "None"),
        ("pause", {"status": "paused", "paused": "command"}, "ON"),
        ("pause", {"status": "paused", "paused": "hours"}, "OFF"),
        ("pause", {"status": "running"}, "OFF"),
    ],
)
def test_what_home_assistant_reads_in_a_state(key: str, value: dict[str, Any], seen: str) -> None:
    template = components(announced("door", commands=True), DOOR)[key]["value_template"]
    assert render(template, state(**value)) == seen


def test_an_event_carries_the_estimates() -> None:
    template = components(announced("door"), DOOR)["visit"]["value_template"]
    visit: dict[str, Any] = {
        "event": "end",
        "visit": "3f2a",
        "seconds": 4.5,
        "reason": "lost",
        "age": {"years": 31.0, "low": 24.0, "high": 39.0},
        "gender": None,
        "expression": {"dominant": "happy"},
    }
    left = json.loads(render(template, visit))
    assert left["event_type"] == "left"
    assert (left["age"], left["gender"], left["expression"]) == (31.0, None, "happy")
    assert json.loads(render(template, {**visit, "event": "start"}))["event_type"] == "arrived"
    # An empty object is passed over without a line in the log; what happened long ago switches no light on.
    assert render(template, {**visit, "event": "update"}) == "{}"
    assert render(template, {**visit, "replayed": True}) == "{}"


def test_a_problem_says_which() -> None:
    template = there(announced("door"), NODE)["problem"]["json_attributes_template"]
    away = {"about": "camera", "text": "camera door is away"}
    assert json.loads(render(template, {"problems": [away]})) == {"problems": ["camera door is away"]}
    assert json.loads(render(template, {})) == {"problems": []}, "of an older version"


HEALTH: dict[str, Any] = {
    "started": "2026-03-14T12:00:00.000Z",
    "cameras": {"door": {"state": "running", "fps": 9.5, "nearest_px": 120.4, "brightness": 0.512}},
    "mqtt": {"parked": 0, "queued": 2, "dropped": {"visits": 3}},
    "configuration": {"error": None},
    "machine": {"temperature": 51.5},
}


@pytest.mark.parametrize(
    ("topic", "key", "value", "seen"),
    [
        (NODE, "problem", {}, "OFF"),
        (NODE, "problem", {"problems": []}, "OFF"),
        (NODE, "problem", {"problems": [{"about": "camera", "text": "camera door is away"}]}, "ON"),
        (NODE, "undelivered", {}, "2"),
        (NODE, "drops", {}, "3"),
        (NODE, "start", {}, "2026-03-14T12:00:00.000Z"),
        (NODE, "temperature", {}, "51.5"),
        (NODE, "temperature", {"machine": None}, "None"),
        (NODE, "expressions", {}, "OFF"),
        (NODE, "expressions", {"commands": {"expression": True}}, "ON"),
        (DOOR, "fps", {}, "9.5"),
        (DOOR, "fps", {"cameras": {}}, "None"),
        (DOOR, "nearest", {}, "120.4"),
        (DOOR, "brightness", {}, "51.2"),
        (DOOR, "brightness", {"cameras": {"door": {}}}, "None"),
    ],
)
def test_what_home_assistant_reads_in_a_health(topic: str, key: str, value: dict[str, Any], seen: str) -> None:
    template = components(announced("door", commands=True), topic)[key]["value_template"]
    assert render(template, {**HEALTH, **value}) == seen


# At a broker.


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcing, "GRACE_S", (0.05, 0.1))


def say(port: int, topic: str, payload: str, *, retain: bool = False) -> None:
    """Publish as somebody else."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect(HOST, port)
    client.loop_start()
    client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def configs(auditor: Auditor) -> list[tuple[str, bool]]:
    """Topics of discovery as they were written, and whether they were emptied."""
    return [(h.topic, not h.payload) for h in list(auditor.heard) if h.topic.startswith("homeassistant/device/")]


def retained(port: int) -> dict[str, bytes]:
    """What the broker keeps."""
    fresh = Auditor(port)
    say(port, "marker", "x")
    fresh.wait_for(lambda a: any(h.topic == "marker" for h in a.heard))
    fresh.close()
    return {h.topic: h.payload for h in fresh.heard if h.retain}


def test_announced_retained_at_each_connection(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], publish: Make
) -> None:
    broker = mosquitto(lines=["persistence false"])
    auditor = audit(broker)
    publish(broker.port, announcer=Announcer(announced("door")))
    auditor.wait_for(lambda a: configs(a) == [(NODE, False), (DOOR, False)])
    broker.kill()
    broker.start()
    eventually(lambda: {NODE, DOOR} <= set(retained(broker.port)), "everything to be back")


def test_home_assistant_comes(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], publish: Make
) -> None:
    broker = mosquitto()
    auditor = audit(broker)
    _, outbox = publish(broker.port, announcer=Announcer(announced("door")))
    body = CameraState("door").news(at=NOON, now_s=0.0, today=Today(date="2026-03-14", visits=0, seconds=0.0))
    assert body is not None
    outbox.accept(body)
    auditor.wait_for(lambda a: len(configs(a)) == 2 and len(a.of("state")) == 1)
    eventually(lambda: "homeassistant/status" in broker.log(), "the ear")
    say(broker.port, "homeassistant/status", "offline")
    say(broker.port, "homeassistant/status", "online")
    auditor.wait_for(lambda a: len(configs(a)) == 4 and len(a.of("state")) == 2, "all of it again")
    order = [h.topic for h in auditor.heard if h.topic.endswith(("/config", "/state"))]
    assert order.index("edgeface/hall/door/state", 3) > order.index(DOOR, 3), "entities before their values"


def test_a_camera_that_left_while_we_were_away_is_taken_back(
    mosquitto: Callable[..., Mosquitto], publish: Make
) -> None:
    broker = mosquitto()
    old = DOOR.replace("door", "yard__2")
    others = {
        "homeassistant/device/edgeface_hallway_camera_x/config": "{}",
        "homeassistant/device/zigbee/config": "{}",
        "edgeface/hall/door/state": "old",
    }
    kept = {old: "{}", "edgeface/hall/yard_2/state": "old", "edgeface/hall/yard_2/summary": "old", **others}
    for topic, payload in kept.items():
        say(broker.port, topic, payload, retain=True)
    publish(broker.port, announcer=Announcer(announced("door")))
    wanted = {NODE, DOOR, "edgeface/hall/availability", *others}
    eventually(lambda: set(retained(broker.port)) == wanted, "the ghosts to go")


def test_a_run_with_other_cameras_takes_nothing_back(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], publish: Make
) -> None:
    broker = mosquitto()
    old = DOOR.replace("door", "yard")
    say(broker.port, old, "{}", retain=True)
    auditor = audit(broker)
    publish(broker.port, announcer=Announcer(announced("door", whole=False)))
    auditor.wait_for(lambda a: (DOOR, False) in configs(a))
    eventually(lambda: "homeassistant/status" in broker.log(), "the ear")
    assert old in retained(broker.port)


def test_a_refusal_is_one_line_and_costs_nobody_else(
    mosquitto: Callable[..., Mosquitto], publish: Make, caplog: pytest.LogCaptureFixture
) -> None:
    broker = mosquitto(acl="topic read #\ntopic write edgeface/#\ntopic write marker\n")
    announcer = Announcer(announced("door"))
    publisher, outbox = publish(broker.port, announcer=announcer)
    eventually(lambda: announcer.off, "the refusal")
    body = CameraState("door").news(at=NOON, now_s=0.0, today=Today(date="2026-03-14", visits=0, seconds=0.0))
    assert body is not None
    outbox.accept(body)
    eventually(lambda: outbox.idle, "the state")
    assert "edgeface/hall/door/state" in retained(broker.port)
    (line,) = caplog.messages
    assert line.startswith("Home Assistant is told nothing")
    assert "homeassistant/device/+/config" in line
    # Mosquitto 2.0 closes the connection after its refusal.
    assert publisher.connection.connections <= 2


def test_a_broker_that_closes_the_connection_is_left_alone_with_it(
    scripted: Callable[..., Scripted], publish: Make, caplog: pytest.LogCaptureFixture
) -> None:
    broker = scripted(lambda topic, *_: Scripted.CLOSE if topic.startswith("homeassistant/") else 0)
    announcer = Announcer(announced("door"))
    _, outbox = publish(broker.port, announcer=announcer)
    eventually(lambda: announcer.off, "the third close")
    connects = len(broker.connects)
    body = CameraState("door").news(at=NOON, now_s=0.0, today=Today(date="2026-03-14", visits=0, seconds=0.0))
    assert body is not None
    outbox.accept(body)
    eventually(lambda: bool(broker.taken("state")), "the state")
    assert len(broker.connects) <= connects + 1
    assert sum("Home Assistant is told nothing" in record.getMessage() for record in caplog.records) == 1


def test_a_broker_that_closes_on_subscribing_is_not_asked_again(
    scripted: Callable[..., Scripted], publish: Make, caplog: pytest.LogCaptureFixture
) -> None:
    broker = scripted(bars_ears=True)
    publish(broker.port, announcer=Announcer(announced("door")))
    eventually(lambda: any("when asked for" in record.getMessage() for record in caplog.records), "the line")
    eventually(lambda: broker.seen[-1][0] == DOOR and broker.asked == 2, "a connection that holds")
    assert broker.taken(NODE)


def test_a_reload_changes_what_is_announced(mosquitto: Callable[..., Mosquitto], publish: Make) -> None:
    broker = mosquitto()
    announcer = Announcer(announced("door", "desk"))
    publish(broker.port, announcer=announcer)
    desk = DOOR.replace("door", "desk")
    eventually(lambda: desk in retained(broker.port), "both")
    announcer.change(announced("door"))
    eventually(lambda: desk not in retained(broker.port), "one")
    announcer.change(None, keep=True)
    announcer.change(announced("desk"))
    eventually(lambda: desk in retained(broker.port), "the other")
    assert DOOR in retained(broker.port), "turned off is not taken back"
    announcer.change(None)
    eventually(lambda: NODE not in retained(broker.port), "nobody")


def test_a_node_of_the_program_comes_and_a_camera_goes(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], run: Callable[..., Child], tmp_path: Path
) -> None:
    broker = mosquitto()
    auditor = audit(broker)
    camera = '[cameras.{0}]\nsource = "' + NO_CAMERA + '-{0}"\n'
    config = tmp_path / "edgeface.toml"
    config.write_text('[node]\nid = "hall"\n' + camera.format("door") + camera.format("desk"))
    child = run(broker.port, "--config", config)
    desk = DOOR.replace("door", "desk")
    all_of_it = [(NODE, False), (DOOR, False), (desk, False)]
    eventually(lambda: configs(auditor) == all_of_it, "the announcement", 90)
    auditor.wait_for(lambda a: {h.json["status"] for h in a.of("state")} == {"starting", "away"}, "no camera")
    config.write_text('[node]\nid = "hall"\n' + camera.format("door"))
    child.process.send_signal(signal.SIGHUP)
    eventually(lambda: (desk, True) in configs(auditor), "the end of a camera", 90)
    auditor.wait_for(lambda a: any(h.topic == "edgeface/hall/desk/state" and not h.payload for h in a.heard))
    assert child.ask(signal.SIGTERM) == 0, child.log()
    left = retained(broker.port)
    assert {topic for topic in left if "desk" in topic} == set()
    last = json.loads(left["edgeface/hall/door/state"])
    assert (last["status"], last["occupied"]) == ("stopped", None)


def test_taken_back_by_hand(mosquitto: Callable[..., Mosquitto], capsys: pytest.CaptureFixture[str]) -> None:
    broker = mosquitto()
    other = NODE.replace("hall", "hall-2")
    for topic in (NODE, DOOR, other):
        say(broker.port, topic, "{}", retain=True)
    words = ["discovery", "remove", "--set", f"mqtt.port={broker.port}", "--set", "node.id=hall"]
    assert main(words) == 0
    told = capsys.readouterr()
    assert (set(told.out.splitlines()), told.err) == ({NODE, DOOR}, "")
    assert set(retained(broker.port)) == {other}
    assert main([*words, "--node", "nothere"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert f"broker localhost:{broker.port} kept nothing of node nothere, or lets us read none of it" in told.err
    assert main([*words, "--node", "hall-2"]) == 0
    assert capsys.readouterr().out.splitlines() == [other]
    assert retained(broker.port) == {}


def test_printed(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["discovery", "print", "--json", "--set", "node.id=hall", "--set", "cameras.door.source=0"]
    assert main(words) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["topic"] for line in lines] == [NODE, DOOR]
    assert lines[1]["payload"]["components"]["expression"]["options"]
    assert main(["discovery", "print", "--set", "home_assistant.discovery=off"]) == 0
    assert "off" in capsys.readouterr().err


def test_the_prefix_is_a_topic() -> None:
    assert load_config(overrides={"home_assistant.prefix": "ha/x"}).home_assistant.prefix == "ha/x"
