"""The turn: how long it may take, what is put off, what weighs nothing, and when a camera is away."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from astronaut import astronaut
from bundles import AGE, DEFAULT, EXPRESSION
from people import NOON

from edgeface.bundle import open_bundle
from edgeface.config import Config, Detector, Runtime
from edgeface.engine.networks import Networks
from edgeface.engine.states import States
from edgeface.engine.steps import Prepared, Request
from edgeface.engine.turn import RECENT, Stages, Worker, in_batches
from edgeface.events import Body, SummaryMessage, VisitMessage
from edgeface.offline.analyze import analyze_image
from edgeface.offline.results import as_json
from edgeface.runtime import Runner, RunnerWrapper
from edgeface.types import F32, Frame, Image, Task

CROWD = np.tile(cv2.resize(astronaut(), (192, 192)), (3, 5, 1))
"""Fifteen faces."""
FACES = 15
Change = Callable[[str, Mapping[str, F32]], Mapping[str, F32]]


class Hooked(RunnerWrapper):
    """A runner with something done to its outputs."""

    def __init__(self, name: str, runner: Runner, change: Change) -> None:
        super().__init__(runner)
        self._name, self._change = name, change

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
        return self._change(self._name, super().run(batch, states))


def make_networks(change: Change, **keys: Any) -> Networks:
    config = Config(runtime=Runtime(name="onnx", threads=1), **keys)
    return Networks(open_bundle(DEFAULT), config, wrap=lambda name, runner: Hooked(name, runner, change))


class Machine:
    """A worker with a clock of its own, on which each call of a network takes its time."""

    def __init__(self, *, call_s: float = 0.0, live: Sequence[str] = ("main",), turn: float = 0.0) -> None:
        self.now_s = 0.0
        self.calls: list[str] = []
        self._call_s = call_s
        runtime = Runtime(name="onnx", threads=1, turn=turn)
        numbers = count(1)
        self.worker = Worker(
            make_networks(self._called),
            # One pass of the detector for every frame: what else it may see is told in test_search.
            Config(detector=Detector(fine=False, motion=False), runtime=runtime),
            ["main", "file"],
            new_id=lambda: f"v{next(numbers)}",
            clock=lambda: self.now_s,
            live=live,
        )

    def _called(self, name: str, outputs: Mapping[str, F32]) -> Mapping[str, F32]:
        self.now_s += self._call_s
        self.calls.append(name)
        return outputs

    def turn(self, time_s: float, *, camera: str = "main", index: int = 0, image: Image = CROWD) -> list[Body]:
        at = NOON + timedelta(seconds=time_s)
        frame = Frame(image=image, camera=camera, index=index, time_s=time_s, captured_at=at)
        return self.worker.turn([frame])


def visits(bodies: Sequence[Body], event: str) -> list[VisitMessage]:
    return [body.message for body in bodies if isinstance(body.message, VisitMessage) and body.event == event]


def test_a_crowd_before_a_slow_machine_is_counted_once_and_what_waits_is_told() -> None:
    """Every call takes a second: a turn with all 45 looks would take seven, and forget everybody."""
    machine = Machine(call_s=1.0)
    started, ended, index = 0, 0, 0
    while machine.now_s < 60:
        before_s = machine.now_s
        index = int(before_s * 10)
        bodies = machine.turn(before_s, index=index)
        assert machine.now_s - before_s <= 2.0, "detection, and one batch"
        started += len(visits(bodies, "start"))
        ended += len(visits(bodies, "end"))
    assert (started, ended) == (FACES, 0)
    assert machine.worker.deferred("main") > 100
    last = visits(machine.worker.close("main", "stopped").bodies, "end")
    assert len(last) == FACES
    assert all(visit.age is not None for visit in last), "nobody is left out for ever"


def test_a_file_has_no_limit() -> None:
    slow, quick = Machine(call_s=1.0, live=()), Machine(live=())
    for step in range(4):
        told = [machine.turn(step / 5, camera="file", index=step) for machine in (slow, quick)]
        assert [body.message for body in told[0]] == [body.message for body in told[1]]
    assert slow.calls == quick.calls
    assert slow.worker.deferred("file") == 0


def test_a_file_beside_a_slow_camera_has_no_limit_either() -> None:
    machine = Machine(call_s=1.0)
    frames = [Frame(image=CROWD, camera=camera, index=0, time_s=0.0, captured_at=NOON) for camera in ("main", "file")]
    machine.worker.turn(frames)
    assert machine.worker.deferred("main") > 0
    assert machine.worker.deferred("file") == 0


@pytest.mark.parametrize(("turn", "batches"), [(0.0, 1), (5.5, 4)])
def test_the_limit_is_configured(turn: float, batches: int) -> None:
    machine = Machine(call_s=1.0, turn=turn)
    machine.turn(0.0)
    assert len(machine.calls) - 1 == pytest.approx(batches, abs=1)


def test_the_camera_s_own_pace_sets_the_limit() -> None:
    slow = Machine(call_s=0.3)
    for step in range(3):
        slow.calls.clear()
        slow.turn(2.5 * step, index=step)
    assert len(slow.calls) - 1 >= 3, "a second of every two and a half"


def test_a_question_that_is_muted_is_not_asked_kept_or_told_and_begins_anew_with_everybody() -> None:
    machine = Machine(live=())
    face = astronaut()
    index = 0

    def watch(seconds: float) -> list[VisitMessage]:
        nonlocal index
        machine.calls.clear()
        bodies: list[Body] = []
        for _ in range(round(seconds * 10)):
            bodies += machine.turn(index / 10, index=index, image=face)
            index += 1
        return visits(bodies, "update")

    machine.worker.mute({"gender"})
    told = watch(4.0)
    assert AGE in machine.calls, "this network answers another question, too"
    assert (told[-1].gender, told[-1].age is None, told[-1].expression is None) == (None, False, False)
    machine.worker.mute({"expression"})
    told = watch(4.0)
    assert EXPRESSION not in machine.calls, "not asked"
    assert told[-1].expression is None
    machine.worker.mute(())
    told = watch(1.0) + watch(2.0)
    assert told[-1].expression is not None
    assert told[-1].expression.samples <= 10, "what was known before is forgotten"
    (end,) = visits(machine.worker.close("main", "stopped").bodies, "end")
    assert end.expression is not None
    assert end.age is not None


def request(network: str, overdue_s: float) -> Request:
    pixels = np.zeros((1, 1, 3), np.uint8)
    return Request(network=network, camera="main", track=1, pixels=pixels, quality=1.0, time_s=0.0, overdue_s=overdue_s)


def test_a_due_face_goes_through_a_network_once_for_all_its_questions() -> None:
    """One face in five frames: five passes of the network of age and gender, each a sample of both."""
    passes = {AGE: 0, EXPRESSION: 0}

    def passed(name: str, outputs: Mapping[str, F32]) -> Mapping[str, F32]:
        if name in passes:
            passes[name] += len(next(iter(outputs.values())))
        return outputs

    networks = make_networks(passed)
    asked = {name: [head.task for head in heads] for name, (_, _, heads) in networks.attributes.items()}
    assert asked == {AGE: ["age", "gender"], EXPRESSION: ["expression"]}
    numbers = count(1)
    worker = Worker(networks, Config(), ["main"], new_id=lambda: f"v{next(numbers)}", clock=lambda: 0.0)
    for index in range(5):
        at = NOON + timedelta(seconds=index / 5)
        frame = Frame(image=astronaut(), camera="main", index=index, time_s=index / 5, captured_at=at)
        ((_, told),) = worker.process([frame])
    ((age, gender, expression),) = [(v.known.age, v.known.gender, v.known.expression) for v in told.visits]
    assert passes == {AGE: 5, EXPRESSION: 5}
    assert (age.samples, gender.samples, expression.samples) == (5, 5, 5)  # type: ignore[union-attr]


def test_batches_take_the_most_overdue_first_and_all_once() -> None:
    never = float("inf")
    given = [request(*row) for row in (("a", 1.0), ("b", never), ("a", 3.0), ("b", 0.0), ("a", never), ("a", 0.5))]
    got = [[(r.network, r.overdue_s) for r in batch] for batch in in_batches(given, lambda _name: 2)]
    assert got == [[("b", never), ("b", 0.0)], [("a", never), ("a", 3.0)], [("a", 1.0), ("a", 0.5)]]


def kinds(bodies: Sequence[Body]) -> list[str]:
    return [body.event or body.kind for body in bodies]


def test_a_camera_that_goes_away_ends_its_visits_once() -> None:
    machine = Machine()
    for step in range(10):
        machine.turn(step / 10, index=step)
    assert machine.worker.away({"main"}, 2.8) == [], "not yet lost"
    assert machine.worker.away({"file"}, 9.0) == [], "a file waits for nobody"
    bodies = machine.worker.away({"main"}, 3.0)
    assert kinds(bodies) == ["end"] * FACES + ["faces", "summary"]
    end, faces, summary = visits(bodies, "end")[0], bodies[-2].message, bodies[-1].message
    assert (end.reason, end.ended, end.at) == ("source_ended", "2026-03-14T12:00:00.900Z", "2026-03-14T12:00:03.000Z")
    assert faces.faces == ()  # type: ignore[union-attr]
    assert (summary.out, summary.in_view) == (FACES, 0)  # type: ignore[union-attr]
    assert machine.worker.away({"main"}, 4.0) == []
    back = [body for step in range(5) for body in machine.turn(60 + step / 10, index=step)]
    assert len(visits(back, "start")) == FACES
    assert visits(back, "end") == []


def test_a_slow_camera_is_not_away_between_two_frames() -> None:
    machine = Machine()
    told: list[Body] = []
    for step in range(8):
        told += machine.turn(2.5 * step, index=step)
        told += machine.worker.away({"main"}, 2.5 * step + 2.4)
    assert (len(visits(told, "start")), len(visits(told, "end"))) == (FACES, 0)
    assert len(visits(machine.worker.away({"main"}, 40.0), "end")) == FACES


def spoil(name: str, value: Any, output: str | None = None) -> Change:
    """One output of a network, or all of them, become ``value``, or lose a number."""

    def spoilt(array: F32) -> F32:
        return array[..., :-1] if value == "short" else np.full_like(array, value)

    def change(asked: str, outputs: Mapping[str, F32]) -> Mapping[str, F32]:
        if asked != name:
            return outputs
        return {key: spoilt(array) if output in (None, key) else array for key, array in outputs.items()}

    return change


def answering(task: Task) -> tuple[str, str]:
    """The network that answers a question unasked, and its output for it."""
    shipped = open_bundle(DEFAULT)
    name = shipped.manifest.defaults[task]
    return name, shipped.network(name).answers[task].output


BAD = [np.nan, np.inf, -np.inf, "short"]


@pytest.mark.parametrize("value", BAD, ids=str)
@pytest.mark.parametrize("task", ["age", "gender", "expression"])
def test_an_answer_that_is_none_weighs_nothing_and_is_counted(task: Task, value: Any, tmp_path: Path) -> None:
    name, output = answering(task)
    networks = make_networks(spoil(name, value, output))
    line: Any = as_json(analyze_image(astronaut(), networks, Config(), path="x", min_score=0.6))
    json.dumps(line, allow_nan=False)
    (face,) = line["faces"]
    assert {key: face[key] is None for key in ("age", "gender", "expression")} == {
        key: key == task for key in ("age", "gender", "expression")
    }
    assert face["known"][task] is False
    assert dict(networks.invalid) == {name: 1}
    worker = Worker(networks, Config(), ["main"], new_id=lambda: "v", clock=lambda: 0.0)
    for step in range(10):
        at = NOON + timedelta(seconds=step / 5)
        worker.turn([Frame(image=astronaut(), camera="main", index=step, time_s=step / 5, captured_at=at)])
    (visit,) = worker.close("main", "source_ended").changes
    told = msgspec.to_builtins(visit.visit.known)
    assert {key for key in ("age", "gender", "expression") if told[key] is None} == {task}
    assert networks.invalid[name] > 3


def test_one_bad_row_of_a_batch_is_left_out_alone() -> None:
    name, output = answering("age")

    def change(asked: str, outputs: Mapping[str, F32]) -> Mapping[str, F32]:
        if asked == name:
            outputs[output][1] = np.nan
        return outputs

    networks = make_networks(change)
    faces = analyze_image(CROWD, networks, Config(), path="x", min_score=0.6).faces
    assert sum("age" not in face.estimates for face in faces) == networks.invalid[name] == 2
    assert all("gender" in face.estimates for face in faces)


@pytest.mark.parametrize("value", BAD, ids=str)
def test_a_detector_that_gives_no_numbers_finds_nobody(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    networks = make_networks(spoil("yunet", value))
    for _ in range(3):
        assert len(networks.detect(astronaut(), min_score=0.3)) == 0
    assert networks.invalid["yunet"] == 3
    assert [record.message.split(":")[0] for record in caplog.records if "yunet" in record.message]
    assert len(caplog.records) == 1


def test_boxes_that_are_nowhere_are_no_faces() -> None:
    def change(asked: str, outputs: Mapping[str, F32]) -> Mapping[str, F32]:
        return {name: array * (np.nan if name.startswith("kps") else 1) for name, array in outputs.items()}

    assert len(make_networks(change).detect(astronaut(), min_score=0.3)) == 0


def test_pictures_are_searched_in_their_larger_size() -> None:
    networks = make_networks(lambda _name, outputs: outputs)
    far = np.full((1080, 1920, 3), 110, np.uint8)
    far[500:580, 900:980] = cv2.resize(astronaut(), (80, 80), interpolation=cv2.INTER_AREA)
    worker = Worker(networks, Config(), ["main"], new_id=lambda: "v", clock=lambda: 0.0)
    found = []
    for step, still in enumerate([False, True]):
        frame = Frame(image=far, camera="main", index=step, time_s=float(step), captured_at=NOON, still=still)
        ((sighting, _),) = worker.process([frame])
        assert sighting.detections is not None
        found.append(sighting.detections)
    for still, detections in zip([False, True], found, strict=True):
        alone = networks.detect(far, min_score=0.3, still=still)
        assert np.array_equal(alone.boxes, detections.boxes)
    wanted = Networks(open_bundle(DEFAULT), Config(), still=True).detect(far, min_score=0.3)
    assert np.array_equal(wanted.boxes, found[1].boxes)


def scene(width: int, height: int) -> Image:
    picture = np.full((height, width, 3), 110, np.uint8)
    side = height * 2 // 3
    picture[:side, width // 4 : width // 4 + side] = cv2.resize(astronaut(), (side, side), interpolation=cv2.INTER_AREA)
    return picture


def asked_of(networks: Networks, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What is asked of the networks for faces from now on."""
    asked: list[Request] = []
    prepare = networks.prepare

    def watched(requests: Sequence[Request], states: States) -> Prepared:
        asked.extend(requests)
        return prepare(requests, states)

    monkeypatch.setattr(networks, "prepare", watched)
    return asked


def test_faces_are_looked_for_in_the_small_picture_and_cut_from_the_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The large one is white: crops of it are, and nothing is found in it."""
    networks = make_networks(lambda _name, outputs: outputs)
    asked = asked_of(networks, monkeypatch)
    worker = Worker(networks, Config(), ["main"], new_id=lambda: "v", clock=lambda: 0.0)
    white, small = np.full((720, 1280, 3), 255, np.uint8), scene(640, 360)
    for step in range(8):
        frame = Frame(image=white, small=small, camera="main", index=step, time_s=step / 10, captured_at=NOON)
        ((sighting, _),) = worker.process([frame])
    assert sighting.detections is not None and len(sighting.detections) == 1
    alone = networks.detect(small, min_score=0.3)
    np.testing.assert_allclose(sighting.detections.boxes, alone.boxes * 2, rtol=1e-6)
    assert alone.landmarks is not None and sighting.detections.landmarks is not None
    np.testing.assert_allclose(sighting.detections.landmarks, alone.landmarks * 2, rtol=1e-6)
    assert asked and all((request.pixels == 255).all() for request in asked)


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_networks_see_a_face_in_the_dark_as_bright_as_by_day(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in a video and in a photograph."""
    networks = make_networks(lambda _name, outputs: outputs)
    asked = asked_of(networks, monkeypatch)
    worker = Worker(networks, Config(), ["main"], new_id=lambda: "v", clock=lambda: 0.0)
    picture = cv2.convertScaleAbs(scene(640, 360), alpha=share)
    for step in range(8):
        worker.process([Frame(image=picture, camera="main", index=step, time_s=step / 10, captured_at=NOON)])
    analyze_image(picture, networks, Config(), path="x", min_score=0.1)
    assert {request.camera for request in asked} == {"main", ""}
    assert all(50 < request.pixels.mean() < 170 for request in asked), [request.pixels.mean() for request in asked]


def test_the_small_picture_shows_what_the_large_one_does() -> None:
    networks = make_networks(lambda _name, outputs: outputs)
    large = scene(1280, 720)
    small = cv2.resize(large, (640, 360), interpolation=cv2.INTER_AREA)
    made = {"camera": "main", "index": 0, "time_s": 0.0, "captured_at": NOON}
    seen = [
        networks.search(Frame(image=large, small=picture, **made), min_score=0.3)  # type: ignore[arg-type]
        for picture in (None, small)
    ]
    assert len(seen[0]) == len(seen[1]) == 1
    np.testing.assert_allclose(seen[0].boxes, seen[1].boxes, atol=2)


@pytest.mark.parametrize(
    ("size", "small_wh", "found"),
    [("auto", (640, 360), 1), ("640x640", (640, 360), 1), ("original", (640, 360), 0), ("640x640", (320, 180), 0)],
)
def test_a_small_picture_that_shows_less_than_the_detector_sees_is_left_alone(
    size: str, small_wh: tuple[int, int], found: int
) -> None:
    networks = make_networks(lambda _name, outputs: outputs, detector=Detector(size=size))
    small, white = scene(*small_wh), np.full((720, 1280, 3), 255, np.uint8)
    frame = Frame(image=white, small=small, camera="main", index=0, time_s=0.0, captured_at=NOON)
    assert len(networks.search(frame, min_score=0.6)) == found


def test_a_summary_and_the_visit_say_the_same_of_one_person() -> None:
    moods = np.eye(7, dtype=np.float32)[[3] * 7 + [6] * 3]
    asked = count()

    def change(name: str, outputs: Mapping[str, F32]) -> Mapping[str, F32]:
        if name != EXPRESSION:
            return outputs
        return {key: np.tile(moods[min(next(asked), 9)], (len(array), 1)) for key, array in outputs.items()}

    worker = Worker(make_networks(change), Config(), ["main"], new_id=lambda: "v", clock=lambda: 0.0)
    for step in range(30):
        at = NOON + timedelta(seconds=step / 10)
        worker.turn([Frame(image=astronaut(), camera="main", index=step, time_s=step / 10, captured_at=at)])
    *_, end, _faces, summary = worker.close("main", "source_ended").bodies
    assert isinstance(end.message, VisitMessage)
    assert isinstance(summary.message, SummaryMessage)
    expression = end.message.expression
    assert expression is not None
    shares = {label: share for label, share in expression.shares.items() if share}
    assert shares == pytest.approx(summary.message.expressions, abs=1e-3)
    assert expression.dominant == max(shares, key=lambda label: shares[label])
    assert len(shares) == 2


def test_stages_are_timed_by_the_clock_handed_in_and_forget_what_is_long_ago() -> None:
    now_s = [0.0]
    stages = Stages(lambda: now_s[0])
    for taken_s in (0.002, 0.004, 0.009):
        start_s, now_s[0] = now_s[0], now_s[0] + taken_s
        assert stages.add("detect", start_s) == now_s[0]
    start_s, now_s[0] = now_s[0], now_s[0] + 0.001
    stages.add("track", start_s)
    assert stages.medians_ms() == pytest.approx({"detect": 4.0, "track": 1.0})
    assert stages.samples_ms()["detect"] == pytest.approx([2.0, 4.0, 9.0])
    for _ in range(RECENT):
        start_s, now_s[0] = now_s[0], now_s[0] + 0.005
        stages.add("detect", start_s)
    assert stages.medians_ms()["detect"] == pytest.approx(5.0)
    assert len(stages.samples_ms()["detect"]) == RECENT
