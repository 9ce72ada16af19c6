"""The account of a subscriber: what is missing, doubled, late, and what a power cut excuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest
from brokers import Mosquitto, eventually
from hypothesis import given
from hypothesis import strategies as st
from people import NOON, told
from publishing import FAST, Make
from spools import spooled

from edgeface.config import Mqtt
from edgeface.events import Interrupted, MqttHealth, SpoolHealth, as_replayed, decode, health_body
from edgeface.publish.account import Account, RunAccount
from edgeface.publish.outbox import Outbox
from edgeface.publish.session import Arrival
from edgeface.publish.subscriber import Subscriber

TOPIC = "edgeface/hall/main/visits"


def visit(number: int, *, boot: str = "b", event: Any = "start", name: str | None = None, late: bool = False) -> bytes:
    message = told(event, name or str(number)).stamped(node="hall", boot=boot, seq=number, number=number)
    payload = msgspec.json.encode(message)
    return as_replayed("visits", payload) if late else payload


def health(number: int | None, *, boot: str = "b", interrupted: list[Interrupted] | None = None) -> bytes:
    spool = SpoolHealth(state="disk", error=None, number=number, waiting=0, bytes=0, interrupted=interrupted or [])
    mqtt = MqttHealth(state="connected", protocol="5", queued=0, parked=0, dropped={})
    body = health_body(at=NOON, uptime_s=1, cameras={}, stages_ms={}, mqtt=mqtt, memory_mb=None, spool=spool)
    return msgspec.json.encode(body.stamped(node="hall", boot=boot, seq=99))


def account(*payloads: bytes, whole: bool = False) -> RunAccount:
    made = Account(whole=whole)
    for payload in payloads:
        made.heard("edgeface/hall/health" if b'"uptime"' in payload else TOPIC, payload)
    return made.runs()[0]


def test_what_is_missing_is_named_in_ranges() -> None:
    found = account(*(visit(number) for number in (2, 3, 7, 9)))
    assert (found.first, found.last, found.heard) == (2, 9, 4)
    assert found.missing == [(4, 6), (8, 8)]
    assert found.missing_count == 4
    assert not found.good
    assert account(visit(2), whole=True).missing == [(0, 1)]


def test_the_end_of_a_run_that_goes_on_may_still_come_and_of_one_that_is_over_is_missing() -> None:
    going_on = account(visit(0), health(4))
    assert (going_on.missing_count, going_on.outstanding, going_on.good) == (0, 4, True)
    over = account(visit(0), health(4), health(None, boot="next"))
    assert (over.missing, over.outstanding, over.good) == ([(1, 4)], 0, False)


def test_what_was_given_out_before_the_audit_is_not_missing() -> None:
    quiet = account(health(19), health(19))
    assert (quiet.first, quiet.last, quiet.outstanding) == (None, None, 0)
    over = account(health(19), health(21), health(None, boot="next"))
    assert (over.missing_count, over.good) == (0, True), "between two healths we may have come late"
    lost = account(health(19), health(19), health(21), health(None, boot="next"))
    assert (lost.missing, lost.good) == ([(20, 21)], False), "nothing came of what was given out while we listened"
    assert account(health(19), health(19), health(21)).outstanding == 2
    assert account(health(19), health(None, boot="next"), whole=True).missing == [(0, 19)]
    assert account(health(None), health(None), health(1)).outstanding == 2


def test_seconds_before_a_power_cut_excuse_what_lies_in_them_and_nothing_else() -> None:
    cut = Interrupted(boot="b", number=5, seconds=2.0, ended=1)
    payloads = [visit(number) for number in (0, 1, 2, 4, 5, 6, 10_006)]
    found = account(*payloads, health(None, boot="next", interrupted=[cut]))
    assert (found.missing, found.unsure) == ([(3, 3)], 9999)


def test_repeats_are_counted_by_connection() -> None:
    made = Account()
    online = ("edgeface/hall/availability", b"online")
    made.heard(*online)
    for number in range(30):
        made.heard(TOPIC, visit(number))
    for again in (range(10, 30), range(9, 29), range(21)):
        made.heard(*online)
        for number in again:
            made.heard(TOPIC, visit(number, late=True))
    (found,) = made.runs()
    assert (found.repeated, found.most_at_once, found.replayed, found.good) == (61, 21, 61, False)


def test_what_the_broker_tells_us_again_is_not_the_nodes() -> None:
    """The broker was restarted: twenty come again to us, then the node comes back, and twenty of its own."""
    made = Account()
    made.connected()
    made.heard("edgeface/hall/availability", b"online")
    for number in range(40):
        made.heard(TOPIC, visit(number))
    made.connected()
    for number in range(10, 30):
        made.heard(TOPIC, visit(number))
    made.heard("edgeface/hall/availability", b"online")
    for number in range(20, 40):
        made.heard(TOPIC, visit(number, late=True))
    (found,) = made.runs()
    assert (found.repeated, found.most_at_once, found.good) == (40, 20, True)


def test_what_the_broker_says_it_sent_before_is_no_repeat_of_the_nodes() -> None:
    made = Account()
    for number in range(40):
        made.heard(TOPIC, visit(number))
    for number in range(40):
        made.heard(TOPIC, visit(number), redelivered=True)
    (found,) = made.runs()
    assert (found.redelivered, found.repeated, found.most_at_once, found.good) == (40, 0, 0, True)


def test_a_broker_that_is_restarted_before_a_slow_audit_has_read_all(
    mosquitto: Callable[..., Mosquitto], publish: Make, tmp_path: Path
) -> None:
    broker = mosquitto(lines=["autosave_on_changes true", "autosave_interval 1"])
    made, reads = Account(whole=True), Event()

    def hear(arrival: Arrival) -> None:
        assert reads.wait(20)
        made.heard(arrival.topic, arrival.payload, redelivered=arrival.redelivered)

    settings = Mqtt(host="127.0.0.1", port=broker.port)
    audit = Subscriber(settings, password=None, heard=hear, keep_s=3600, connected=made.connected, timing=FAST)
    audit.start()
    eventually(lambda: "SUBSCRIBE" in broker.log(), "the subscription")
    outbox: Outbox = spooled(tmp_path)
    publisher, _ = publish(broker.port, outbox=outbox)
    for number in range(60):
        outbox.accept(told("start", str(number)))
        outbox.accept(told("end", str(number)))
    eventually(lambda: outbox.idle, "delivery")
    broker.stop()
    reads.set()
    broker.start()
    eventually(lambda: sum(run.heard for run in made.runs()) == 120, "the rest")
    audit.stop()
    publisher.stop()
    outbox.close()
    (run,) = made.runs()
    assert (run.missing, run.repeated, run.good) == ([], 0, True)
    assert run.redelivered, "what the audit had not acknowledged comes again"


def test_a_number_that_means_two_messages_is_a_mistake() -> None:
    found = account(visit(0), visit(0, name="another"))
    assert (found.differing, found.repeated, found.good) == (1, 0, False)


def test_visits_that_last_are_counted() -> None:
    found = account(visit(0, name="a"), visit(1, name="b"), visit(2, event="end", name="a"))
    assert (found.lasting, found.good) == (1, True)


def test_what_cannot_be_audited_is_counted() -> None:
    made = Account()
    made.heard(TOPIC, msgspec.json.encode(told("start").stamped(node="old", boot="b", seq=1)))
    made.heard(TOPIC, msgspec.json.encode(told("update").stamped(node="old", boot="b", seq=1)))
    made.heard(TOPIC, b"\xff{")
    made.heard(TOPIC, b'{"at":"\xff"}')
    made.heard(TOPIC, b"[" * 100_000)
    made.heard("edgeface/hall/main/faces", b"\xff{")
    made.heard("availability", b"online")
    assert (made.unnumbered, made.unreadable, made.runs()) == (1, 3, [])


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000,
        b'{"more": ' + b"[" * 100_000,
        msgspec.json.encode(msgspec.json.decode(visit(1)) | {"at": "2026-13-01T00:00:00.000Z"}),
        msgspec.json.encode(msgspec.json.decode(visit(1)) | {"at": "0001-01-01T00:00:00.000Z"}),
    ],
    ids=["deep", "deep where nobody looks", "month 13", "year 1"],
)
def test_a_stranger_s_payload_ends_no_reader(payload: bytes) -> None:
    made = Account(whole=False)
    made.heard(TOPIC, payload)
    assert made.unreadable == 1
    with pytest.raises(msgspec.DecodeError):
        decode("visits", payload)


@given(heard=st.lists(st.integers(0, 30), min_size=1), whole=st.booleans())
def test_heard_and_missing_make_all(heard: list[int], whole: bool) -> None:
    found = account(*(visit(number) for number in heard), whole=whole)
    missing = {number for low, high in found.missing for number in range(low, high + 1)}
    assert missing | set(heard) == set(range(0 if whole else min(heard), max(heard) + 1))
    assert found.missing_count == len(missing)
    assert found.heard + found.repeated == len(heard)


def read_by_all(broker: Mosquitto) -> bool:
    """Whether subscribers have acknowledged what the broker sent them."""
    log = broker.log()
    return log.count("Received PUBACK from edgeface-watch") >= log.count("Sending PUBLISH to edgeface-watch") > 0


def test_the_command_proves_it_at_a_real_broker(
    mosquitto: Callable[..., Mosquitto], publish: Make, tmp_path: Path
) -> None:
    broker = mosquitto()
    command = [sys.executable, "-m", "edgeface", "audit", "--port", str(broker.port), "--host", "127.0.0.1", "--json"]
    with subprocess.Popen([*command, "--whole"], stdout=subprocess.PIPE, env={**os.environ}) as child:
        eventually(lambda: "SUBSCRIBE" in broker.log(), "the subscription", 60)
        outbox: Outbox = spooled(tmp_path)
        publisher, _ = publish(broker.port, outbox=outbox)
        for name in "abc":
            outbox.accept(told("start", name))
            outbox.accept(told("end", name))
        eventually(lambda: outbox.idle, "delivery")
        publisher.stop()
        outbox.close()
        eventually(lambda: read_by_all(broker), "the audit to read them")
        child.send_signal(signal.SIGINT)
        assert child.stdout is not None
        answer = json.loads(child.stdout.read())
        assert child.wait(30) == 0
    (run,) = answer["runs"]
    assert run["redelivered"] == 0
    assert (run["heard"], run["missing"], run["repeated"], run["good"]) == (6, [], 0, True)
    assert (answer["good"], answer["forgotten"]) == (True, 0)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_a_time_that_is_none_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    from edgeface.cli.main import main  # noqa: PLC0415

    assert main(["audit", "--for", seconds]) == 2
    assert "--for" in capsys.readouterr().err
