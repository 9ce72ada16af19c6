"""Commands: what is none, what they set, and a real daemon that follows them."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from astronaut import write_film
from brokers import HOST, AnyBroker, Auditor, Mosquitto, Scripted, eventually
from daemons import NO_CAMERA, Child, Manager
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from people import NOON
from pretend_camera import CONFIG, PretendCamera
from publishing import Make

from edgeface.events import COMMANDS, LARGEST, PauseCommand, RestartCommand, command_schemas, iso, judge
from edgeface.publish.commands import WAITING, CommandQueue
from edgeface.publish.session import Arrival
from edgeface.service.control import MOST, RESTART_CODE, Control

AT = iso(NOON)
BASE = "edgeface/hall/command"


def body(at: datetime | str = NOON, **fields: Any) -> bytes:
    return json.dumps({"at": at if isinstance(at, str) else iso(at), **fields}).encode()


def judged(name: str, payload: bytes, *, retained: bool = False) -> Any:
    return judge(name, payload, retained=retained, now=NOON)


def test_a_command_is_what_its_type_says() -> None:
    assert judged("pause", body(on=True, camera="door")) == PauseCommand(at=NOON, on=True, camera="door")
    assert judged("pause", body(on=False)) == PauseCommand(at=NOON, on=False)
    assert judged("restart", body()) == RestartCommand(at=NOON)
    # As Home Assistant writes a time.
    assert judged("restart", body(NOON.astimezone(timezone(timedelta(hours=2))).isoformat())).at == NOON
    for name, schema in command_schemas().items():
        assert json.loads(Path(f"docs/schemas/{name}.json").read_text()) == schema, "run scripts/schemas"
        Draft202012Validator.check_schema(schema)
    Draft202012Validator(command_schemas()["command_pause"]).validate(json.loads(body(on=True, camera="door")))


@pytest.mark.parametrize(
    ("name", "payload", "why"),
    [
        pytest.param("format", body(), "no such command", id="another name"),
        pytest.param("pause", b"ON", "no such command: JSON is malformed", id="no JSON"),
        pytest.param("pause", b"", "no such command: Input data was truncated", id="empty"),
        pytest.param("pause", b"\xff\xfe", "no such command", id="no text"),
        pytest.param("pause", b"[" * LARGEST, "no such command", id="deep"),
        pytest.param("pause", b" " * (LARGEST + 1), f"more than {LARGEST} bytes", id="huge"),
        pytest.param("pause", body(), "missing required field `on`", id="a field is missing"),
        pytest.param("pause", body(on="true"), "Expected `bool`", id="text for a truth"),
        pytest.param("pause", body(on=1), "Expected `bool`", id="number for a truth"),
        pytest.param("pause", body(on=True, camera="../x"), "matching regex", id="a path"),
        pytest.param("restart", body(config="http://x/y.toml"), "unknown field `config`", id="an address"),
        pytest.param("pause", b'{"on": true}', "missing required field `at`", id="no time"),
        pytest.param("pause", body("2026-03-14T12:00:00", on=True), "timezone component", id="no zone"),
        pytest.param("pause", body(NOON - timedelta(seconds=11), on=True), "said 11 s ago", id="old"),
        pytest.param("pause", body(NOON + timedelta(seconds=11), on=True), "said 11 s ahead", id="early"),
    ],
)
def test_what_is_none(name: str, payload: bytes, why: str) -> None:
    said = judged(name, payload)
    assert isinstance(said, str)
    assert why in said


def test_a_retained_one_is_none() -> None:
    assert "retained" in judged("restart", body(), retained=True)


@given(st.sampled_from([*COMMANDS, "x"]), st.binary(max_size=LARGEST + 1) | st.text().map(str.encode), st.booleans())
def test_rubbish_is_a_sentence(name: str, payload: bytes, retained: bool) -> None:
    assert isinstance(judged(name, payload, retained=retained), str)


class Hand:
    """A control whose clocks and queue are in our hand."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.now_s = 100.0
        self.queue = CommandQueue("edgeface/hall")
        self.control = Control(folder, now=lambda: NOON, clock=lambda: self.now_s)
        self.begin(**options)

    def begin(self, node: str = "hall", **options: Any) -> None:
        self.control.begin(node, **{"enabled": True, "cameras": ("door", "desk"), "tasks": ("expression",), **options})

    def say(self, name: str, **fields: Any) -> bool:
        return self.heard(f"{BASE}/{name}", body(**fields))

    def heard(self, topic: str, payload: bytes, **options: Any) -> bool:
        assert self.queue.heard(Arrival(topic=topic, payload=payload, **options))
        return self.control.obey(self.queue)


@pytest.fixture
def hand(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Hand:
    caplog.set_level(logging.INFO)
    return Hand(tmp_path / "state")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_pause_is_of_one_camera_or_of_all(hand: Hand) -> None:
    assert hand.say("pause", on=True, camera="door")
    assert hand.control.paused == {"door"}
    assert hand.say("pause", on=True)
    assert hand.control.paused == {"door", "desk"}
    assert hand.say("pause", on=False, camera="desk")
    assert hand.control.paused == {"door"}
    assert hand.say("pause", on=False)
    assert hand.control.paused == frozenset()


def test_what_is_set_survives(hand: Hand, tmp_path: Path) -> None:
    hand.say("pause", on=True, camera="door")
    hand.say("expression", on=False)
    again = Hand(tmp_path / "state").control
    assert again.paused == {"door"}
    assert list(again.muted) == ["expression"]
    told = again.health()
    assert told is not None
    assert (told.paused, told.expression) == (["door"], False)
    # Another node is another one; a camera that goes and comes back is still paused.
    assert Hand(tmp_path / "state", node="other").control.paused == frozenset()
    hand.begin(cameras=("desk",))
    assert hand.control.paused == frozenset()
    hand.begin()
    assert hand.control.paused == {"door"}
    # Another name is no reason to look again.
    hand.begin(node="renamed")
    assert hand.control.paused == {"door"}
    assert Hand(tmp_path / "state", node="renamed").control.paused == {"door"}
    # Commands that are turned off have set nothing.
    hand.begin(enabled=False)
    assert (hand.control.paused, hand.control.muted, hand.control.health()) == (frozenset(), frozenset(), None)
    hand.begin()
    assert hand.control.paused == frozenset()


@pytest.mark.parametrize("rubbish", [b"", b"{", b'{"paused": 1}', b'{"paused": [], "no": 1}', b"\xff"])
def test_a_file_that_cannot_be_read_pauses_everything(
    hand: Hand, rubbish: bytes, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir(exist_ok=True)
    (tmp_path / "state" / "commands-hall.json").write_bytes(rubbish)
    again = Hand(tmp_path / "state")
    assert again.control.paused == {"door", "desk"}
    assert list(again.control.muted) == ["expression"]
    assert len(lines(caplog)) == 1
    again.say("pause", on=False)
    assert again.control.paused == frozenset()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    hand = Hand(tmp_path / "file" / "state")
    caplog.clear()
    assert hand.say("pause", on=True)
    assert hand.control.paused == {"door", "desk"}
    assert "would not survive a restart" in lines(caplog)[0]


def test_a_command_only_takes_away(hand: Hand, caplog: pytest.LogCaptureFixture) -> None:
    hand.begin(tasks=())
    assert not hand.say("expression", on=True)
    assert "the configuration estimates no expressions" in lines(caplog)[0]
    assert not hand.say("pause", on=True, camera="attic")
    told = hand.control.health()
    assert told is not None
    assert (told.expression, told.paused, told.refused, told.latest) == (False, [], 2, None)


def test_at_most_one_restart_a_minute(hand: Hand, caplog: pytest.LogCaptureFixture) -> None:
    hand.now_s += 59
    assert not hand.say("restart")
    assert "was started 59 s ago" in lines(caplog)[0]
    hand.now_s += 1
    assert hand.say("restart")
    assert hand.control.restarting
    assert not hand.say("restart")


def test_each_is_logged_with_who_says_it(hand: Hand, caplog: pytest.LogCaptureFixture) -> None:
    hand.say("pause", on=True, camera="door")
    hand.heard(f"{BASE}/pause", body(on=False), user=(("user", "anna\n\x1b[2J"), ("x", "y" * 500)))
    assert lines(caplog)[0] == "command edgeface/hall/command/pause: camera door paused"
    assert lines(caplog)[1].startswith("command edgeface/hall/command/pause (user: anna\\u000a\\u001b[2J; x: yyy")
    assert len(lines(caplog)[1]) < 200
    told = hand.control.health()
    assert told is not None
    assert told.latest is not None
    assert (told.latest.name, told.latest.done) == ("pause", "all cameras no longer paused")


def test_rubbish_is_a_line_a_minute(hand: Hand, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(1000):
        hand.heard(f"{BASE}/pause", b"rubbish %d" % number)
    assert len(lines(caplog)) == 1
    hand.now_s += 60
    hand.heard(f"{BASE}/what\nis this", b"")
    assert len(lines(caplog)) == 2
    assert "what\\u000ais this" in lines(caplog)[1]
    assert "and 999 more that were not followed" in lines(caplog)[1]
    told = hand.control.health()
    assert told is not None
    assert told.refused == 1001
    assert not (hand.folder / "commands-hall.json").exists()


def test_a_flood_is_bounded(hand: Hand, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(10_000):
        hand.queue.heard(Arrival(topic=f"{BASE}/pause", payload=b"x" * 100_000))
    taken, overflow = hand.queue.take()
    assert (len(taken), overflow) == (WAITING, 10_000 - WAITING)
    assert {len(arrival.payload) for arrival in taken} == {LARGEST + 1}
    # Right ones too: each is a line of the log and a write.
    followed = [hand.say("pause", on=number % 2 == 0) for number in range(2 * MOST)]
    assert sum(followed) == MOST
    hand.now_s += 60
    assert hand.say("pause", on=True)
    assert len([line for line in lines(caplog) if line.startswith("no command")]) == 1


def test_other_topics_are_others(hand: Hand) -> None:
    for topic in ("homeassistant/status", "edgeface/hall/commands/pause", "edgeface/halle/command/pause"):
        assert not hand.queue.heard(Arrival(topic=topic, payload=b""))


def test_a_broker_that_closes_on_subscribing_is_not_asked_again(
    scripted: Callable[..., Scripted], publish: Make, caplog: pytest.LogCaptureFixture
) -> None:
    broker = scripted(bars_ears=True)
    publish(broker.port, commands=True)
    eventually(lambda: broker.taken("availability") == [b"online"], "a connection that holds")
    assert (len(broker.connects), broker.asked) == (3, 2)
    assert len([line for line in lines(caplog) if "no command reaches this node" in line]) == 1


def say(
    broker: AnyBroker,
    name: str,
    payload: bytes | None = None,
    *,
    retain: bool = False,
    user: tuple[str, str] | None = None,
    **fields: Any,
) -> None:
    """Publish a command as another client would."""
    five = "5" in broker.speaks
    client = paho.Client(
        CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311
    )
    properties = None
    if five and user is not None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.UserProperty = user
    client.connect(HOST, broker.port)
    client.loop_start()
    what = body(datetime.now(timezone.utc), **fields) if payload is None else payload
    client.publish(f"{BASE}/{name}", what, qos=1, retain=retain, properties=properties).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


class Node:
    """A daemon before a face that follows commands."""

    def __init__(self, folder: Path, broker: AnyBroker, auditor: Auditor, run: Callable[..., Child]) -> None:
        self.broker = broker
        self.auditor = auditor
        self.config = folder / "edgeface.toml"
        self.camera = PretendCamera(folder / "camera")
        self.camera.show("face")
        self.config.write_text(
            f'[node]\nid = "hall"\n[commands]\nenabled = true\n[visits]\nlost_after = 30.0\n[cameras.door]\n{CONFIG}'
        )
        path = f"{self.camera.programs}:{os.environ['PATH']}"
        self._environ = {"PATH": path, "STATE_DIRECTORY": str(folder / "state")}
        self._run = run
        self.child: Child

    def start(self, **options: Any) -> Child:
        environ = {**self._environ, **options.pop("environ", {})}
        self.child = self._run(self.broker.port, "--config", self.config, environ=environ, **options)
        return self.child

    def wait(self, what: str, true: Callable[[], bool]) -> None:
        eventually(true, f"{what}: {self.child.log()} {[h.json for h in self.auditor.of('state')]}")

    @property
    def state(self) -> dict[str, Any]:
        states = self.auditor.of("state")
        return states[-1].json if states else {"status": None, "occupied": None, "expression": None}

    @property
    def health(self) -> dict[str, Any]:
        return self.auditor.of("health")[-1].json

    def listens(self) -> None:
        """Wait until the daemon has asked for its commands."""
        before = self.health["commands"]["refused"] if self.auditor.of("health") else 0

        def nudged() -> bool:
            say(self.broker, "none", b"")
            return bool(self.auditor.of("health")) and self.health["commands"]["refused"] > before

        self.wait("the ear", nudged)


@pytest.fixture
def node(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], run: Callable[..., Child], tmp_path: Path
) -> Iterator[Node]:
    broker = mosquitto()
    yield Node(tmp_path, broker, audit(broker), run)


def test_a_pause_is_a_state_and_survives_a_restart(node: Node) -> None:
    child = node.start()
    node.wait("somebody", lambda: node.state["occupied"] is True)
    node.listens()
    say(node.broker, "pause", on=True, camera="door", user=("user", "anna"))
    node.wait("the pause", lambda: node.state["status"] == "paused")
    assert (node.state["occupied"], node.state["count"], node.state["expires"]) == (None, None, None)
    end = node.auditor.of("visits")[-1].json
    assert (end["event"], end["reason"]) == ("end", "paused")
    node.wait("health", lambda: node.health["commands"]["paused"] == ["door"])
    assert node.health["cameras"]["door"]["state"] == "paused"
    assert node.health["cameras"]["door"]["brightness"] is None
    assert node.health["commands"]["latest"]["done"] == "camera door paused"
    assert "command edgeface/hall/command/pause (user: anna): camera door paused" in child.log()
    # Nobody looks: not after a reload, nor after a restart.
    child.process.send_signal(signal.SIGHUP)
    node.wait("the reload", lambda: "read again" in child.log())
    assert child.ask(signal.SIGTERM) == 0, child.log()
    before = len(node.auditor.of("state"))
    node.start()
    node.listens()
    node.wait("the pause", lambda: node.state["status"] == "paused")
    assert {heard.json["status"] for heard in node.auditor.of("state")[before:]} == {"paused"}
    visits = len(node.auditor.of("visits"))
    say(node.broker, "pause", on=False)
    node.wait("somebody", lambda: node.state["occupied"] is True)
    assert node.auditor.of("visits")[visits].json["event"] == "start"
    # The very same node, once more.
    say(node.broker, "pause", on=True)
    node.wait("the pause", lambda: node.state["status"] == "paused")
    say(node.broker, "pause", on=False, camera="door")
    node.wait("somebody", lambda: node.state["occupied"] is True)
    assert node.child.ask(signal.SIGTERM) == 0, node.child.log()
    assert "Traceback" not in node.child.log()


def test_no_expression(node: Node) -> None:
    node.start()
    node.wait("an expression", lambda: node.state["expression"] is not None)
    node.listens()
    say(node.broker, "expression", on=False)
    node.wait("none", lambda: node.state["occupied"] is True and node.state["expression"] is None)
    notice = node.auditor.of("notice")[-1].json
    assert "expression" not in {network["task"] for network in notice["networks"]}
    assert "expression" not in notice["text"]
    assert node.health["commands"]["expression"] is False
    after = len(node.auditor.heard)
    node.wait("more", lambda: len(node.auditor.heard) > after + 12)
    told = [heard.json for heard in node.auditor.heard[after:] if heard.topic.endswith("/faces")]
    assert told
    assert all(face["expression"] is None for message in told for face in message["faces"])
    say(node.broker, "expression", on=True)
    node.wait("an expression again", lambda: node.state["expression"] is not None)
    assert len([heard for heard in node.auditor.of("visits") if heard.json["event"] != "update"]) == 1, "one visit"
    assert node.child.ask(signal.SIGTERM) == 0, node.child.log()


def test_what_is_no_command_is_one_line_and_nothing_else(node: Node) -> None:
    say(node.broker, "pause", retain=True, on=True)
    child = node.start()
    node.wait("somebody", lambda: node.state["occupied"] is True)
    node.wait("the retained one", lambda: node.health["commands"]["refused"] == 1)
    say(node.broker, "pause", retain=True, on=True)
    say(node.broker, "pause", b"x" * 1_000_000)
    say(node.broker, "pause", on=True, camera="attic")
    say(node.broker, "restart")
    say(node.broker, "pause", body(datetime.now(timezone.utc) - timedelta(seconds=60), on=True))
    node.wait("all", lambda: node.health["commands"]["refused"] == 6)
    assert child.log().count("no command: ") == 1, child.log()
    assert node.health["commands"]["paused"] == []
    assert [heard.json["event"] for heard in node.auditor.of("visits") if heard.json["event"] != "update"] == ["start"]
    assert child.ask(signal.SIGTERM) == 0, child.log()


def test_a_restart_ends_the_program_for_its_manager(node: Node, manager: Manager) -> None:
    child = node.start(restart_s=0.0, environ=manager.environ)
    node.wait("somebody", lambda: node.state["occupied"] is True)
    node.listens()
    right = node.config.read_text()
    node.config.write_text(f"{right}[mqqt]\n")
    say(node.broker, "restart")
    node.wait("a refusal", lambda: "the program is not restarted, the old one runs on: " in child.log())
    assert node.state["occupied"] is True
    node.config.write_text(right)
    say(node.broker, "restart")
    # What nobody reads is lost.
    eventually(lambda: "STOPPING=1" in manager.words(), "the stop")
    assert child.wait() == RESTART_CODE, child.log()
    node.auditor.wait_for(lambda a: a.words()[-1] == "offline")
    assert node.auditor.of("visits")[-1].json["reason"] == "stopped"
    assert f"RestartForceExitStatus={RESTART_CODE}" in Path("systemd/edgeface.service").read_text()


def test_a_paused_file_waits(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], run: Callable[..., Child], tmp_path: Path
) -> None:
    broker = mosquitto()
    auditor = audit(broker)
    film = write_film(tmp_path / "she.mp4", seconds=6.0)
    settings = ("--set", "node.id=hall", "--set", "commands.enabled=true")
    child = run(broker.port, "--source", film, "--pace", "realtime", *settings)
    auditor.wait_for(lambda a: bool(a.of("visits")), "somebody")
    say(broker, "pause", on=True)
    auditor.wait_for(lambda a: bool(a.of("state")) and a.of("state")[-1].json["status"] == "paused", "the pause")
    told = len(auditor.of("health"))
    auditor.wait_for(lambda a: len(a.of("health")) > told + 1, "what was under way")
    frames = len(auditor.of("faces"))
    auditor.wait_for(lambda a: len(a.of("health")) > told + 4, "time that goes by")
    assert child.process.poll() is None
    assert len(auditor.of("faces")) == frames
    say(broker, "pause", on=False)
    assert child.wait() == 0, child.log()
    auditor.wait_for(lambda a: a.words()[-1] == "offline")
    ends = [heard.json["reason"] for heard in auditor.of("visits") if heard.json["event"] == "end"]
    assert ends == ["paused", "source_ended"]


def test_off_unless_asked(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], run: Callable[..., Child]
) -> None:
    broker = mosquitto()
    auditor = audit(broker)
    child = run(broker.port, "--source", NO_CAMERA, "--set", "node.id=hall")
    auditor.wait_for(lambda a: len(a.of("health")) > 3)
    assert auditor.of("health")[-1].json["commands"] is None
    assert f"{BASE}/" not in broker.log()
    assert child.ask(signal.SIGTERM) == 0
