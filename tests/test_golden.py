"""The events of real clips stand as a record: the whole way of a frame, on every change of the code.

``EDGEFACE_WRITE_GOLDEN=1 python -m pytest tests/test_golden.py`` writes the record again; look at the difference.
"""

from __future__ import annotations

import json
import os
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import msgspec
import pytest
from bundles import networks
from clips import clip
from records import CLIPS, GOLDEN, RECORDED_FROM, boundaries, differences, golden, seconds

from edgeface.config import Camera, Config, Limits
from edgeface.engine.turn import Worker
from edgeface.errors import SourceError
from edgeface.sources import open_source

WRITE = bool(os.environ.get("EDGEFACE_WRITE_GOLDEN"))
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
    source = open_source("main", Camera(source=str(path)), limits=Limits(), started_at=RECORDED_FROM)
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


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
@pytest.mark.parametrize("name", CLIPS)
def test_events_are_those_of_the_record(name: str, runtime: str) -> None:
    if runtime == "litert":
        pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    events = replay(playable(name), runtime)
    if WRITE and runtime == "onnx":
        (GOLDEN / f"{name}.json").write_text(json.dumps(boundaries(events), indent=1) + "\n")
    expected = golden(name)
    assert differences(events, expected) == []
    assert [event["visit"] for event in boundaries(events)] == [event["visit"] for event in expected]


def test_what_a_person_sees_in_the_clips() -> None:
    """The record itself is right: one man, who smiles, for 2.4 seconds; first, last, or all the time; or nobody."""
    for name in CLIPS:
        record = golden(name)
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


@pytest.mark.parametrize(
    ("at", "name", "value", "line"),
    [
        (0, "reason", "lost", "start 0: reason lost instead of None"),
        (0, "started", "2026-01-01T00:00:00.200Z", "start 0: started 0.20 instead of 0.00 s"),
        (1, "ended", "2026-01-01T00:00:02.200Z", "end 1: ended 2.20 instead of 2.37 s"),
        (1, "ended", None, "end 1: ended None instead of 2026-01-01T00:00:02.366Z"),
        (1, "age", None, "end 1: age None and not "),
        (1, "gender", None, "end 1: gender None instead of male"),
        (1, "expression", {"dominant": "sad"}, "end 1: expression sad instead of happy"),
        (1, "age", {"years": 27.2}, "end 1: age 27.20 instead of 30.30 years"),
        (1, "event", "start", "['start', 'start'] instead of ['start', 'end']"),
    ],
)
def test_what_differs_from_the_record_is_told(at: int, name: str, value: object, line: str) -> None:
    events = deepcopy(golden("single_face.mp4"))
    assert differences(events, golden("single_face.mp4")) == []
    events[at][name] = value
    (found,) = differences(events, golden("single_face.mp4"))
    assert found.startswith(line)


def test_what_a_decoder_may_change_is_no_difference() -> None:
    expected = golden("single_face.mp4")
    events = deepcopy(expected)
    events[0]["started"], events[1]["ended"] = "2026-01-01T00:00:00.100Z", "2026-01-01T00:00:02.266Z"
    events[1]["age"]["years"] += 1.9
    events.insert(1, {**events[0], "event": "update"})
    assert differences(events, expected) == []


def test_a_run_at_another_time_is_held_against_its_own_beginning() -> None:
    expected = golden("noface_face.mov")
    text = json.dumps(expected).replace("2026-01-01T00:00:", "2027-03-04T05:06:")
    start = RECORDED_FROM.replace(year=2027, month=3, day=4, hour=5, minute=6)
    assert differences(json.loads(text), expected, start) == []
    assert len(differences(json.loads(text), expected)) == 3, "one start twice, and one end"
