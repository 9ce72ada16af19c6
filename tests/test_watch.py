"""`edgeface watch` as a child process: prints what arrives, survives the broker, ends on Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import paho.mqtt.client as paho
import pytest
from brokers import AnyBroker, Mosquitto, eventually, free_port
from paho.mqtt.enums import CallbackAPIVersion
from people import NOON, told, visit

from edgeface.config import Mqtt
from edgeface.events import faces_body
from edgeface.publish.mqtt import Publisher
from edgeface.publish.outbox import Outbox

MAIN = """
import argparse, sys
from edgeface.cli import watch
from edgeface.errors import run_command
parser = argparse.ArgumentParser()
watch.add_parser(parser.add_subparsers())
args = parser.parse_args(["watch", *sys.argv[1:]])
sys.exit(run_command(lambda: args.run(args)))
"""


class Watcher:
    """The command, with its output read as it comes."""

    def __init__(self, folder: Path, *options: str) -> None:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("EDGEFACE")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", MAIN, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**environ, "PYTHONPATH": str(Path(__file__).parents[1]), "TZ": "UTC"},
        )
        self.lines: list[str] = []
        self.errors: list[str] = []
        for stream, lines in ((self.process.stdout, self.lines), (self.process.stderr, self.errors)):
            assert stream is not None
            threading.Thread(target=self._read, args=(stream, lines), daemon=True).start()

    @staticmethod
    def _read(stream: IO[str], lines: list[str]) -> None:
        for line in stream:
            lines.append(line)  # noqa: PERF402  each line is to be seen at once

    def wait_ready(self) -> None:
        eventually(lambda: any("connected to broker" in line for line in self.errors), f"{self.errors}")

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(10)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watcher]]:
    running: list[Watcher] = []

    def make(*options: str) -> Watcher:
        running.append(Watcher(tmp_path, *options))
        return running[-1]

    yield make
    for one in running:
        one.process.kill()
        one.process.wait(10)


def publish(port: int, prefix: str = "edgeface") -> None:
    outbox = Outbox(node="hall", boot="b", capacity=10)
    outbox.accept(told("start"))
    outbox.accept(faces_body("main", 4, 3, [visit()], at=NOON))
    outbox.accept(told("end"))
    settings = Mqtt(host="127.0.0.1", port=port, prefix=prefix)
    publisher = Publisher(settings, node="hall", outbox=outbox, password=None)
    publisher.start()
    assert publisher.connection.wait_connected(10)
    assert publisher.stop()


EXPECTED = [
    "hall is online",
    "12:00:02 main: somebody arrived (visit 3f2a)",
    "12:00:02 main: visit 3f2a left after 2 s: nothing became known",
    "hall is offline",
]


def test_events_are_told_in_words(broker: AnyBroker, watch: Callable[..., Watcher]) -> None:
    watcher = watch("--host", "127.0.0.1", "--port", str(broker.port))
    watcher.wait_ready()
    publish(broker.port)
    eventually(lambda: len(watcher.lines) == 4, f"{watcher.lines}")
    assert [line.strip() for line in watcher.lines] == EXPECTED
    assert watcher.interrupt() == 130
    assert "Traceback" not in "".join(watcher.errors)


def test_events_as_json_from_another_prefix(broker: AnyBroker, watch: Callable[..., Watcher], tmp_path: Path) -> None:
    (tmp_path / "edgeface.toml").write_text(f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\nprefix = "house"\n')
    watcher = watch("--json")
    watcher.wait_ready()
    publish(broker.port, "elsewhere")
    publish(broker.port, "house")
    eventually(lambda: len(watcher.lines) == 5, f"{watcher.lines}")
    heard = [json.loads(line) for line in watcher.lines]
    assert heard[0] == {"topic": "house/hall/availability", "payload": "online"}
    assert [h["payload"]["seq"] for h in heard[1:4]] == [0, 1, 2]
    assert heard[2]["topic"] == "house/hall/main/faces"


def test_a_broker_that_goes_and_comes(mosquitto: Callable[..., Mosquitto], watch: Callable[..., Watcher]) -> None:
    broker = mosquitto()
    watcher = watch("--host", "127.0.0.1", "--set", f"mqtt.port={broker.port}")
    watcher.wait_ready()
    broker.stop()
    eventually(lambda: any(" lost: " in line for line in watcher.errors))
    broker.start()
    eventually(lambda: any(" is back " in line for line in watcher.errors))
    eventually(lambda: "SUBSCRIBE from edgeface-watch" in broker.log().rpartition("starting")[2])
    publish(broker.port)
    eventually(lambda: len(watcher.lines) == 4, f"{watcher.lines}")


def test_no_broker_is_one_line_and_exit_1(mosquitto: Callable[..., Mosquitto], watch: Callable[..., Watcher]) -> None:
    broker = mosquitto(anonymous=False)
    watcher = watch("--host", "127.0.0.1", "--port", str(broker.port))
    assert watcher.process.wait(15) == 1
    eventually(lambda: any(line.startswith("edgeface: broker 127.0.0.1") and ";" in line for line in watcher.errors))
    assert "it refuses us: not authorized" in watcher.errors[-1]
    assert watcher.lines == []


FOREIGN = {
    **{"v": 1, "at": "2026-11-25T06:47:19.907Z", "node": "h", "boot": "b", "seq": 1, "camera": "main"},
    **{"event": "start", "started": "2026-11-25T06:47:19.907Z", "ended": None, "seconds": 1.0, "reason": None},
    **{"visit": "x", "age": None, "gender": None, "expression": None},
}
HOSTILE = [
    json.dumps({**FOREIGN, "at": "2026-13-01T00:00:00.000Z"}).encode(),
    json.dumps({**FOREIGN, "at": "0001-01-01T00:00:00.000Z"}).encode(),
    b'{"v": 1, "at": ' + b"[" * 100_000,
    b"\xff\xfe",
    b'{"v": 1e999}',
    b"9" * 5000,
    json.dumps({**FOREIGN, "visit": "x\x1b]0;owned\x07\x1b[2J\nforged line"}).encode(),
    json.dumps({**FOREIGN, "visit": "\u202e\u009b\ud800\x7f"}).encode(),
]


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["words", "json"])
def test_no_message_ends_it_or_reaches_the_terminal_raw(
    broker: AnyBroker, watch: Callable[..., Watcher], options: list[str]
) -> None:
    watcher = watch("--host", "127.0.0.1", "--port", str(broker.port), *options)
    watcher.wait_ready()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for payload in HOSTILE:
        client.publish("edgeface/h/main/visits", payload, qos=1).wait_for_publish(10)
    client.publish("edgeface/h/availability", b"on\x1b[2Jline", qos=1).wait_for_publish(10)
    client.loop_stop()
    eventually(lambda: len(watcher.lines) == len(HOSTILE) + 1, f"{watcher.lines} {watcher.errors}")
    text = "".join(watcher.lines)
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    assert len(text) < 1_000_000
    assert r"\u001b" in watcher.lines[-1]
    if options:
        heard = [json.loads(line)["payload"] for line in watcher.lines]
        assert heard[6]["visit"] == "x\x1b]0;owned\x07\x1b[2J\nforged line"
        assert heard[-1] == "on\x1b[2Jline"
    assert watcher.interrupt() == 130
    assert "Traceback" not in "".join(watcher.errors)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        pytest.param(
            ["--port", "70000"],
            "edgeface: --port 70000 is no port; give a number from 1 to 65535\n",
            id="port",
        ),
        pytest.param(["--config", "no.toml"], "edgeface: no.toml does not exist; give an existing", id="no file"),
        pytest.param(["--set", "mqtt.hots=1"], "did you mean mqtt.host?", id="unknown key"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(watch: Callable[..., Watcher], options: list[str], text: str) -> None:
    watcher = watch(*options)
    assert watcher.process.wait(15) == 2
    eventually(lambda: any(text in line for line in watcher.errors), f"{watcher.errors}")


def test_an_absent_broker_is_told_and_waited_for(broker: AnyBroker, watch: Callable[..., Watcher]) -> None:
    port = free_port()
    watcher = watch("--host", "127.0.0.1", "--port", str(port))
    eventually(lambda: any("not reached: connection refused" in line for line in watcher.errors))
    assert watcher.process.poll() is None
    assert watcher.interrupt() == 130
