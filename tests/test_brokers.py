"""Brokers as they are met: limits, refusals, silence, clocks. None of it may hold up the rest."""

from __future__ import annotations

import json
import logging
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme
from brokers import Auditor, Mosquitto, Proxy, Scripted, eventually
from people import NOON, at, told, visit
from publishing import Make

from edgeface.events import NoticeNetwork, SummaryWindow, faces_body, notice_body
from edgeface.publish.outbox import Outbox
from edgeface.publish.timing import Timing

QUICK = Timing(first_s=0.02, most_s=0.1, proof_s=0.1, ack_s=0.5, refused_s=60.0, settled_s=60.0)
NOTICE = notice_body(networks=[], at=NOON)
SUMMARY = SummaryWindow("main", start_s=0).body(0, at=NOON, started_at=at)
FACES = faces_body("main", 640, 360, [visit()], at=NOON)


def event(payload: bytes) -> str:
    return str(json.loads(payload)["event"])


def lines(caplog: pytest.LogCaptureFixture, word: str) -> list[str]:
    return [text for text in (record.getMessage() for record in caplog.records) if word in text]


@pytest.mark.parametrize("limit", ["message_size_limit 200", "max_packet_size 200"])
def test_a_message_that_is_too_large_blocks_no_other(
    mosquitto: Callable[..., Mosquitto],
    audit: Callable[..., Auditor],
    publish: Make,
    caplog: pytest.LogCaptureFixture,
    limit: str,
) -> None:
    broker = mosquitto(lines=[limit])
    auditor = audit(broker)
    publisher, outbox = publish(broker.port, timing=QUICK)
    for body in (NOTICE, told("start"), told("update"), SUMMARY):
        outbox.accept(body)
    eventually(lambda: outbox.idle)
    assert publisher.health().parked == 4, "all are larger than 200 bytes"
    auditor.wait_for(lambda a: "online" in a.words())
    # Once for each topic, however many follow.
    for _ in range(5):
        outbox.accept(told("update"))
    eventually(lambda: outbox.idle)
    assert len(lines(caplog, "main/visits")) <= 1 + len(lines(caplog, "refuses topic"))


def test_of_two_sizes_the_small_one_arrives(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], publish: Make
) -> None:
    network = NoticeNetwork(task="detect", name="yunet", licence="MIT", limits="not for children; " * 20)
    notice = notice_body(networks=[network], at=NOON)
    sizes = Outbox(node="hall", boot="b007", capacity=2)
    for body in (told("end"), notice):
        sizes.accept(body)
    small, large = (len(entry.payload) for entry in (sizes.take(), sizes.take()) if entry)
    broker = mosquitto(lines=[f"message_size_limit {(small + large) // 2}"])
    auditor = audit(broker)
    publisher, outbox = publish(broker.port, timing=QUICK)
    outbox.accept(notice)
    outbox.accept(told("start"))
    outbox.accept(told("end"))
    auditor.wait_for(lambda a: [event(h.payload) for h in a.of("visits")] == ["start", "end"])
    eventually(lambda: outbox.idle)
    assert publisher.health().parked == 1
    assert not auditor.of("notice")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_one_message_on_which_the_broker_closes_is_set_aside(
    scripted: Callable[..., Scripted], publish: Make, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    poison = b'"visit":"bad"'
    broker = scripted(
        lambda _topic, payload, _qos, _n: Scripted.CLOSE if poison in payload else 0,
        connack=[0x84] if version == "3.1.1" else [],
    )
    publisher, outbox = publish(broker.port, timing=QUICK)
    outbox.accept(told("start", "good"))
    eventually(lambda: len(broker.taken("/visits")) == 1)
    for body in (told("start", "bad"), told("end", "good"), SUMMARY):
        outbox.accept(body)
    eventually(lambda: outbox.idle, "the poison set aside")
    assert publisher.connection.protocol == version
    assert {event(payload) for payload in broker.taken("/visits")} == {"start", "end"}
    assert broker.taken("/summary")
    assert publisher.health().parked == 1
    assert len(lines(caplog, "neither takes nor refuses")) == 1
    assert len(broker.connects) <= 6


def test_a_topic_on_which_the_broker_closes_stands_before_nothing(
    scripted: Callable[..., Scripted], publish: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """MQTT 3.1.1: `notice` comes first and closes every connection."""
    broker = scripted(
        lambda topic, *_: Scripted.CLOSE if topic.endswith(("/notice", "/availability")) else 0, connack=[0x84]
    )
    publisher, outbox = publish(broker.port, timing=QUICK)
    outbox.accept(NOTICE)
    outbox.accept(told("start"))
    eventually(lambda: bool(broker.taken("/visits")), "a visit")
    eventually(lambda: outbox.idle)
    eventually(lambda: len(lines(caplog, "refuses topic")) == 2)
    assert publisher.health().parked == 1


def test_faces_are_sent_at_most_once_also_where_they_are_to_be_acknowledged(
    scripted: Callable[..., Scripted], publish: Make
) -> None:
    broker = scripted(lambda topic, *_: Scripted.CLOSE if topic.endswith("/faces") else 0)
    publisher, outbox = publish(broker.port, timing=QUICK)
    while outbox.counters().rejected < 2:
        outbox.accept(FACES)
        eventually(lambda: outbox.idle and publisher.connection.state == "connected")
    sent = [(payload, qos) for topic, payload, qos, _ in broker.seen if topic.endswith("/faces")]
    assert [qos for _, qos in sent] == [0, 1, 1]
    assert len({payload for payload, _ in sent}) == 3


def test_a_broker_that_acknowledges_nothing_is_left_and_found_again(
    scripted: Callable[..., Scripted], publish: Make
) -> None:
    silent = True
    broker = scripted(lambda _topic, _payload, qos, n: None if silent and qos and n > 1 else 0)
    publisher, outbox = publish(broker.port, timing=QUICK)
    for number in range(30):
        outbox.accept(told("start", str(number)))
    outbox.accept(FACES)
    # QoS 0 does not wait behind what is not acknowledged.
    eventually(lambda: bool(broker.taken("/faces")))
    eventually(lambda: len(broker.connects) > 2, "a new connection")
    assert publisher.connection.last_error == "it acknowledges nothing within 0.5 s"
    assert publisher.health().parked == 0, "a broker that is stuck refuses nothing"
    silent = False
    eventually(lambda: outbox.idle)
    assert outbox.counters().delivered == 31


def test_one_message_that_is_never_acknowledged_is_set_aside(scripted: Callable[..., Scripted], publish: Make) -> None:
    broker = scripted(lambda _topic, payload, _qos, _n: None if b'"visit":"bad"' in payload else 0)
    publisher, outbox = publish(broker.port, timing=QUICK)
    outbox.accept(told("start", "good"))
    eventually(lambda: outbox.idle)
    outbox.accept(told("start", "bad"))
    numbers = iter(range(10_000))
    deadline_s = time.monotonic() + 15
    while outbox.counters().rejected == 0 and time.monotonic() < deadline_s:
        outbox.accept(told("end", f"good-{next(numbers)}"))
        time.sleep(0.02)
    assert publisher.health().parked == 1
    eventually(lambda: outbox.idle)
    # What waited at the new connection says that it is replayed: another payload of the same message.
    sent = {(json.loads(one)["visit"], event(one)) for one in broker.taken("/visits")}
    assert len(sent) == next(numbers) + 1


@pytest.mark.parametrize("reason", [0x80, 0x83, 0x97, 0x91])
def test_what_the_broker_cannot_take_now_waits(
    scripted: Callable[..., Scripted], publish: Make, caplog: pytest.LogCaptureFixture, reason: int
) -> None:
    caplog.set_level(logging.INFO, "edgeface")
    full = False
    broker = scripted(lambda topic, *_: reason if full and topic.endswith("/visits") else 0)
    publisher, outbox = publish(broker.port, timing=QUICK)
    outbox.accept(told("start", "before"))
    eventually(lambda: outbox.idle)
    full = True
    for number in range(10):
        outbox.accept(told("start", str(number)))
    eventually(lambda: sum(r == reason for *_, r in broker.seen) >= 12, "many refusals")
    outbox.accept(SUMMARY)
    eventually(lambda: bool(broker.taken("/summary")), "the other topic")
    full = False
    eventually(lambda: outbox.idle)
    assert len(broker.taken("/visits")) == 11
    assert publisher.health().parked == 0
    assert len(lines(caplog, "cannot take messages")) == 1
    assert len(lines(caplog, "takes messages on")) == 1
    assert len(broker.connects) == 1


def test_one_message_that_the_broker_never_wants_gives_way(scripted: Callable[..., Scripted], publish: Make) -> None:
    broker = scripted(lambda _topic, payload, _qos, _n: 0x83 if b'"visit":"bad"' in payload else 0)
    publisher, outbox = publish(broker.port, timing=QUICK)
    for name in ("bad", "1", "2", "3"):
        outbox.accept(told("start", name))
    eventually(lambda: outbox.idle)
    assert (len(broker.taken("/visits")), publisher.health().parked) == (3, 1)


@pytest.mark.parametrize("reason", [0x95, 0x99])
def test_a_message_refused_for_itself_is_not_sent_again(
    scripted: Callable[..., Scripted], publish: Make, caplog: pytest.LogCaptureFixture, reason: int
) -> None:
    broker = scripted(lambda topic, *_: reason if topic.endswith("/notice") else 0)
    publisher, outbox = publish(broker.port)
    for body in (NOTICE, told("start"), NOTICE, told("end")):
        outbox.accept(body)
        eventually(lambda: outbox.idle)
    assert publisher.health().parked == 2
    assert len(broker.taken("/visits")) == 2
    assert len(lines(caplog, "/notice")) == 1


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (["retain_available false"], ["keeps no retained messages"]),
        (["max_qos 0"], ["takes QoS 0 only"]),
        (["retain_available false", "max_qos 0"], ["keeps no retained messages", "takes QoS 0 only"]),
    ],
    ids=["no retain", "QoS 0", "neither"],
)
def test_a_broker_that_can_less_is_used_as_it_is(
    mosquitto: Callable[..., Mosquitto],
    audit: Callable[..., Auditor],
    publish: Make,
    caplog: pytest.LogCaptureFixture,
    limits: list[str],
    said: list[str],
) -> None:
    broker = mosquitto(lines=limits)
    auditor = audit(broker)
    publisher, outbox = publish(broker.port, timing=QUICK)
    assert publisher.connection.wait_connected(10), publisher.connection.last_error
    for body in (NOTICE, told("start"), FACES):
        outbox.accept(body)
    auditor.wait_for(lambda a: len(a.of("notice")) == len(a.of("visits")) == len(a.of("faces")) == 1)
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == len(said)
    assert all(any(word in line for line in warnings) for word in said)
    assert publisher.stop()
    auditor.wait_for(lambda a: a.words() == ["online", "offline"])


def test_a_broker_that_takes_no_last_will_is_used_without(
    scripted: Callable[..., Scripted], publish: Make, caplog: pytest.LogCaptureFixture
) -> None:
    topic_invalid = 0x90
    broker = scripted(connack=[topic_invalid])
    publisher, _ = publish(broker.port)
    assert publisher.connection.wait_connected(10)
    assert [body[7] & 4 for body in broker.connects] == [4, 0]
    assert len(lines(caplog, "takes no last will")) == 1


@pytest.mark.parametrize(
    ("reason", "state", "hint"),
    [
        (0x86, "refused", "check user, password and certificates"),
        (0x85, "refused", "check mqtt.client_id and node.id"),
        (0x8A, "refused", "ask who runs the broker"),
        (0x9D, "refused", "set mqtt.host and mqtt.port anew"),
        (0x88, "connecting", ""),
        (0x97, "connecting", ""),
        (0x9C, "connecting", ""),
        (0x9F, "connecting", ""),
    ],
)
def test_a_refusal_says_what_to_do(
    scripted: Callable[..., Scripted],
    publish: Make,
    caplog: pytest.LogCaptureFixture,
    reason: int,
    state: str,
    hint: str,
) -> None:
    broker = scripted(connack=[reason] * 50)
    publisher, _ = publish(broker.port)
    eventually(lambda: publisher.connection.last_error is not None)
    eventually(lambda: publisher.connection.state == state)
    assert hint in caplog.text
    assert "password" not in caplog.text or reason == 0x86
    assert publisher.connection.protocol == "5", "a refusal is an answer"


def test_a_broker_that_spoke_mqtt_5_is_not_doubted(
    mosquitto: Callable[..., Mosquitto], publish: Make, proxy: Callable[[int], Proxy]
) -> None:
    between = proxy(mosquitto().port)
    publisher, _ = publish(between.port)
    assert publisher.connection.wait_connected(10)
    between.closing = 5
    between.cut()
    eventually(lambda: publisher.connection.connections == 2)
    assert publisher.connection.protocol == "5"


def test_what_is_retained_is_there_again_after_a_broker_forgot_it(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], publish: Make
) -> None:
    broker = mosquitto(lines=["persistence false"])
    publisher, outbox = publish(broker.port)
    for body in (NOTICE, SUMMARY, told("start")):
        outbox.accept(body)
    eventually(lambda: outbox.idle)
    broker.kill()
    broker.start()
    eventually(lambda: publisher.connection.connections == 2)
    late = audit(broker)
    late.wait_for(lambda a: a.words() == ["online"] and len(a.of("notice")) == len(a.of("summary")) == 1)
    assert late.of("visits") == []
    assert outbox.counters().delivered == 3, "what is sent again is not counted again"


def test_a_slow_broker_is_reached_with_patience(scripted: Callable[..., Scripted], publish: Make) -> None:
    broker = scripted(late_s=0.5)
    timing = Timing(first_s=0.02, most_s=0.1, doubt_s=0.05)
    hasty, _ = publish(broker.port, timing=timing, connect_timeout=0.2)
    eventually(lambda: hasty.connection.last_error == "it does not answer within 0.2 s")
    patient, _ = publish(broker.port, timing=timing, connect_timeout=10.0)
    assert patient.connection.wait_connected(10)
    assert patient.connection.protocol == "5"


def test_two_nodes_with_one_id_are_counted_not_told_each_time(
    scripted: Callable[..., Scripted], publish: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Each connection is taken over as soon as it has said that it is online."""
    caplog.set_level(logging.INFO, "edgeface")
    server = socket.create_server(("127.0.0.1", 0))
    taken = []

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                client.recv(4096)
                client.sendall(bytes([0x20, 3, 0, 0, 0]))
                client.recv(4096)
                client.sendall(bytes([0xE0, 1, 0x8E]))
                taken.append(1)

    threading.Thread(target=serve, daemon=True).start()
    publish(server.getsockname()[1], timing=Timing(refused_s=0.01))
    eventually(lambda: len(taken) > 25)
    server.close()
    assert len(lines(caplog, "another client has come")) == 2
    assert "client id edgeface-hall 10 times; give each its own node.id" in caplog.text
    assert len(caplog.records) <= 5


class Dated:
    """An authority at home, and a broker's certificate that is valid from a moment on."""

    def __init__(self, folder: Path, begin: datetime) -> None:
        ca = trustme.CA()
        self.ca = str(folder / "ca.pem")
        ca.cert_pem.write_to_path(self.ca)
        cert = ca.issue_cert("localhost", not_before=begin, not_after=begin + timedelta(days=30))
        cert.private_key_pem.write_to_path(folder / "b.key")
        cert.cert_chain_pems[0].write_to_path(folder / "b.pem")
        self.lines = [f"cafile {self.ca}", f"certfile {folder / 'b.pem'}", f"keyfile {folder / 'b.key'}"]


def test_a_certificate_of_tomorrow_is_tried_again_soon_and_when_the_clock_is_set(
    mosquitto: Callable[..., Mosquitto], publish: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dated = Dated(tmp_path, datetime.now(timezone.utc) + timedelta(days=1))
    broker = mosquitto(lines=dated.lines)
    set_s = 0.0
    publisher, _ = publish(
        broker.port,
        ca_file=dated.ca,
        timing=Timing(first_s=30.0, turn_s=0.05),
        wall=lambda: time.time() + set_s,
    )
    eventually(lambda: publisher.connection.last_error is not None)
    assert publisher.connection.state == "connecting", "no refusal: the clock is wrong"
    eventually(lambda: "is that clock right?" in caplog.text)
    before = broker.log().count("New connection")
    set_s = 86_400.0
    eventually(lambda: broker.log().count("New connection") > before, "a try when the clock jumps", 10)


def test_an_expired_certificate_is_a_refusal(
    mosquitto: Callable[..., Mosquitto], publish: Make, tmp_path: Path
) -> None:
    dated = Dated(tmp_path, datetime.now(timezone.utc) - timedelta(days=60))
    publisher, _ = publish(mosquitto(lines=dated.lines).port, ca_file=dated.ca)
    assert publisher.connection.wait_connected(10) is False
    assert publisher.connection.state == "refused"
    assert "certificate has expired" in (publisher.connection.last_error or "")


def test_the_ca_file_is_the_only_authority(
    mosquitto: Callable[..., Mosquitto], publish: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = Dated(tmp_path, datetime.now(timezone.utc) - timedelta(days=1))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ours.pem"))
    broker = mosquitto(lines=public.lines)
    # The system trusts the authority that signed the broker's certificate; `ca_file` names another.
    monkeypatch.setenv("SSL_CERT_FILE", public.ca)
    trusting, _ = publish(broker.port, tls=True)
    assert trusting.connection.wait_connected(10), trusting.connection.last_error
    pinned, _ = publish(broker.port, ca_file=str(tmp_path / "ours.pem"))
    assert pinned.connection.wait_connected(10) is False
    assert "its certificate does not hold" in (pinned.connection.last_error or "")


def test_a_thousand_descriptors_are_no_limit(mosquitto: Callable[..., Mosquitto], publish: Make) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1400:
        pytest.skip(f"only {hard} descriptors are allowed here")
    broker = mosquitto()
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1400), hard))
    try:
        with ExitStack() as stack:
            for _ in range(1100):
                stack.enter_context(Path("/dev/null").open("rb"))
            publisher, outbox = publish(broker.port)
            outbox.accept(told("start"))
            eventually(lambda: outbox.idle)
            assert publisher.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_broker_that_stops_reading_costs_no_memory_and_no_message(publish: Make) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    held = []

    def serve() -> None:
        client, _ = server.accept()
        client.recv(4096)
        client.sendall(bytes([0x20, 3, 0, 0, 0]))
        held.append(client)

    threading.Thread(target=serve, daemon=True).start()
    publisher, outbox = publish(server.getsockname()[1], timing=QUICK)
    eventually(lambda: bool(held))
    for number in range(100):
        outbox.accept(told("end", f"{number}-" + "x" * 60_000))
    eventually(lambda: publisher.connection.last_error is not None, "the connection given up")
    assert outbox.counters().delivered == 0
    assert outbox.counters().queued == 100
    server.close()
    held[0].close()


def test_a_new_publisher_goes_on_where_another_left(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], publish: Make
) -> None:
    old, new = mosquitto(), mosquitto()
    publisher, outbox = publish(old.port)
    outbox.accept(NOTICE)
    eventually(lambda: outbox.idle)
    old.signal(signal.SIGSTOP)
    for number in range(30):
        outbox.accept(told("start", str(number)))
    publisher.hand_over(timeout_s=0.2)
    auditor = audit(new)
    publish(new.port, outbox=outbox)
    auditor.wait_for(lambda a: len(a.of("visits")) == 30 and len(a.of("notice")) == 1, "all on the new broker")
    assert [heard.json["seq"] for heard in auditor.of("visits")] == list(range(1, 31))
    old.signal(signal.SIGCONT)
