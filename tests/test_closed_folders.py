"""Folders that may not be looked into, as the service's own is to every other user: passed over, or one line.

Root may look everywhere, so a name that no file system takes stands in: the kernel refuses it at the same calls, and
Python's ``Path.exists`` and its like raise for both.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from brokers import eventually
from bundles import copy
from people import told
from spools import spooled

from edgeface.bundle import find_bundle, open_bundle
from edgeface.config import Config, Mqtt, mqtt_password
from edgeface.diagnosis import hardware
from edgeface.diagnosis.node import Node
from edgeface.errors import BundleError, ConfigError, EdgefaceError, UsageError
from edgeface.files import glimpse
from edgeface.installing import install, remove
from edgeface.proof import prove_once
from edgeface.publish.ledger import Ledger


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    return tmp_path / ("closed" * 50)


def test_what_may_not_be_looked_at_is_nothing(closed: Path, tmp_path: Path) -> None:
    assert [glimpse(path) for path in (closed / "x", tmp_path, tmp_path / "gone")] == [None, "folder", None]


def test_bundles_of_the_service_are_passed_over(closed: Path, tmp_path: Path) -> None:
    own = tmp_path / "own" / "default"
    own.mkdir(parents=True)
    (own / "manifest.json").write_text("{}")
    assert find_bundle(None, Config(), {}, parents=[closed, own.parent]) == own
    with pytest.raises(BundleError, match=r"is in none of .*may not be looked into\); run it with sudo"):
        find_bundle("mine", Config(), {}, parents=[closed, own.parent])


def test_a_home_of_somebody_else_keeps_no_daemon_from_starting(
    closed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prove_once(open_bundle(copy(tmp_path)), Config(), {"HOME": str(closed)})
    outbox = spooled(closed)
    outbox.accept(told("start", "a"))
    eventually(lambda: outbox.take() is not None, "a message that is on in memory")
    outbox.close()
    Ledger(closed, node="hall", boot="b").open()
    assert [("visits wait in memory only" in line) for line in caplog.messages] == [True]


def test_credentials_and_installed_bundles_are_one_line(closed: Path) -> None:
    with pytest.raises(ConfigError, match=r"mqtt_password cannot be looked at"):
        mqtt_password(Mqtt(), {"CREDENTIALS_DIRECTORY": str(closed)})
    with pytest.raises(UsageError, match="cannot be looked at"):
        install(closed / "bundle.tar", closed)
    with pytest.raises(EdgefaceError, match="cannot be written: .*; run it with sudo"):
        remove("mine", closed)


def test_the_doctor_says_of_the_services_folder_who_may_look(closed: Path, tmp_path: Path) -> None:
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "var/lib/edgeface").symlink_to(closed)
    node = Node(Config(), path=None, environ={"HOME": str(tmp_path)}, root=tmp_path)
    assert node.state == tmp_path / "var/lib/edgeface", "and not the user's own"
    (finding,) = hardware.disk(node)
    assert (finding.state, "cannot be looked at" in finding.what) == ("warning", True)
    assert "root" in (finding.fix or "")


def test_the_doctor_says_where_this_user_may_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    (finding,) = hardware.disk(Node(Config(), path=None, environ={"STATE_DIRECTORY": str(tmp_path)}))
    assert finding.state == "warning"
    assert "may not write" in finding.what
