"""What a stopped or killed program could not deliver is told by the next one; seldom written, never too much."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from brokers import Auditor, Mosquitto, eventually, free_port
from people import NOON, told
from publishing import Make

from edgeface.events import Undelivered, notice_body
from edgeface.machine import state_folder
from edgeface.publish.entries import Left
from edgeface.publish.ledger import Ledger

NOTHING = Left(messages=0, visits=0, gone=0)


def left(visits: int, *, others: int = 0, gone: int = 0) -> Left:
    return Left(messages=visits + others, visits=visits, gone=gone)


def open_ledger(folder: Path, boot: str = "new") -> Ledger:
    made = Ledger(folder, node="hall", boot=boot)
    made.open()
    return made


def after_kill(ledger: Ledger, folder: Path) -> tuple[Undelivered, ...]:
    """What the next start reads; a process that is killed gives its lock back and writes nothing."""
    if ledger._held is not None:
        ledger._held.close()
    return open_ledger(folder).earlier


def test_nothing_is_written_while_everything_is_delivered(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "state")
    for second in range(100):
        ledger.note(NOTHING, away=False, now_s=second)
        ledger.note(left(second % 2), away=False, now_s=second + 0.5)
    ledger.only_gone(NOTHING)
    ledger.forget_earlier()
    ledger.close(left(0, others=3))
    assert not (tmp_path / "state").exists()


def test_an_outage_is_written_every_ten_seconds_and_only_when_it_grows(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, "old")
    path = tmp_path / "undelivered-hall.json"
    written: list[tuple[int, int]] = []
    for second in range(60):
        ledger.note(left(min(second, 35), others=2), away=True, now_s=second)
        if path.exists():
            visits = json.loads(path.read_text())[0]["visits"]
            if not written or written[-1][1] != visits:
                written.append((second, visits))
    assert written == [(11, 11), (21, 21), (31, 31), (41, 35)]
    assert after_kill(ledger, tmp_path) == (Undelivered(boot="old", messages=37, visits=35, exact=False),)


def test_what_a_connected_broker_refuses_is_written_far_less_often(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, "old")
    ledger.note(left(1, gone=1), away=False, now_s=0)
    ledger.note(left(500, gone=500), away=False, now_s=599)
    assert not list(tmp_path.glob("*.json"))
    ledger.note(left(501, gone=501), away=False, now_s=601)
    assert after_kill(ledger, tmp_path)[0].visits == 501


def test_what_is_about_to_be_delivered_is_taken_back(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, "old")
    ledger.note(left(20, gone=3), away=True, now_s=0)
    ledger.note(left(20, gone=3), away=True, now_s=10)
    ledger.only_gone(left(20, gone=3))
    assert after_kill(ledger, tmp_path) == (Undelivered(boot="old", messages=3, visits=3, exact=False),)


def test_less_than_was_written_is_never_claimed(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, "old")
    ledger.note(left(20), away=True, now_s=0)
    ledger.note(left(20), away=True, now_s=10)
    ledger.note(left(5), away=False, now_s=10.5)
    assert after_kill(ledger, tmp_path) == ()


def test_a_stop_writes_the_last_word_and_the_next_start_tells_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_ledger(tmp_path, "old").close(left(12, others=2, gone=1))
    ledger = open_ledger(tmp_path)
    assert ledger.earlier == (Undelivered(boot="old", messages=14, visits=12, exact=True),)
    assert [r.getMessage() for r in caplog.records] == [
        "14 messages of boot old were not delivered, 12 of them on visits"
    ]
    # Nobody has heard of it yet: it stays, beside what this run cannot deliver either.
    ledger.close(left(4))
    third = open_ledger(tmp_path, "third")
    assert [told.boot for told in third.earlier] == ["old", "new"]
    third.forget_earlier()
    third.close(NOTHING)
    assert open_ledger(tmp_path).earlier == ()
    assert third.earlier, "this run goes on telling"


def test_after_a_kill_it_is_at_least(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = open_ledger(tmp_path, "old")
    ledger.note(left(7), away=True, now_s=0)
    ledger.note(left(7), away=True, now_s=11)
    assert after_kill(ledger, tmp_path)
    assert caplog.messages == ["at least 7 messages of boot old were not delivered, 7 of them on visits"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    ledger = open_ledger(tmp_path / "file" / "state")
    for second in range(100):
        ledger.note(left(second), away=True, now_s=second)
    ledger.close(left(100))
    assert len(caplog.records) == 1
    assert "not written down for the next start" in caplog.text


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'[{"boot": "x"}]', b'[{"boot": "\xff"}]', b"[" * 100_000])
def test_a_damaged_ledger_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes) -> None:
    (tmp_path / "undelivered-hall.json").write_bytes(data)
    ledger = open_ledger(tmp_path)
    assert ledger.earlier == ()
    assert len(caplog.records) == 1
    ledger.close(left(2))
    assert len(open_ledger(tmp_path).earlier) == 1


def test_another_process_of_the_node_keeps_its_own(tmp_path: Path) -> None:
    first = open_ledger(tmp_path, "first")
    first.note(left(9), away=True, now_s=0)
    first.note(left(9), away=True, now_s=10)
    second = open_ledger(tmp_path, "second")
    assert second.earlier == (), "the first is alive and may still deliver"
    second.close(left(3))
    first.close(left(10))
    assert [told.boot for told in open_ledger(tmp_path).earlier] == ["first"]


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"STATE_DIRECTORY": "/var/lib/edgeface:/other", "HOME": "/root"}, "/var/lib/edgeface"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/edgeface"),
        ({"HOME": "/h"}, "/h/.local/state/edgeface"),
    ],
)
def test_where_state_is_kept(environ: dict[str, str], folder: str) -> None:
    assert state_folder(environ) == Path(folder)


def test_a_publisher_tells_what_it_left_and_health_carries_it(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], publish: Make, tmp_path: Path
) -> None:
    publisher, outbox = publish(free_port(), ledger=open_ledger(tmp_path, "old"))
    for number in range(5):
        outbox.accept(told("end", str(number)))
    outbox.accept(notice_body(networks=[], at=NOON))
    assert publisher.stop(timeout_s=0.1) is False
    again, _ = publish(free_port(), ledger=open_ledger(tmp_path))
    assert again.health().undelivered == [Undelivered(boot="old", messages=6, visits=5, exact=True)]


CHILD = """
import sys
from pathlib import Path
from people import told
from publishing import make_publisher
from edgeface.publish.ledger import Ledger
from edgeface.publish.outbox import Outbox
outbox = Outbox(node="hall", boot="killed", capacity=100)
ledger = Ledger(Path(sys.argv[2]), node="hall", boot="killed")
ledger.open()
publisher, _ = make_publisher(int(sys.argv[1]), outbox=outbox, ledger=ledger)
for number in range(7):
    outbox.accept(told("end", str(number)))
sys.stdin.read()
"""


def test_kill_9_during_an_outage_is_told(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(free_port()), str(tmp_path)],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    ) as child:
        eventually((tmp_path / "undelivered-hall.json").exists, "the ledger", 40)
        child.send_signal(signal.SIGKILL)
    assert open_ledger(tmp_path).earlier == (Undelivered(boot="killed", messages=7, visits=7, exact=False),)
