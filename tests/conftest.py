"""Fixtures that several rooms use: real brokers, an auditing subscriber."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from brokers import Amqtt, AnyBroker, Auditor, Mosquitto, Proxy, Scripted, find_mosquitto
from daemons import Child, Manager
from publishing import Make, make_publisher

from edgeface.publish.mqtt import Publisher
from edgeface.publish.outbox import Outbox

# A shell that starts the tests in its background has Ctrl-C ignored, and every child would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# So has nohup the hangup, and a daemon that inherits that takes no new configuration. What we catch, nobody inherits.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


# What a daemon of a test leaves behind is not told to the next one, or to the person who runs the tests.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="edgeface-state-")
# Not a fixture: modules read it when they are imported.
_STATE = os.environ["XDG_STATE_HOME"]
os.environ.pop("STATE_DIRECTORY", None)

# The same examples every time, and no deadline: a busy machine is not a failure.
hypothesis.settings.register_profile("edgeface", deadline=None, derandomize=True)
hypothesis.settings.load_profile("edgeface")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Each run, and each of its workers, has a folder of its own: thousands would lie in /tmp."""
    shutil.rmtree(_STATE, ignore_errors=True)


def pytest_report_header() -> str:
    found = find_mosquitto()
    return f"broker: {found or 'the embedded amqtt (MQTT 3.1.1 only), since Mosquitto is not installed'}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say in which order it ran; a quiet run has no header."""
    seed = config.getoption("randomly_seed", None)
    if seed is not None and config.getoption("randomly_reorganize", True):
        terminalreporter.write_line(f"the same order again: --randomly-seed={seed}")


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Start real Mosquittos: ``mosquitto(lines=[...], anonymous=True, acl=None)``; skips without one."""
    if find_mosquitto() is None:
        pytest.skip("needs MQTT 5: Mosquitto is not installed (apt install mosquitto)")
    running: list[Mosquitto] = []

    def make(**options: Any) -> Mosquitto:
        folder = tmp_path / f"mosquitto-{len(running)}"
        folder.mkdir()
        running.append(Mosquitto(folder, **options))
        return running[-1].start()

    yield make
    for broker in running:
        broker.stop()


@pytest.fixture
def amqtt() -> Iterator[Amqtt]:
    """The embedded broker, started."""
    broker = Amqtt().start()
    yield broker
    broker.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[AnyBroker]:
    """A plain broker: the real Mosquitto, or the embedded one where it is missing."""
    running: AnyBroker = Mosquitto(tmp_path) if find_mosquitto() else Amqtt()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def audit() -> Iterator[Callable[..., Auditor]]:
    """Subscribe to everything on a broker: ``audit(broker, topic="#")``."""
    running: list[Auditor] = []

    def make(broker: AnyBroker, **options: Any) -> Auditor:
        running.append(Auditor(broker.port, version=broker.speaks[0], **options))
        return running[-1]

    yield make
    for auditor in running:
        auditor.close()


@pytest.fixture
def proxy() -> Iterator[Callable[[int], Proxy]]:
    """Stand a TCP proxy before a port."""
    running: list[Proxy] = []

    def make(port: int) -> Proxy:
        running.append(Proxy(port))
        return running[-1]

    yield make
    for one in running:
        one.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    """Start brokers after a script: ``scripted(answer, connack=..., properties=..., late_s=...)``."""
    running: list[Scripted] = []

    def make(*args: Any, **options: Any) -> Scripted:
        running.append(Scripted(*args, **options))
        return running[-1]

    yield make
    for one in running:
        one.close()


@pytest.fixture
def publish() -> Iterator[Make]:
    """Make a publisher and its outbox; they are stopped in the end."""
    running: list[Publisher] = []

    def make(port: int, **options: Any) -> tuple[Publisher, Outbox]:
        publisher, outbox = make_publisher(port, **options)
        running.append(publisher)
        return publisher, outbox

    yield make
    for publisher in running:
        publisher.stop(timeout_s=0.2)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Start the program: ``run(port, "--source", path, environ={})``."""
    running: list[Child] = []

    def make(port: int, *words: object, environ: Mapping[str, str] | None = None, **options: Any) -> Child:
        folder = tmp_path / f"run-{len(running)}"
        folder.mkdir()
        running.append(Child(folder, port, words, environ or {}, **options))
        return running[-1]

    yield make
    for child in running:
        if child.process.poll() is None:
            child.process.kill()
            child.process.wait()


@pytest.fixture
def strace() -> str:
    """The program that shows a child's system calls; skips where it is missing or not allowed."""
    found = shutil.which("strace")
    if found is None or subprocess.run([found, "-f", "-qq", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs strace, and the right to use it (apt install strace)")
    return found


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()
