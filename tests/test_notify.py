"""The datagrams that a service manager hears, on real sockets."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeface.service.notify import Notifier


class Manager:
    """The listening side of the protocol."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.setblocking(False)
        self.environ = {"NOTIFY_SOCKET": address}

    def heard(self) -> list[str]:
        words: list[str] = []
        try:
            while True:
                words.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return words

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify") if request.param == "path" else f"@edgeface-test-{os.getpid()}")
    yield made
    made.close()


def test_the_life_of_a_service(manager: Manager) -> None:
    notifier = Notifier(manager.environ)
    notifier.ready()
    notifier.watchdog()
    notifier.watchdog()
    notifier.stopping()
    assert manager.heard() == ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]


def test_a_status_is_told_when_it_changes(manager: Manager) -> None:
    notifier = Notifier(manager.environ)
    for text in ("one person", "one person", "nobody", "one person"):
        notifier.status(text)
    assert manager.heard() == ["STATUS=one person", "STATUS=nobody", "STATUS=one person"]


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="no manager"),
        pytest.param({"NOTIFY_SOCKET": ""}, id="empty"),
        pytest.param({"NOTIFY_SOCKET": "/nonexistent/notify"}, id="no such socket"),
        pytest.param({"NOTIFY_SOCKET": "@edgeface-nobody-listens"}, id="nobody listens"),
        pytest.param({"NOTIFY_SOCKET": "/" + "x" * 200}, id="longer than an address can be"),
    ],
)
def test_a_manager_that_does_not_listen_stops_nothing(environ: dict[str, str]) -> None:
    notifier = Notifier(environ)
    notifier.ready()
    notifier.watchdog()
    notifier.status("still here")
    notifier.stopping()


def test_a_manager_that_does_not_read_is_not_waited_for(manager: Manager) -> None:
    notifier = Notifier(manager.environ)
    started_s = time.monotonic()
    for _ in range(1000):
        notifier.watchdog()
        notifier.status("busy")
    assert time.monotonic() - started_s < 2
    heard = manager.heard()
    assert 1 < len(heard) < 1500
    notifier.status("not heard before" if "STATUS=busy" in heard else "busy")
    assert len(manager.heard()) == 1, "it is told again when there is room"


def test_no_socket_is_left_open(manager: Manager) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    notifier = Notifier(manager.environ)
    for _ in range(100):
        notifier.watchdog()
        manager.heard()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
