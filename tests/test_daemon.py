"""The program as a service sees it: a real broker, a real socket of the service manager, real signals."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from astronaut import write_film
from brokers import AnyBroker, Auditor, Authority, Mosquitto, eventually, free_port
from bundles import Tree, copy, network
from contract import hold
from daemons import NO_CAMERA, Child, Manager


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "she.mp4", seconds=2.0)


def table(folder: Path, text: str) -> Path:
    path = folder / "edgeface.toml"
    path.write_text(text)
    return path


def test_two_cameras_both_give_visits(
    broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child], film: Path, tmp_path: Path
) -> None:
    auditor = audit(broker)
    other = write_film(tmp_path / "other.mp4", seconds=1.5)
    config = table(
        tmp_path, f'[node]\nid = "hall"\n[cameras.door]\nsource = "{film}"\n[cameras.desk]\nsource = "{other}"\n'
    )
    child = run(broker.port, "--config", config)
    assert child.wait() == 0, child.log()
    auditor.wait_for(lambda a: a.words() == ["online", "offline"])
    events = [heard.json for heard in auditor.of("visits")]
    for camera, seconds in (("door", 1.9), ("desk", 1.4)):
        own = [event for event in events if event["camera"] == camera]
        assert [event["event"] for event in own if event["event"] != "update"] == ["start", "end"]
        assert len({event["visit"] for event in own}) == 1
        assert (own[-1]["reason"], own[-1]["seconds"]) == ("source_ended", pytest.approx(seconds, abs=0.11))
        assert own[-1]["gender"]["label"] == "female"
    assert len({event["visit"] for event in events}) == 2
    assert {heard.topic for heard in auditor.of("summary")} == {
        f"edgeface/hall/{camera}/summary" for camera in ("door", "desk")
    }
    health = auditor.of("health")[-1].json
    assert set(health["cameras"]) == {"door", "desk"}
    dropped = sum(int(count) for count in health["mqtt"]["dropped"].values())
    counts = hold(auditor, node="hall", gaps=dropped)
    assert (counts["notice"], counts["summary"]) == (1, 4)


def test_one_bad_file_does_not_silence_the_other(
    broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child], film: Path, tmp_path: Path
) -> None:
    auditor = audit(broker)
    (tmp_path / "bad.mp4").write_bytes(b"no video" * 100)
    config = table(tmp_path, f'[cameras.bad]\nsource = "{tmp_path}/bad.mp4"\n[cameras.good]\nsource = "{film}"\n')
    child = run(broker.port, "--config", config)
    assert child.wait() == 1
    assert child.log().splitlines()[-1].startswith(f"edgeface: {tmp_path}/bad.mp4 is not a video that can be opened")
    assert "Traceback" not in child.log()
    auditor.wait_for(lambda a: a.words() == ["online", "offline"])
    assert [heard.json["event"] for heard in auditor.of("visits")][-1] == "end"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_a_stop_tells_the_last_visit_and_the_service_manager(
    broker: AnyBroker,
    audit: Callable[..., Auditor],
    run: Callable[..., Child],
    manager: Manager,
    tmp_path: Path,
    number: int,
    code: int,
) -> None:
    auditor = audit(broker)
    long = write_film(tmp_path / "long.mp4", seconds=30)
    child = run(broker.port, "--source", long, "--pace", "realtime", environ=manager.environ)
    auditor.wait_for(lambda a: bool(a.of("visits")), "somebody")
    eventually(lambda: manager.count("WATCHDOG=1") > 3, "the watchdog's food")
    assert child.ask(number) == code
    auditor.wait_for(lambda a: a.words() == ["online", "offline"])
    end = auditor.of("visits")[-1].json
    assert (end["event"], end["reason"]) == ("end", "stopped")
    words = manager.words()
    assert words[0] == "READY=1"
    assert words[-1] == "STOPPING=1"
    assert (words.count("READY=1"), words.count("STOPPING=1")) == (1, 1)
    assert "Traceback" not in child.log()


def test_a_finite_run_without_a_broker_fails(run: Callable[..., Child], manager: Manager, film: Path) -> None:
    child = run(free_port(), "--source", film, environ=manager.environ)
    assert child.wait() == 1
    assert child.log().splitlines()[-1].startswith("edgeface: broker 127.0.0.1:")
    assert "connection refused" in child.log().splitlines()[-1]
    assert "READY=1" not in manager.words()


def test_a_finite_run_that_fails_says_what_its_connection_knew(
    mosquitto: Callable[..., Mosquitto], run: Callable[..., Child], film: Path, tmp_path: Path
) -> None:
    child = run(mosquitto(lines=Authority(tmp_path).lines).port, "--source", film)
    assert child.wait() == 1
    assert child.log().splitlines()[-1].endswith(": it expects TLS on this port; set mqtt.tls or mqtt.ca_file")


def test_a_finite_run_whose_visits_are_refused_fails(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], run: Callable[..., Child], film: Path
) -> None:
    rights = "".join(f"topic write edgeface/hall/{kind}\n" for kind in ("availability", "health", "notice"))
    broker = mosquitto(acl=f"topic read #\n{rights}")
    auditor = audit(broker)
    # Each refused topic costs a connection of its own: on a busy machine that is more than the second of other tests.
    child = run(broker.port, "--source", film, "--set", "node.id=hall", flush_s=20.0)
    assert child.wait() == 1
    assert re.search(r"edgeface: broker \S+ refused \d+ messages on visits; ", child.log().splitlines()[-1])
    assert auditor.of("visits") == []


def test_what_a_stopped_run_without_a_spool_could_not_deliver_is_told_by_the_next(
    mosquitto: Callable[..., Mosquitto],
    audit: Callable[..., Auditor],
    run: Callable[..., Child],
    film: Path,
    tmp_path: Path,
) -> None:
    broker = mosquitto()
    auditor = audit(broker)
    long = write_film(tmp_path / "long.mp4", seconds=60)
    state = {"STATE_DIRECTORY": str(tmp_path / "state")}
    words = ("--source", long, "--pace", "realtime", "--set", "node.id=hall", "--set", "spool.enabled=false")
    child = run(broker.port, *words, environ=state)
    auditor.wait_for(lambda a: bool(a.of("visits")), "somebody")
    broker.stop()
    eventually(lambda: "lost: " in child.log(), "the loss")
    assert child.ask(signal.SIGTERM) == 1, "a finite run that could not deliver"
    boot = auditor.of("visits")[0].json["boot"]
    broker.start()
    again = run(broker.port, *words, environ=state)
    auditor.wait_for(lambda a: any(h.json["mqtt"]["undelivered"] for h in a.of("health")), "the tale")
    (told,) = auditor.of("health")[-1].json["mqtt"]["undelivered"]
    assert (told["boot"], told["exact"]) == (boot, True)
    assert told["visits"] >= 1, "at least its end"
    assert f"{told['messages']} messages of boot {boot} were not delivered" in again.log()


def test_once_without_a_camera_fails(broker: AnyBroker, run: Callable[..., Child]) -> None:
    child = run(broker.port, "--source", NO_CAMERA, "--once")
    assert child.wait() == 1
    assert child.log().splitlines()[-1].startswith("edgeface: ")
    assert NO_CAMERA in child.log()
    assert "Traceback" not in child.log()


def test_a_live_daemon_gives_up_neither_on_the_camera_nor_on_the_broker(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], run: Callable[..., Child], manager: Manager
) -> None:
    broker = mosquitto()
    broker.stop()
    child = run(broker.port, "--source", NO_CAMERA, environ=manager.environ)
    # Ready and fed without camera and broker: only a stuck call may starve the watchdog.
    eventually(lambda: manager.count("WATCHDOG=1") > 5, "the watchdog's food")
    assert manager.words()[0] == "READY=1"
    eventually(lambda: "camera main lost: " in child.log(), "the camera's loss")
    broker.start()
    auditor = audit(broker)
    auditor.wait_for(lambda a: a.words() == ["online"], "the daemon at the broker")
    auditor.wait_for(lambda a: len(a.of("health")) > 3, "health")
    assert auditor.of("health")[-1].json["cameras"]["main"]["state"] == "away"
    assert child.process.poll() is None
    assert child.ask(signal.SIGTERM) == 0
    # Both were tried many times and said once.
    assert child.log().count("camera main lost: ") == 1
    assert sum("broker" in line and "WARNING" in line for line in child.log().splitlines()) == 1, child.log()
    auditor.wait_for(lambda a: a.words() == ["online", "offline"])


def test_health_tells_of_a_lost_camera_at_once(
    broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child]
) -> None:
    auditor = audit(broker)
    run(broker.port, "--source", NO_CAMERA, health_s=3600.0)
    auditor.wait_for(lambda a: bool(a.of("health")) and a.of("health")[-1].json["cameras"]["main"]["state"] == "away")
    problems = [heard.json["problems"] for heard in auditor.of("health")]
    assert (problems[0], problems[-1]) == ([], [{"about": "camera", "text": "camera main is away"}])


def test_the_health_that_stays_at_the_broker_says_that_it_is_reached(
    broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child]
) -> None:
    """The first is written before anything is connected, and would say so for a minute."""
    auditor = audit(broker)
    run(broker.port, "--source", NO_CAMERA, health_s=3600.0)
    auditor.wait_for(lambda a: bool(a.of("health")) and a.of("health")[-1].json["mqtt"]["state"] == "connected")


def test_a_stop_does_not_wait_long_for_a_broker_that_is_away(run: Callable[..., Child], manager: Manager) -> None:
    child = run(free_port(), "--source", NO_CAMERA, environ=manager.environ)
    eventually(lambda: manager.count("WATCHDOG=1") > 1, "the daemon")
    started_s = time.monotonic()
    assert child.ask(signal.SIGTERM) == 0
    assert time.monotonic() - started_s < 10


def test_a_second_signal_ends_at_once(
    mosquitto: Callable[..., Mosquitto], run: Callable[..., Child], manager: Manager
) -> None:
    broker = mosquitto()
    child = run(broker.port, "--source", NO_CAMERA, environ=manager.environ, flush_s=60)
    eventually(lambda: "connected to broker" in child.log(), "the connection")
    broker.signal(signal.SIGSTOP)
    child.process.send_signal(signal.SIGTERM)
    eventually(lambda: manager.count("STOPPING=1") == 1, "the stop, which waits for the broker")
    assert child.ask(signal.SIGTERM) == 128 + signal.SIGTERM


def wrong_self_test(tree: Tree) -> None:
    for files in network(tree, "yunet")["files"].values():
        for file in files:
            file["tolerance"] = 0.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--source", "/nowhere/x.mp4"], "edgeface: /nowhere/x.mp4 does not exist; ", id="missing path"),
        pytest.param(["--source", "."], "edgeface: . holds no pictures or videos; ", id="empty folder"),
        pytest.param(["--set", "mqtt.hots=x"], "edgeface: configuration: mqtt.hots: unknown key; did you", id="key"),
        pytest.param(
            ["--set", "mqtt.password_file=/nowhere/p"], "edgeface: the password file /nowhere/p", id="password"
        ),
        pytest.param(["--bundle", "nothing"], "edgeface: bundle 'nothing' is in none of ", id="bundle"),
    ],
)
def test_what_another_try_would_not_mend_is_exit_2(
    broker: AnyBroker, run: Callable[..., Child], manager: Manager, words: list[Any], said: str
) -> None:
    child = run(broker.port, *words, environ=manager.environ)
    assert child.wait() == 2
    last = child.log().splitlines()[-1]
    assert last.startswith(said), child.log()
    assert "Traceback" not in child.log()
    if words[0] != "--source":
        assert "READY=1" not in manager.words()


def test_a_bundle_that_fails_its_self_test_is_never_ready(
    run: Callable[..., Child], manager: Manager, tmp_path: Path
) -> None:
    bundle = copy(tmp_path, wrong_self_test)
    child = run(free_port(), "--bundle", bundle, "--source", NO_CAMERA, environ=manager.environ)
    assert child.wait() == 2
    assert "network yunet (yunet.fp32.onnx) fails its self-test" in child.log()
    assert manager.words() == []


def test_in_steady_state_the_log_is_silent(
    run: Callable[..., Child], broker: AnyBroker, audit: Callable[..., Auditor]
) -> None:
    """Six lines an hour at most: half an hour's `health`, thirty of them, adds none."""
    auditor = audit(broker)
    child = run(broker.port, "--source", NO_CAMERA, "--set", "node.id=hall")
    auditor.wait_for(lambda a: len(a.of("health")) >= 3, "the first minutes")
    begun = child.log().splitlines()
    auditor.wait_for(lambda a: len(a.of("health")) >= 33, "half an hour")
    assert child.log().splitlines()[len(begun) :] == []
    told = auditor.of("health")[-1].json
    assert told["last_error"]["text"].startswith("camera main lost"), "what was said once is still known"
    assert told["machine"]["cpu"] is not None
