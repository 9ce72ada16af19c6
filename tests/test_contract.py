"""A real run of the program on a real clip, heard by a subscriber: every message keeps the contract."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from brokers import AnyBroker, Auditor
from contract import hold

skimage_data = pytest.importorskip("skimage.data")

ROOT = Path(__file__).parents[1]
FPS = 10


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds: nobody, the astronaut from second 1 to 3, nobody."""
    path = tmp_path_factory.mktemp("clip") / "visit.mp4"
    face = cv2.resize(cv2.cvtColor(skimage_data.astronaut(), cv2.COLOR_RGB2BGR), (360, 360))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (640, 360))
    for number in range(6 * FPS):
        frame = np.full((360, 640, 3), 90, np.uint8)
        if FPS <= number < 3 * FPS:
            left = 100 + 2 * number
            frame[:, left : left + 360] = face
        writer.write(frame)
    writer.release()
    return path


def start(port: int, source: Path, *options: str) -> subprocess.Popen[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("EDGEFACE")}
    command = [sys.executable, "-m", "edgeface", "run", "--source", str(source), *options]
    keys = ["mqtt.host=127.0.0.1", f"mqtt.port={port}", "node.id=hall"]
    return subprocess.Popen(
        [*command, *(word for key in keys for word in ("--set", key))],
        stderr=subprocess.PIPE,
        text=True,
        cwd=source.parent,
        # Nothing of what others have left undelivered on this machine.
        env={**environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": tempfile.mkdtemp(dir=source.parent)},
    )


def finish(child: subprocess.Popen[str]) -> str:
    _, errors = child.communicate(timeout=60)
    return errors


def admitted(auditor: Auditor) -> int:
    """Messages that the last `health` says were dropped or replaced before they were sent."""
    dropped = auditor.of("health")[-1].json["mqtt"]["dropped"]
    return sum(int(count) for count in dropped.values())


def test_every_message_of_a_run_keeps_the_contract(
    broker: AnyBroker, audit: Callable[..., Auditor], clip: Path
) -> None:
    auditor = audit(broker)
    child = start(broker.port, clip)
    errors = finish(child)
    assert child.returncode == 0, errors
    auditor.wait_for(lambda a: a.words() == ["online", "offline"])
    counts = hold(auditor, node="hall", gaps=admitted(auditor))
    assert set(counts) == {"visits", "faces", "state", "summary", "health", "notice"}
    events = [heard.json for heard in auditor.of("visits")]
    assert [event["event"] for event in events if event["event"] != "update"] == ["start", "end"]
    assert len({event["visit"] for event in events}) == 1
    end = events[-1]
    assert end["reason"] == "lost"
    assert end["seconds"] == pytest.approx(1.9, abs=0.4)
    assert (counts["notice"], counts["summary"]) == (1, 2)
    # At the start and at the stop, and once more when the broker is reached and the camera runs.
    assert 2 <= counts["health"] <= 3
    first, last = (heard.json for heard in auditor.of("summary"))
    assert (first["in"], last["in"], last["out"], last["in_view"]) == (0, 1, 1, 0)
    assert auditor.of("faces")[-1].json["faces"] == []
    state = auditor.of("state")[-1].json
    assert (state["status"], state["occupied"], state["count"]) == ("ended", None, None)
    assert state["today"] == last["today"]
    assert (last["today"]["visits"], last["today"]["seconds"]) == (1, end["seconds"])


def test_the_last_visit_is_told_before_a_clean_stop(
    broker: AnyBroker, audit: Callable[..., Auditor], clip: Path
) -> None:
    auditor = audit(broker)
    child = start(broker.port, clip, "--pace", "realtime")
    auditor.wait_for(lambda a: bool(a.of("visits")), "somebody")
    child.send_signal(signal.SIGTERM)
    finish(child)
    assert child.returncode == 0
    auditor.wait_for(lambda a: a.words() == ["online", "offline"])
    hold(auditor, node="hall", gaps=admitted(auditor))
    end = auditor.of("visits")[-1].json
    assert (end["event"], end["reason"]) == ("end", "stopped")


def test_a_finite_run_without_a_broker_is_one_line_and_exit_1(clip: Path) -> None:
    child = start(1, clip)
    errors = finish(child)
    assert child.returncode == 1
    assert errors.splitlines()[-1].startswith("edgeface: broker 127.0.0.1:1: connection refused")
    assert "Traceback" not in errors
