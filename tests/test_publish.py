"""The publisher against real brokers: nothing lost, nothing looped, everything said once."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from brokers import Amqtt, AnyBroker, Auditor, Authority, Mosquitto, Proxy, eventually, free_port
from contract import hold
from paho.mqtt.enums import CallbackAPIVersion
from people import NOON, told, visit
from publishing import FAST, Make

from edgeface.config import Mqtt
from edgeface.errors import ConfigError
from edgeface.events import faces_body, health_body, notice_body
from edgeface.publish.delivery import Delivery
from edgeface.publish.mqtt import Publisher
from edgeface.publish.outbox import Outbox
from edgeface.publish.timing import Timing

RIGHTS = "user reader\ntopic read #\nuser hall\n"


def test_messages_arrive_in_order_between_online_and_offline(
    broker: AnyBroker, audit: Callable[..., Auditor], publish: Make
) -> None:
    auditor = audit(broker)
    publisher, outbox = publish(broker.port)
    assert publisher.connection.wait_connected(10)
    outbox.accept(notice_body(networks=[], at=NOON))
    outbox.accept(told("start"))
    outbox.accept(faces_body("main", 640, 360, [visit()], at=NOON))
    outbox.accept(told("end"))
    assert publisher.stop()
    auditor.wait_for(lambda a: a.words() == ["online", "offline"])
    assert [heard.topic for heard in auditor.heard] == [
        "edgeface/hall/availability",
        "edgeface/hall/notice",
        "edgeface/hall/main/visits",
        "edgeface/hall/main/faces",
        "edgeface/hall/main/visits",
        "edgeface/hall/availability",
    ]
    assert hold(auditor, node="hall") == {"notice": 1, "visits": 2, "faces": 1}
    assert auditor.seqs() == [0, 1, 2, 3]
    assert {h.json["boot"] for h in auditor.of("visits")} == {"b007"}
    assert publisher.connection.state == "offline"


def test_who_comes_late_finds_what_is_retained(broker: AnyBroker, audit: Callable[..., Auditor], publish: Make) -> None:
    _, outbox = publish(broker.port)
    outbox.accept(notice_body(networks=[], at=NOON))
    outbox.accept(told("start"))
    eventually(lambda: outbox.idle)
    late = audit(broker)
    late.wait_for(lambda a: a.words() == ["online"] and len(a.of("notice")) == 1)
    assert all(heard.retain for heard in late.heard)
    assert late.of("visits") == []


def test_prefix_and_client_id(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], publish: Make
) -> None:
    broker = mosquitto()
    auditor = audit(broker)
    publish(broker.port, prefix="house/ground floor/", client_id="door 7")
    auditor.wait_for(lambda a: bool(a.heard))
    assert auditor.heard[0].topic == "house/ground floor/hall/availability"
    eventually(lambda: " as door 7 " in broker.log())


CHILD = """
import sys
from people import told
from edgeface.config import Mqtt
from edgeface.publish.delivery import Delivery
from edgeface.publish.mqtt import Publisher
from edgeface.publish.outbox import Outbox
outbox = Outbox(node="hall", boot="b", capacity=100)
outbox.accept(told("start"))
mqtt = Mqtt(host="127.0.0.1", port=int(sys.argv[1]))
publisher = Publisher(mqtt, node="hall", outbox=outbox, password=None)
publisher.start()
sys.stdin.read()
"""


def test_the_last_will_speaks_after_kill_9(broker: AnyBroker, audit: Callable[..., Auditor]) -> None:
    auditor = audit(broker)
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(broker.port)],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    ) as child:
        auditor.wait_for(lambda a: a.words() == ["online"] and len(a.of("visits")) == 1)
        child.send_signal(signal.SIGKILL)
    auditor.wait_for(lambda a: a.words() == ["online", "offline"])


def test_a_broker_that_restarts_loses_nothing(
    mosquitto: Callable[..., Mosquitto],
    audit: Callable[..., Auditor],
    publish: Make,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "edgeface")
    broker = mosquitto()
    auditor = audit(broker)
    publisher, outbox = publish(broker.port)
    for number in range(10):
        outbox.accept(told("start", f"before-{number}"))
    auditor.wait_for(lambda a: len(a.of("visits")) == 10)
    broker.stop()
    eventually(lambda: publisher.connection.state == "connecting")
    for number in range(60):
        outbox.accept(told("start", f"during-{number}"))
    assert publisher.health().queued == 60
    broker.start()
    auditor.wait_for(lambda a: len(set(a.seqs())) == 70)
    assert sorted(set(auditor.seqs())) == list(range(70))
    assert publisher.connection.connections == 2
    assert publisher.health().dropped["visits"] == 0
    lines = [record.getMessage() for record in caplog.records]
    assert sum(" lost: " in line for line in lines) == 1
    assert sum(" is back after " in line for line in lines) == 1
    assert len(lines) == 3, lines


def test_what_was_not_acknowledged_comes_again(
    broker: AnyBroker, audit: Callable[..., Auditor], publish: Make, proxy: Callable[[int], Proxy]
) -> None:
    auditor = audit(broker)
    between = proxy(broker.port)
    publisher, outbox = publish(between.port)
    assert publisher.connection.wait_connected(10)
    cuts = iter([True, False, False, True])
    between.cut_at = lambda data: b"/visits" in data and next(cuts, False)
    for number in range(20):
        outbox.accept(told("start", str(number)))
    auditor.wait_for(lambda a: len(set(a.seqs())) == 20)
    eventually(lambda: outbox.idle)
    assert publisher.connection.connections >= 2
    assert outbox.counters().delivered == 20


def test_the_queue_is_bounded_and_the_gaps_are_counted(
    broker: AnyBroker, audit: Callable[..., Auditor], publish: Make
) -> None:
    auditor = audit(broker)
    publisher, outbox = publish(free_port())
    for number in range(60):
        outbox.accept(told("start", str(number)))
        outbox.accept(told("update", str(number)))
        outbox.accept(told("end", str(number)))
    dropped = publisher.health().dropped
    assert dropped["visits"] == 80
    assert publisher.health().queued == 100
    publisher.stop(timeout_s=0.1)
    # The same outbox, a broker that is there: all ends, and the youngest starts.
    again = Publisher(Mqtt(host="localhost", port=broker.port), node="hall", outbox=outbox, password=None)
    again.start()
    auditor.wait_for(lambda a: len(a.of("visits")) == 100)
    assert again.stop()
    events = [heard.json["event"] for heard in auditor.of("visits")]
    assert (events.count("end"), events.count("start"), events.count("update")) == (60, 40, 0)
    assert 180 - len(set(auditor.seqs())) == dropped["visits"]
    assert auditor.seqs() == sorted(auditor.seqs())


def test_a_clean_stop_waits_at_most_its_time(mosquitto: Callable[..., Mosquitto], publish: Make) -> None:
    broker = mosquitto()
    publisher, outbox = publish(broker.port)
    assert publisher.connection.wait_connected(10)
    broker.signal(signal.SIGSTOP)
    outbox.accept(told("end"))
    assert publisher.stop(timeout_s=0.3) is False
    assert outbox.counters().queued == 1


def test_a_stop_without_any_broker_is_quick(publish: Make) -> None:
    publisher, outbox = publish(free_port(), timing=Timing())
    outbox.accept(told("end"))
    assert publisher.connection.wait_connected(0.3) is False
    assert publisher.connection.last_error == "connection refused"
    assert publisher.stop(timeout_s=5.0) is False


def test_a_stop_during_an_outage_still_delivers(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], publish: Make
) -> None:
    broker = mosquitto()
    auditor = audit(broker)
    publisher, outbox = publish(broker.port, timing=Timing(first_s=30.0))
    assert publisher.connection.wait_connected(10)
    broker.stop()
    eventually(lambda: publisher.connection.state == "connecting")
    outbox.accept(told("end"))
    broker.start()
    assert publisher.stop(timeout_s=5.0) is True
    auditor.wait_for(lambda a: len(a.of("visits")) == 1)


def test_tls_with_a_client_certificate(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], publish: Make, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    broker = mosquitto(lines=authority.lines)
    auditor = audit(broker, set_up=authority.set_up)
    publisher, outbox = publish(broker.port, ca_file=authority.path("ca"), cert_file=authority.path("node"))
    for number in range(50):
        outbox.accept(told("start", str(number)))
    assert publisher.stop() is True
    auditor.wait_for(lambda a: len(a.of("visits")) == 50)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        pytest.param({"ca_file": "ca"}, "it refuses our certificate", id="we have none"),
        pytest.param(
            {"ca_file": "ca", "cert_file": "stranger"},
            "it refuses our certificate",
            id="ours is a stranger's",
        ),
        pytest.param({"tls": True, "cert_file": "node"}, "its certificate does not hold", id="theirs is unknown"),
    ],
)
def test_a_refused_certificate_is_said_once_and_tried_again_later(
    mosquitto: Callable[..., Mosquitto],
    publish: Make,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, Any],
    error: str,
) -> None:
    authority = Authority(tmp_path)
    broker = mosquitto(lines=authority.lines)
    named = {key: authority.path(name) if isinstance(name, str) else name for key, name in settings.items()}
    publisher, _ = publish(broker.port, **named)
    assert publisher.connection.wait_connected(10) is False
    assert publisher.connection.state == "refused"
    assert publisher.connection.last_error is not None
    assert publisher.connection.last_error.startswith(error)
    assert publisher.connection.protocol == "5"
    assert len(caplog.records) == 1


def test_a_stop_gives_every_descriptor_back(mosquitto: Callable[..., Mosquitto], publish: Make) -> None:
    publisher, _ = publish(mosquitto().port)
    assert publisher.connection.wait_connected(10)
    publisher.stop(timeout_s=5)
    assert publisher.connection.wake.reader.fileno() == -1
    publisher.connection.wake.set()  # a message that comes late wakes nobody


@pytest.mark.parametrize(
    ("host", "settings", "hint"),
    [
        pytest.param("localhost", {"tls": True}, "set mqtt.ca_file to the certificate of the authority", id="unknown"),
        pytest.param("127.0.0.1", {"ca_file": "ca"}, "set mqtt.host to a name that it is for", id="another name"),
        pytest.param("localhost", {}, "it expects TLS on this port; set mqtt.tls or mqtt.ca_file", id="no TLS"),
    ],
)
def test_what_to_do_about_a_certificate_is_said(
    mosquitto: Callable[..., Mosquitto],
    publish: Make,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    host: str,
    settings: dict[str, Any],
    hint: str,
) -> None:
    authority = Authority(tmp_path)
    broker = mosquitto(lines=authority.lines)
    named = {key: authority.path(name) if isinstance(name, str) else name for key, name in settings.items()}
    publish(broker.port, host=host, **named)
    eventually(lambda: bool(caplog.messages))
    assert hint in caplog.messages[0]


def test_a_port_that_expects_tls_is_no_old_broker(
    mosquitto: Callable[..., Mosquitto], publish: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    publisher, _ = publish(mosquitto(lines=Authority(tmp_path).lines).port)
    eventually(lambda: publisher.connection.state == "refused")
    assert publisher.connection.last_error == "it expects TLS on this port"
    assert publisher.connection.hint == "set mqtt.tls or mqtt.ca_file"
    assert "does not speak MQTT 5" not in caplog.text


@pytest.mark.parametrize("anonymous", [True, False])
def test_tls_towards_a_plain_port_is_no_certificate_riddle(
    mosquitto: Callable[..., Mosquitto], publish: Make, anonymous: bool
) -> None:
    publisher, _ = publish(mosquitto(anonymous=anonymous).port, tls=True)
    eventually(lambda: publisher.connection.state == "refused")
    assert publisher.connection.last_error == "it speaks MQTT without TLS on this port"
    assert publisher.connection.hint.startswith("set mqtt.port to its port for TLS")


def test_a_broker_that_waits_for_more_than_a_tls_greeting_is_asked_too(amqtt: Amqtt, publish: Make) -> None:
    publisher, _ = publish(amqtt.port, tls=True, connect_timeout=1.0)
    eventually(lambda: publisher.connection.last_error == "it speaks MQTT without TLS on this port")


def test_tls_towards_something_else_blames_the_port(publish: Make) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        publisher, _ = publish(server.server_port, tls=True)
        eventually(lambda: publisher.connection.state == "refused")
        server.shutdown()
    assert publisher.connection.last_error == "no TLS with it: wrong version number"
    assert publisher.connection.hint == "check mqtt.port: what listens there speaks no TLS"


@pytest.fixture
def guarded(mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> Mosquitto:
    """A broker that knows `hall` with password `secret`, and who may read all."""
    passwords = tmp_path / "passwords"
    for option, user in (("-c", "hall"), ("", "reader")):
        command = ["mosquitto_passwd", "-b", *([option] if option else []), str(passwords), user, "secret"]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("mosquitto_passwd is not installed")
    return mosquitto(
        anonymous=False,
        lines=[f"password_file {passwords}"],
        acl=f"{RIGHTS}topic write edgeface/hall/#\n",
    )


def as_reader(client: Any) -> None:
    client.username_pw_set("reader", "secret")


def test_user_and_password(guarded: Mosquitto, audit: Callable[..., Auditor], publish: Make) -> None:
    auditor = audit(guarded, set_up=as_reader)
    publisher, outbox = publish(guarded.port, username="hall", password="secret")
    outbox.accept(told("start"))
    auditor.wait_for(lambda a: len(a.of("visits")) == 1)
    assert publisher.connection.state == "connected"


@pytest.mark.parametrize(
    ("user", "password"),
    [("hall", "wrong"), ("nobody", "secret"), (None, None)],
    ids=["password", "user", "no user"],
)
def test_refused_credentials_are_one_line_and_five_minutes(
    guarded: Mosquitto,
    publish: Make,
    caplog: pytest.LogCaptureFixture,
    user: str | None,
    password: str | None,
) -> None:
    publisher, outbox = publish(guarded.port, username=user, password=password)
    assert publisher.connection.wait_connected(10) is False
    assert publisher.connection.state == "refused"
    assert publisher.connection.last_error == "it refuses us: not authorized"
    outbox.accept(told("start"))
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text
    assert "wrong" not in caplog.text
    assert Timing().pause_s("refused", 1, random.Random(3).uniform) == pytest.approx(300, rel=0.1)
    assert publisher.stop(timeout_s=5) is False


def test_the_will_of_a_twin_that_dies_does_not_stay(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], publish: Make
) -> None:
    broker = mosquitto()
    auditor = audit(broker)
    publisher, outbox = publish(broker.port, timing=Timing(proof_s=0.05, online_s=0.0))
    assert publisher.connection.wait_connected(10)
    auditor.wait_for(lambda a: a.words() == ["online"])
    twin = paho.Client(CallbackAPIVersion.VERSION2, client_id="edgeface-hall-copied")
    twin.will_set("edgeface/hall/availability", "offline", qos=1, retain=True)
    twin.connect("127.0.0.1", broker.port)
    twin.loop_read()
    sock = twin.socket()
    assert sock is not None
    sock.close()
    auditor.wait_for(lambda a: a.words() == ["online", "offline"], "the will")
    health: dict[str, Any] = {"at": NOON, "uptime_s": 1.0, "cameras": {}, "stages_ms": {}, "memory_mb": 1.0}
    outbox.accept(health_body(**health, mqtt=publisher.health()))
    auditor.wait_for(lambda a: a.words() == ["online", "offline", "online"], "the word that holds")
    assert publisher.stop()
    auditor.wait_for(lambda a: a.words()[-1] == "offline")


def test_a_refusal_costs_the_others_no_pause_and_is_one_line(
    guarded: Mosquitto, audit: Callable[..., Auditor], publish: Make, caplog: pytest.LogCaptureFixture
) -> None:
    guarded.allow(f"{RIGHTS}topic write edgeface/hall/availability\ntopic write edgeface/hall/yes/#\n")
    auditor = audit(guarded, set_up=as_reader)
    long = Timing(first_s=120.0)
    publisher, outbox = publish(guarded.port, username="hall", password="secret", timing=long)
    for camera in ("no", "nor", "never", "neither", "nowhere", "yes"):
        outbox.accept(told("start", camera=camera))
    auditor.wait_for(lambda a: bool(a.of("visits")))
    eventually(lambda: outbox.idle)
    assert outbox.counters().rejected == 5
    eventually(lambda: publisher.connection.connections == 6, "the connection after the last refusal")
    refusals = [
        message for message in caplog.messages if message.startswith("the broker refuses topic edgeface/hall/n")
    ]
    assert len(refusals) == 5
    # That Mosquitto closes the connection after each is nothing to do anything about.
    assert caplog.messages == refusals
    last_error = "it closes the connection after it refused a message on edgeface/hall/n"
    assert (publisher.connection.last_error or "").startswith(last_error)
    assert publisher.connection.hint == "check what it allows this node to publish, and its limits"


def test_a_refused_topic_is_parked_and_never_looped(
    guarded: Mosquitto, audit: Callable[..., Auditor], publish: Make, caplog: pytest.LogCaptureFixture
) -> None:
    guarded.allow(f"{RIGHTS}topic write edgeface/hall/availability\ntopic write edgeface/hall/yes/#\n")
    auditor = audit(guarded, set_up=as_reader)
    publisher, outbox = publish(guarded.port, username="hall", password="secret")
    assert publisher.connection.wait_connected(10)
    for number in range(30):
        outbox.accept(told("start", str(number), camera="no" if number % 3 else "yes"))
    auditor.wait_for(lambda a: len(a.of("visits")) == 10)
    eventually(lambda: outbox.idle)
    counters = outbox.counters()
    assert (counters.delivered, counters.rejected, sum(counters.dropped.values())) == (10, 20, 0)
    assert publisher.health().parked == 20
    assert publisher.connection.connections <= 3
    refusals = [r.getMessage() for r in caplog.records if "refuses topic" in r.getMessage()]
    assert refusals == [
        "the broker refuses topic edgeface/hall/no/visits: reason 135; its messages are set aside, tried again in 60 s"
    ]


def test_a_refused_topic_without_acknowledgement_costs_two_connections(
    guarded: Mosquitto, audit: Callable[..., Auditor], publish: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Mosquitto refuses QoS 0 by closing the connection and says no word: what follows is asked with QoS 1."""
    guarded.allow(f"{RIGHTS}topic write edgeface/hall/availability\ntopic write edgeface/hall/main/visits\n")
    auditor = audit(guarded, set_up=as_reader)
    publisher, outbox = publish(guarded.port, username="hall", password="secret")
    outbox.accept(told("start"))
    auditor.wait_for(lambda a: bool(a.of("visits")))
    while outbox.counters().rejected < 3:
        outbox.accept(faces_body("main", 640, 360, [visit()], at=NOON))
        eventually(lambda: outbox.idle and publisher.connection.state == "connected")
    outbox.accept(told("end"))
    auditor.wait_for(lambda a: len(a.of("visits")) == 2)
    assert guarded.log().count("Denied PUBLISH") == 2
    assert publisher.connection.connections == 3
    refusals = [text for text in caplog.messages if "refuses topic" in text]
    assert refusals == [
        "the broker refuses topic edgeface/hall/main/faces: reason 135; its messages are set aside, tried again in 60 s"
    ]


def test_a_topic_that_stays_refused_is_asked_ever_more_rarely(
    guarded: Mosquitto, publish: Make, caplog: pytest.LogCaptureFixture
) -> None:
    guarded.allow(f"{RIGHTS}topic write edgeface/hall/availability\n")
    later_s = 0.0
    _, outbox = publish(guarded.port, username="hall", password="secret", clock=lambda: time.monotonic() + later_s)
    for asked, rest_s in enumerate((60, 120, 240), 1):
        outbox.accept(told("start", str(asked)))
        eventually(lambda: outbox.idle)
        assert guarded.log().count("Denied PUBLISH") == asked
        later_s += rest_s - 10
        outbox.accept(told("update", str(asked)))
        eventually(lambda: outbox.idle)
        assert guarded.log().count("Denied PUBLISH") == asked, "it rests"
        later_s += 20
    told_s = [text.rsplit(" in ", 1)[1] for text in caplog.messages if "refuses topic" in text]
    assert told_s == ["60 s", "120 s", "240 s"]
    assert Timing().rest_s(0) == 300
    assert Timing().rest_s(100) == 3600


def test_a_topic_that_is_allowed_later_gets_what_was_parked(
    guarded: Mosquitto, audit: Callable[..., Auditor], publish: Make
) -> None:
    guarded.allow(f"{RIGHTS}topic write edgeface/hall/availability\n")
    auditor = audit(guarded, set_up=as_reader)
    later_s = 0.0
    publisher, outbox = publish(
        guarded.port, username="hall", password="secret", clock=lambda: time.monotonic() + later_s
    )
    for number in range(5):
        outbox.accept(told("start", str(number)))
    eventually(lambda: outbox.counters().rejected == 5)
    guarded.allow(f"{RIGHTS}topic write edgeface/hall/#\n")
    outbox.accept(told("update"))
    eventually(lambda: outbox.counters().rejected == 6)
    later_s = FAST.refused_s + 1
    outbox.accept(told("end"))
    auditor.wait_for(lambda a: sorted(a.seqs()) == list(range(7)))
    eventually(lambda: publisher.health().parked == 0)


class Closer:
    """Cuts a connection when it sees a topic: a broker that refuses QoS 0 without a word."""

    def __init__(self, topic: bytes) -> None:
        self.topic = topic
        self.cuts = 0

    def __call__(self, data: bytes) -> bool:
        refused = self.topic in data
        self.cuts += refused
        return refused


def test_a_topic_without_acknowledgement_is_not_looped_either(
    broker: AnyBroker, publish: Make, proxy: Callable[[int], Proxy], caplog: pytest.LogCaptureFixture
) -> None:
    between = proxy(broker.port)
    closer = Closer(b"/faces")
    between.cut_at = closer
    publisher, outbox = publish(between.port)
    assert publisher.connection.wait_connected(10)
    while outbox.counters().rejected < 5:
        outbox.accept(faces_body("main", 640, 360, [visit()], at=NOON))
        eventually(lambda: outbox.idle and publisher.connection.state == "connected")
    assert closer.cuts == 3
    outbox.accept(told("end"))
    eventually(lambda: outbox.idle)
    assert "closes the connection after each message" in caplog.text


def test_a_broker_of_before_mqtt_5_is_spoken_to_in_3_1_1(
    amqtt: Amqtt, audit: Callable[..., Auditor], publish: Make
) -> None:
    auditor = audit(amqtt)
    publisher, outbox = publish(amqtt.port)
    outbox.accept(told("start"))
    auditor.wait_for(lambda a: len(a.of("visits")) == 1)
    assert publisher.connection.protocol == "3.1.1"
    assert publisher.health().protocol == "3.1.1"
    assert publisher.stop()
    auditor.wait_for(lambda a: a.words() == ["online", "offline"])


@pytest.mark.parametrize(("closes", "protocol"), [(1, "5"), (2, "3.1.1"), (5, "3.1.1")])
def test_two_closes_before_the_answer_mean_3_1_1(
    mosquitto: Callable[..., Mosquitto],
    publish: Make,
    proxy: Callable[[int], Proxy],
    closes: int,
    protocol: str,
) -> None:
    between = proxy(mosquitto().port)
    between.closing = closes
    publisher, _ = publish(between.port)
    assert publisher.connection.wait_connected(10)
    assert publisher.connection.protocol == protocol
    assert between.closing == 0
    between.cut()
    eventually(lambda: publisher.connection.connections == 2)
    # A guess of ours is not for ever: this broker does speak MQTT 5.
    assert publisher.connection.protocol == "5"


def test_two_nodes_with_one_client_id_slow_down_and_say_why(
    mosquitto: Callable[..., Mosquitto], publish: Make, caplog: pytest.LogCaptureFixture
) -> None:
    broker = mosquitto()
    timing = Timing(first_s=0.02, most_s=1.0)
    first, _ = publish(broker.port, timing=timing)
    assert first.connection.wait_connected(10)
    publish(broker.port, timing=timing)
    eventually(lambda: "is client id edgeface-hall used twice?" in caplog.text)


class Replies:
    """A broker of a few bytes: answers a packet by its kind, then closes if it has said ``end``."""

    CONNACK = bytes([0x20, 3, 0, 0, 0])

    def __init__(self, replies: dict[int, bytes | Callable[[bytes], bytes]], *, end: bytes | None = None) -> None:
        self.port = free_port()
        self.accepted = 0
        self._replies = replies
        self._end = end
        self._server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.accepted += 1
                with client:
                    self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        while data := client.recv(65_536):
            # Each test's client sends one packet at a time here, so the first byte tells the kind.
            reply = self._replies.get(data[0] & 0xF0, b"")
            reply = reply(data) if callable(reply) else reply
            client.sendall(reply)
            if self._end is not None and reply.endswith(self._end):
                return

    def close(self) -> None:
        self._server.close()


def test_a_refusal_and_the_close_that_follows_in_one_breath(publish: Make) -> None:
    refused = bytes([0x87, 0])
    waiting: list[bytes] = []

    def acknowledge(data: bytes) -> bytes:
        numbers = [data[at.end() :][:2] for at in re.finditer(b"/(visits|availability)", data)]
        if b"/visits" not in data or len(waiting) == 0:
            waiting.extend(numbers if b"/visits" in data else [])
            return b"".join(b"\x40\x04" + number + b"\0\0" for number in numbers)
        # The topic was allowed once; then it is not any more, while two messages are under way.
        waiting.extend(numbers)
        if len(waiting) < 3:
            return b""
        return b"\x40\x04" + waiting[1] + b"\0\0" + b"\x40\x04" + waiting[2] + refused

    server = Replies({0x10: Replies.CONNACK, 0x30: acknowledge}, end=refused)
    publisher, outbox = publish(server.port)
    outbox.accept(told("start"))
    eventually(lambda: outbox.idle)
    outbox.accept(told("update"))
    outbox.accept(told("end"))
    eventually(lambda: publisher.connection.connections == 2)
    eventually(lambda: outbox.idle)
    assert publisher.health().parked == 1
    assert outbox.counters().delivered == 2
    assert server.accepted == 2
    server.close()


def test_a_broker_that_names_a_rival_is_left_alone(publish: Make) -> None:
    taken_over = bytes([0xE0, 6, 0x8E, 4, 0x1F, 0, 1]) + b"!"
    rival = Replies({0x10: Replies.CONNACK, 0x30: taken_over}, end=taken_over)
    publisher, _ = publish(rival.port)
    eventually(lambda: publisher.connection.state == "refused")
    assert publisher.connection.last_error == "another client has come with our client id"
    assert rival.accepted == 1
    rival.close()


def test_a_busy_broker_is_tried_again_soon(publish: Make) -> None:
    busy = bytes([0x20, 3, 0, 0x89, 0])
    server = Replies({0x10: busy}, end=busy)
    publisher, _ = publish(server.port)
    eventually(lambda: server.accepted >= 4)
    assert publisher.connection.state == "connecting"
    assert publisher.connection.last_error == "it refuses us: server busy"
    assert publisher.connection.protocol == "5"
    server.close()


def test_what_is_larger_than_the_broker_takes_is_parked_unsent(publish: Make) -> None:
    puback = bytes([0x40, 2, 0, 1])
    small = bytes([0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 200])
    server = Replies({0x10: small, 0x30: puback})
    publisher, outbox = publish(server.port)
    assert publisher.connection.wait_connected(10)
    outbox.accept(told("start"))
    eventually(lambda: outbox.counters().rejected == 1)
    assert publisher.connection.state == "connected"
    server.close()


def test_a_broker_that_is_stuck_is_not_taken_for_an_old_one(mosquitto: Callable[..., Mosquitto], publish: Make) -> None:
    broker = mosquitto()
    broker.signal(signal.SIGSTOP)
    publisher, _ = publish(broker.port, connect_timeout=0.3, timing=Timing(first_s=0.02, most_s=0.1, doubt_s=0.1))
    eventually(lambda: publisher.connection.last_error == "it does not answer within 0.3 s")
    broker.signal(signal.SIGCONT)
    assert publisher.connection.wait_connected(10)
    assert publisher.connection.protocol == "5"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        pytest.param({"ca_file": "/no/ca.pem"}, "mqtt.ca_file: /no/ca.pem cannot be read", id="no authority"),
        pytest.param({"ca_file": __file__}, f"mqtt.ca_file: {__file__} holds no certificate", id="not a certificate"),
        pytest.param({"cert_file": __file__}, f"mqtt.cert_file: {__file__} and its key do not", id="not a pair"),
        pytest.param({"key_file": __file__}, "mqtt.key_file is set without mqtt.cert_file", id="key alone"),
    ],
)
def test_files_that_are_wrong_are_told_before_anything_starts(settings: dict[str, Any], text: str) -> None:
    outbox = Outbox(node="hall", boot="b", capacity=10)
    with pytest.raises(ConfigError, match=text) as caught:
        Publisher(Mqtt(**settings), node="hall", outbox=outbox, password=None)
    assert caught.value.exit_code == 2


def test_the_waits_grow_with_jitter_from_one_second_to_sixty() -> None:
    rng = random.Random(5)
    for failures, bound in [(1, 2), (2, 4), (5, 32), (6, 60), (1000, 60)]:
        drawn = [Timing().pause_s("away", failures, rng.uniform) for _ in range(200)]
        assert min(drawn) >= 1
        assert max(drawn) <= bound
        assert max(drawn) - min(drawn) > bound / 3


def test_a_broker_that_falls_silent_is_noticed(mosquitto: Callable[..., Mosquitto], publish: Make) -> None:
    broker = mosquitto()
    publisher, _ = publish(broker.port, keep_alive=1)
    assert publisher.connection.wait_connected(10)
    broker.signal(signal.SIGSTOP)
    eventually(lambda: publisher.connection.state == "connecting")
    broker.signal(signal.SIGCONT)
    assert publisher.connection.wait_connected(10)


def test_a_mistake_of_ours_in_the_thread_is_told_and_survived(
    broker: AnyBroker, publish: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(Delivery, "pump", broken)
        publisher, outbox = publish(broker.port)
        outbox.accept(told("start"))
        eventually(lambda: "ZeroDivisionError" in caplog.text)
    eventually(lambda: outbox.idle)
    assert publisher.connection.wait_connected(10)


def test_a_certificate_that_goes_away_is_a_refusal_not_a_crash(
    mosquitto: Callable[..., Mosquitto], publish: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    broker = mosquitto(lines=authority.lines)
    publisher, _ = publish(broker.port, ca_file=authority.path("ca"), cert_file=authority.path("node"))
    assert publisher.connection.wait_connected(10)
    (tmp_path / "node.pem").unlink()
    broker.stop()
    eventually(lambda: publisher.connection.state == "refused")
    assert "node.pem cannot be read: No such file or directory" in (publisher.connection.last_error or "")
    assert "Traceback" not in caplog.text


def test_an_outage_leaves_nothing_behind(mosquitto: Callable[..., Mosquitto], publish: Make) -> None:
    broker = mosquitto(anonymous=False)
    # What other tests have left is not ours.
    gc.collect()
    gc.disable()
    try:
        publisher, _ = publish(broker.port, timing=Timing(first_s=0.0, most_s=0.01, refused_s=0.005))
        eventually(lambda: broker.log().count("not authorised") > 5)
        before = len(list(Path("/proc/self/fd").iterdir()))
        eventually(lambda: broker.log().count("not authorised") > 60)
        assert len(list(Path("/proc/self/fd").iterdir())) < before + 10
        assert sum(isinstance(thing, paho.Client) for thing in gc.get_objects()) < 10
    finally:
        gc.enable()
    assert publisher.connection.state == "refused"
