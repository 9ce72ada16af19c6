"""The program as a service sees it: a real broker, a real socket of the service manager, real signals."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from astronaut import write_film
from brokers import AnyBroker, Auditor, Mosquitto, eventually, free_port
from bundles import Tree, copy, network
from contract import hold

ROOT = Path(__file__).parents[1]
NO_CAMERA = "/dev/edgeface-test-none"
PRELUDE = """
import sys
import edgeface.daemon as daemon
import edgeface.reader as reader
for name, value in {constants!r}.items():
    room = daemon if hasattr(daemon, name) else reader
    assert hasattr(room, name), name
    setattr(room, name, value)
from edgeface.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
QUICK = {"HEALTH_S": 0.2, "RETRY_FIRST_S": 0.05, "RETRY_MOST_S": 0.1, "FLUSH_S": 1.0, "UP_WITHIN_S": 1.0}


class Manager:
    """The service manager's end of the notify protocol."""

    def __init__(self, path: Path) -> None:
        self.environ = {"NOTIFY_SOCKET": str(path)}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self._words: list[str] = []

    def words(self) -> list[str]:
        """Everything that was said so far, one word a line."""
        try:
            while True:
                self._words += self._socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            return self._words

    def count(self, word: str) -> int:
        return self.words().count(word)

    def close(self) -> None:
        self._socket.close()


class Child:
    """``edgeface run`` in a process of its own; its standard error goes to a file that can be read meanwhile."""

    def __init__(self, folder: Path, port: int, words: tuple[object, ...], environ: Mapping[str, str]) -> None:
        self._log = folder / "log"
        keys = {"mqtt.host": "127.0.0.1", "mqtt.port": port}
        command = [sys.executable, "-c", PRELUDE.format(constants=QUICK), "run", *(str(word) for word in words)]
        for key, value in keys.items():
            command += ["--set", f"{key}={value}"]
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("EDGEFACE", "NOTIFY"))}
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command, stderr=log, cwd=folder, env={**clean, **environ, "PYTHONPATH": str(ROOT)}
            )

    def log(self) -> str:
        return self._log.read_text()

    def wait(self) -> int:
        return self.process.wait(60)

    def ask(self, number: int) -> int:
        self.process.send_signal(number)
        return self.wait()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Start the program: ``run(port, "--source", path, environ={})``."""
    running: list[Child] = []

    def make(port: int, *words: object, environ: Mapping[str, str] | None = None) -> Child:
        folder = tmp_path / f"run-{len(running)}"
        folder.mkdir()
        running.append(Child(folder, port, words, environ or {}))
        return running[-1]

    yield make
    for child in running:
        if child.process.poll() is None:
            child.process.kill()
            child.process.wait()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


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


def test_a_finite_run_whose_visits_are_refused_fails(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], run: Callable[..., Child], film: Path
) -> None:
    rights = "".join(f"topic write edgeface/hall/{kind}\n" for kind in ("availability", "health", "notice"))
    broker = mosquitto(acl=f"topic read #\n{rights}")
    auditor = audit(broker)
    child = run(broker.port, "--source", film, "--set", "node.id=hall")
    assert child.wait() == 1
    assert re.search(r"edgeface: broker \S+ refused \d+ messages on visits; ", child.log().splitlines()[-1])
    assert auditor.of("visits") == []


def test_what_a_stopped_run_could_not_deliver_is_told_by_the_next(
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
    words = ("--source", long, "--pace", "realtime", "--set", "node.id=hall")
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


def test_a_stop_does_not_wait_long_for_a_broker_that_is_away(run: Callable[..., Child], manager: Manager) -> None:
    child = run(free_port(), "--source", NO_CAMERA, environ=manager.environ)
    eventually(lambda: manager.count("WATCHDOG=1") > 1, "the daemon")
    started_s = time.monotonic()
    assert child.ask(signal.SIGTERM) == 0
    assert time.monotonic() - started_s < 10


def test_a_second_signal_ends_at_once(run: Callable[..., Child], film: Path) -> None:
    child = run(free_port(), "--source", NO_CAMERA)
    eventually(lambda: "camera main lost" in child.log(), "the daemon")
    child.process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    assert child.ask(signal.SIGTERM) in {0, 128 + signal.SIGTERM}


def test_sighup_starts_again_with_the_configuration_as_it_is_now(
    broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child], manager: Manager, tmp_path: Path
) -> None:
    auditor = audit(broker)
    text = f'[node]\nid = "{{}}"\n[cameras.main]\nsource = "{NO_CAMERA}"\n'
    config = table(tmp_path, text.format("before"))
    child = run(broker.port, "--config", config, environ=manager.environ)
    auditor.wait_for(lambda a: a.words() == ["online"])
    table(tmp_path, text.format("after"))
    child.process.send_signal(signal.SIGHUP)
    auditor.wait_for(lambda a: a.words() == ["online", "offline", "online"])
    said = [(heard.topic, heard.payload) for heard in auditor.of("availability")]
    assert said == [
        ("edgeface/before/availability", b"online"),
        ("edgeface/before/availability", b"offline"),
        ("edgeface/after/availability", b"online"),
    ]
    eventually(lambda: manager.count("READY=1") == 2, "ready again")
    # A manager that heard STOPPING would kill what starts again.
    assert manager.count("STOPPING=1") == 0
    assert child.ask(signal.SIGTERM) == 0
    assert manager.count("STOPPING=1") == 1


def wrong_self_test(tree: Tree) -> None:
    for files in network(tree, "yunet")["files"].values():
        for file in files:
            file["tolerance"] = 0.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--source", "/nowhere/x.mp4"], "edgeface: /nowhere/x.mp4 does not exist; ", id="missing path"),
        pytest.param(["--source", "."], "edgeface: . holds no pictures; ", id="empty folder"),
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
