"""The daemon and its spool: real broker, real signals, invented visits."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from brokers import Auditor, Mosquitto, eventually

ROOT = Path(__file__).parents[1]


class Invented:
    """`tests/invented.py` as a child."""

    def __init__(self, folder: Path, port: int, number: int, *words: str) -> None:
        self._log = folder / f"log-{number}"
        environ = {**os.environ, "STATE_DIRECTORY": str(folder / "state"), "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
        command = [sys.executable, str(ROOT / "tests" / "invented.py"), "--port", str(port), *words]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, env=environ, stderr=log)

    def log(self) -> str:
        return self._log.read_text()

    def ask(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def invented(tmp_path: Path) -> Iterator[Callable[..., Invented]]:
    running: list[Invented] = []

    def make(port: int, *words: str) -> Invented:
        running.append(Invented(tmp_path, port, len(running), *words))
        return running[-1]

    yield make
    for child in running:
        child.process.kill()
        child.process.wait()


def starts_and_ends(auditor: Auditor) -> list[tuple[str, int]]:
    return [(h.json["boot"], h.json["number"]) for h in auditor.of("visits") if h.json["event"] != "update"]


def lasting(auditor: Auditor) -> set[str]:
    events = [heard.json for heard in auditor.of("visits")]
    ended = {event["visit"] for event in events if event["event"] == "end"}
    return {event["visit"] for event in events if event["event"] == "start"} - ended


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_what_waits_when_a_daemon_ends_is_delivered_by_the_next(
    mosquitto: Callable[..., Mosquitto],
    audit: Callable[..., Auditor],
    invented: Callable[..., Invented],
    how: signal.Signals,
) -> None:
    broker = mosquitto()
    auditor = audit(broker)
    first = invented(broker.port, "--rate", "20")
    auditor.wait_for(lambda a: len(a.of("visits")) > 4, "visits")
    broker.stop()
    eventually(lambda: "lost: " in first.log(), "the loss")
    until_s = time.monotonic() + 1.0
    eventually(lambda: time.monotonic() > until_s, "some visits more")
    first.ask(how)
    before = len(auditor.of("visits"))
    broker.start()
    again = invented(broker.port, "--most", "0")
    auditor.wait_for(lambda a: len(a.of("visits")) > before and not lasting(a), "the rest")
    late = [heard.json for heard in auditor.of("visits")[before:]]
    # What the broker itself had kept for the auditor comes first, and was not late.
    assert late[-1]["replayed"]
    numbers = starts_and_ends(auditor)
    assert len({boot for boot, _ in numbers}) == 1, "under the boot of the visit"
    assert {number for _, number in numbers} == set(range(max(numbers)[1] + 1)), "nothing is missing"
    assert len(numbers) - len(set(numbers)) <= 20
    reasons = {message["reason"] for message in late if message["event"] == "end"}
    if how == signal.SIGTERM:
        assert re.search(r"\d+ messages on visits wait in the spool for the next start", first.log())
        assert "power" not in reasons
    else:
        assert re.search(
            r"boot \w{8} ended without a stop: its visits are durable up to number \d+, up to 2 s", again.log()
        )
        assert "power" in reasons
        auditor.wait_for(lambda a: any(h.json["spool"]["interrupted"] for h in a.of("health")), "the tale")
    assert again.ask(signal.SIGTERM) == 0


def test_a_stop_delivers_within_five_seconds(
    mosquitto: Callable[..., Mosquitto],
    audit: Callable[..., Auditor],
    invented: Callable[..., Invented],
    tmp_path: Path,
) -> None:
    broker = mosquitto()
    auditor = audit(broker)
    child = invented(broker.port, "--rate", "50")
    auditor.wait_for(lambda a: len(a.of("visits")) > 20, "visits")
    began_s = time.monotonic()
    child.process.send_signal(signal.SIGTERM)
    # `offline` is the last word: all is delivered. How long a busy machine takes to end the process is its own.
    auditor.wait_for(lambda a: a.words()[-1] == "offline" and not lasting(a), "everything")
    assert time.monotonic() - began_s < 5
    assert child.process.wait(60) == 0
    assert child.log() == ""
    assert not (tmp_path / "state" / "spool-chaos.db-wal").exists(), "folded in, and let go of"


def test_a_clock_that_jumps_by_a_year_costs_nothing(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], invented: Callable[..., Invented]
) -> None:
    """Again and again, to and fro, and a kill in between: every visit once, none longer than it was."""
    broker = mosquitto()
    auditor = audit(broker)
    child = invented(broker.port, "--rate", "20", "--jump-every", "0.4")

    def years() -> set[str]:
        return {heard.json["at"][:4] for heard in auditor.of("visits")}

    auditor.wait_for(lambda a: len(years()) == 2 and len(a.of("visits")) > 90, "visits of two years")
    child.ask(signal.SIGKILL)
    again = invented(broker.port, "--most", "0", "--jump-every", "0.4")
    auditor.wait_for(lambda a: not lasting(a), "the ends of those that lasted")
    assert again.ask(signal.SIGTERM) == 0
    numbers = starts_and_ends(auditor)
    assert {number for _, number in numbers} == set(range(max(numbers)[1] + 1)), "nothing is missing"
    ends = [heard.json for heard in auditor.of("visits") if heard.json["event"] == "end"]
    assert max(end["seconds"] for end in ends) < 60
    assert {state.json["today"]["date"][:4] for state in auditor.of("state") if state.payload} <= years()
