"""`edgeface aim`: words and numbers of what is seen, from the camera or from the daemon that has it."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from astronaut import astronaut
from brokers import HOST, Mosquitto
from people import NOON, state, visit
from publishing import Make

from edgeface.cli.aim import _from_daemon
from edgeface.cli.main import main
from edgeface.config import Config, Mqtt
from edgeface.config import Node as NodeConfig
from edgeface.diagnosis.aim import Heard, Seen, sentences
from edgeface.diagnosis.node import Node
from edgeface.events import (
    Body,
    CameraHealth,
    MqttHealth,
    NoticeNetwork,
    View,
    faces_body,
    health_body,
    notice_body,
)
from edgeface.types import Quality

NEEDS = {"age": 30, "gender": 30, "expression": 48}


@pytest.mark.parametrize(
    ("seen", "lines"),
    [
        pytest.param(
            Seen(camera="door", width=640, height=360, brightness=0.41),
            ["door: nobody in view, picture of 640x360, brightness 0.41"],
            id="nobody",
        ),
        pytest.param(
            Seen(camera="door", brightness=0.03),
            ["door: nobody in view, picture, brightness 0.03 (dark: give it light)"],
            id="dark",
        ),
        pytest.param(
            Seen(camera="door", trouble="the daemon says it is away"),
            ["door: the daemon says it is away"],
            id="no picture",
        ),
        pytest.param(
            Seen(
                camera="door",
                width=640,
                height=360,
                brightness=0.95,
                faces=(
                    View(size_px=80.2, light=1.0, blur=0.1),
                    View(size_px=40.0, light=0.2, blur=0.9),
                    View(size_px=20.0, light=1.0, blur=0.0),
                ),
            ),
            [
                "door: 3 faces in view, picture of 640x360, brightness 0.95 (bright: turn it from the window)",
                "  80 px high, enough for age, gender and expression, light 1.00, blur 0.10",
                "  40 px high, enough for age and gender, too small for expression (needs 48): come nearer, or take a "
                "longer lens, light 0.20: too dark, or too bright, blur 0.90: out of focus, or it moves",
                "  20 px high, too small for age (needs 30), gender (needs 30) and expression (needs 48): come "
                "nearer, or take a longer lens, light 1.00, blur 0.00",
            ],
            id="faces",
        ),
    ],
)
def test_what_is_said(seen: Seen, lines: list[str]) -> None:
    assert sentences(seen, NEEDS) == lines


def health(state: str = "running") -> Body:
    return health_body(
        at=NOON,
        uptime_s=1,
        cameras={
            "main": CameraHealth(state=state, fps=10.0, dropped=0, brightness=0.4 if state == "running" else None),  # type: ignore[arg-type]
            "back": CameraHealth(state="running", fps=10.0, dropped=0, brightness=0.2),
        },
        stages_ms={},
        mqtt=MqttHealth(state="connected", protocol="5", queued=0, parked=0, dropped={}),
        memory_mb=None,
    )


def take(heard: Heard, body: Body, now_s: float) -> None:
    heard.take(f"edgeface/hall/{body.suffix}", msgspec.json.encode(body.stamped(node="hall", boot="b", seq=1)), now_s)


def test_messages_become_what_is_seen() -> None:
    heard = Heard()
    heard.take("edgeface/hall/health", b"{", 0)
    heard.take("edgeface/hall/main/unknown", b"{}", 0)
    assert heard.seen(0) == []
    take(heard, health(), 0)
    needs = NoticeNetwork(task="age", name="n", licence="", limits="", smallest_face_px=30)
    take(heard, notice_body(networks=[needs], at=NOON), 0)
    assert heard.needs == {"age": 30}
    assert [one.camera for one in heard.seen(0)] == ["main", "back"]
    assert heard.seen(0, "main") == [Seen(camera="main", brightness=0.4)]
    someone = visit()
    view = Quality(size_px=78.9, blur=0.2, yaw=0, light=1.0, cut_off=0, score=1)
    take(heard, faces_body("main", 640, 360, [someone], at=NOON, views={someone.track: view}), 1)
    (seen,) = heard.seen(2, "main")
    assert (seen.width, seen.faces) == (640, (View(size_px=78.9, light=1.0, blur=0.2),))
    assert heard.seen(9, "main")[0].faces == (), "too old to be true"
    take(heard, health("away"), 9)
    assert heard.seen(9, "main")[0].trouble == "the daemon says it is away"


def test_how_a_camera_fares_is_what_its_state_says() -> None:
    heard = Heard()
    take(heard, health("starting"), 0)
    assert heard.seen(0, "main")[0].trouble == "the daemon says it is starting"
    take(heard, state("running"), 1)
    assert heard.seen(1, "main") == [Seen(camera="main")], "the next health comes in a minute"
    take(heard, state("away"), 2)
    assert heard.seen(2, "main")[0].trouble == "the daemon says it is away"


def test_somebody_of_whom_nothing_is_told_is_not_nobody() -> None:
    heard = Heard()
    take(heard, health(), 0)
    take(heard, state("running", somebody=True), 0)
    (seen,) = heard.seen(1, "main")
    assert "somebody is in view" in (seen.trouble or "")
    assert "visits.faces_rate" in (seen.trouble or "")
    take(heard, faces_body("main", 640, 360, [], at=NOON, views={}), 2)
    assert heard.seen(2, "main")[0].trouble is None, "the visit lasts, and no face is seen now"


def test_a_daemon_that_has_stopped_sees_nothing() -> None:
    heard = Heard()
    take(heard, health(), 0)
    heard.take("edgeface/hall/availability", b"offline", 1)
    assert [one.trouble for one in heard.seen(1)] == ["the daemon has stopped, or lost the broker"] * 2
    heard.take("edgeface/hall/availability", b"online", 2)
    assert [one.trouble for one in heard.seen(2)] == [None, None]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No daemon is found by its process or its unit, whatever else runs on this machine."""
    monkeypatch.setattr("edgeface.diagnosis.node.daemons", lambda _: [])
    monkeypatch.setattr("edgeface.diagnosis.node.ask", lambda *_: None)


@pytest.mark.usefixtures("alone")
def test_it_looks_itself_where_no_daemon_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = np.full((360, 640, 3), 90, np.uint8)
    picture[:, 100:460] = cv2.resize(astronaut(), (360, 360))
    path = tmp_path / "someone.png"
    cv2.imwrite(str(path), picture)
    where = ["--set", f"cameras.main.source={path}", "--set", f"mqtt.host={HOST}", "--set", "mqtt.port=1"]
    assert main(["aim", "--once", "--json", *where]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["camera"], told["width"], len(told["faces"])) == ("main", 640, 1)
    assert told["faces"][0]["size_px"] > 50
    assert set(told["needs"]) == {"age", "gender", "expression"}
    assert main(["aim", "--once", "--camera", "nonesuch", *where]) == 2
    assert "there is no camera nonesuch; choose one of: main" in capsys.readouterr().err


@pytest.mark.usefixtures("alone")
def test_it_hears_the_daemon_that_has_the_camera(
    mosquitto: object, publish: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    running: Mosquitto = mosquitto()  # type: ignore[operator]
    publisher, outbox = publish(running.port)
    for body in (health(), notice_body(networks=[], at=NOON)):
        outbox.accept(body)
    assert publisher.connection.wait_connected(10)
    monkeypatch.setattr("edgeface.cli.aim.EVERY_S", 0.05)
    where = ["--set", "node.id=hall", "--set", f"mqtt.host={HOST}", "--set", f"mqtt.port={running.port}"]
    assert main(["aim", "--once", *where]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "main: nobody in view, picture, brightness 0.40",
        "back: nobody in view, picture, brightness 0.20",
    ]
    monkeypatch.setattr("edgeface.cli.aim.FIRST_WORD_S", 0.1)
    assert main(["aim", "--once", "--camera", "side", *where]) == 1
    assert "hall says nothing of camera side" in capsys.readouterr().err


@pytest.mark.usefixtures("alone")
def test_a_broker_that_is_lost_meanwhile_is_told(
    mosquitto: object, publish: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: Mosquitto = mosquitto()  # type: ignore[operator]
    publisher, outbox = publish(running.port)
    outbox.accept(health())
    assert publisher.connection.wait_connected(10)
    monkeypatch.setattr("edgeface.cli.aim.EVERY_S", 0.05)
    mqtt = Mqtt(host=HOST, port=running.port)
    node = Node(Config(node=NodeConfig(id="hall"), mqtt=mqtt), path=None, environ={})
    looks = _from_daemon(node, "main")
    (first,), _ = next(looks)
    assert first.trouble is None
    running.stop()
    told = next(one.trouble for (one,), _ in looks if one.trouble is not None)
    assert told.startswith("the broker is lost: ")
    assert isinstance(looks, Generator)
    looks.close()
