"""Fixtures that several rooms use: real brokers, an auditing subscriber."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from brokers import Amqtt, AnyBroker, Auditor, Mosquitto, Proxy, find_mosquitto

# A shell that starts the tests in its background has Ctrl-C ignored, and every child would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# The same examples every time, and no deadline: a busy machine is not a failure.
hypothesis.settings.register_profile("edgeface", deadline=None, derandomize=True)
hypothesis.settings.load_profile("edgeface")


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
