"""The events of real clips stand as a record: the whole way of a frame, on every change of the code.

``EDGEFACE_WRITE_GOLDEN=1 python -m pytest tests/test_golden.py`` writes the record again; look at the difference.
"""

from __future__ import annotations

import json
import os
import random
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import msgspec
import pytest
from bundles import networks
from clips import clip

from edgeface.config import Camera, Config, Limits
from edgeface.errors import SourceError
from edgeface.sources import open_source
from edgeface.worker import Worker

GOLDEN = Path(__file__).parent / "golden"
WRITE = bool(os.environ.get("EDGEFACE_WRITE_GOLDEN"))
STARTED = datetime(2026, 1, 1, tzinfo=timezone.utc)
CLIPS = ["single_face.mp4", "noface_face.mov", "face_noface.mov", "no_face.mp4"]
Events = list[dict[str, Any]]


def replay(path: Path, runtime: str = "onnx") -> Events:
    """Every `visits` message of a clip, as the daemon would publish it."""
    ids = random.Random(7)
    worker = Worker(
        networks(runtime, still=False),
        Config(),
        ["main"],
        new_id=lambda: f"{ids.getrandbits(32):08x}",
        clock=lambda: 0.0,
    )
    source = open_source("main", Camera(source=str(path)), limits=Limits(), started_at=STARTED)
    bodies = []
    for frame in source.frames():
        bodies += worker.turn([frame])
    bodies += worker.close("main", "source_ended").bodies
    return [msgspec.to_builtins(body.message) for body in bodies if body.kind == "visits"]


def playable(name: str) -> Path:
    path = clip(name)
    capture = cv2.VideoCapture(str(path))
    done, _ = capture.read()
    capture.release()
    if not done:
        pytest.skip(f"this OpenCV cannot decode {name}")
    return path


def seconds(text: str) -> float:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment - STARTED).total_seconds()


def boundaries(events: Events) -> Events:
    """Starts and ends; when an update comes depends on the last digit of a probability."""
    return [event for event in events if event["event"] != "update"]


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
@pytest.mark.parametrize("name", CLIPS)
def test_events_are_those_of_the_record(name: str, runtime: str) -> None:
    if runtime == "litert":
        pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    events = replay(playable(name), runtime)
    path = GOLDEN / f"{name}.json"
    if WRITE and runtime == "onnx":
        path.write_text(json.dumps(boundaries(events), indent=1) + "\n")
    expected = json.loads(path.read_text())
    assert [event["event"] for event in boundaries(events)] == [event["event"] for event in expected]
    for got, wanted in zip(boundaries(events), expected, strict=True):
        assert got["visit"] == wanted["visit"]
        assert got["reason"] == wanted["reason"]
        assert seconds(got["started"]) == pytest.approx(seconds(wanted["started"]), abs=0.15)
        if wanted["event"] != "end":
            continue
        assert seconds(got["ended"]) == pytest.approx(seconds(wanted["ended"]), abs=0.15)
        assert got["age"]["years"] == pytest.approx(wanted["age"]["years"], abs=2)
        assert got["gender"]["label"] == wanted["gender"]["label"]
        assert got["expression"]["dominant"] == wanted["expression"]["dominant"]


def test_what_a_person_sees_in_the_clips() -> None:
    """The record itself is right: one man, who smiles, for 2.4 seconds; first, last, or all the time; or nobody."""
    for name in CLIPS:
        record = json.loads((GOLDEN / f"{name}.json").read_text())
        if name == "no_face.mp4":
            assert record == []
            continue
        assert [event["event"] for event in record] == ["start", "end"]
        end = record[-1]
        assert end["gender"]["label"] == "male"
        assert end["expression"]["dominant"] == "happy"
        assert end["seconds"] == pytest.approx(2.4, abs=0.2)
        assert seconds(end["started"]) == pytest.approx(3.9 if name == "noface_face.mov" else 0, abs=0.15)


def test_a_replay_gives_the_same_events_every_time() -> None:
    path = playable("single_face.mp4")
    assert replay(path) == replay(path)


def test_the_clip_whose_header_lies_is_read_to_its_end_without_an_error() -> None:
    try:
        replay(playable("no_face.mp4"))
    except SourceError as error:
        pytest.fail(str(error))
