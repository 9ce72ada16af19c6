"""What the governor decides is done: with a thermal zone made of files, a clock of our own, and the real networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from astronaut import astronaut
from boards import PretendBoard
from bundles import DEFAULT
from people import NOON

from edgeface.bundle import open_bundle
from edgeface.config import Camera, Config, Detector, Runtime
from edgeface.engine.levels import FULL, LEVELS, usable
from edgeface.engine.load import Load
from edgeface.engine.networks import Networks
from edgeface.engine.turn import Worker
from edgeface.runtime import Runner, RunnerWrapper
from edgeface.service.holding import LOOK_S, Holding
from edgeface.service.inbox import Pace
from edgeface.types import F32, Frame, Image

CROWD = np.tile(cv2.resize(astronaut(), (192, 192)), (3, 5, 1))
"""Fifteen faces."""


class Costly(RunnerWrapper):
    """A runner whose every call takes its time, on the clock of its place."""

    def __init__(self, name: str, runner: Runner, place: Place) -> None:
        super().__init__(runner)
        self._name, self._place = name, place

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
        self._place.now_s += self._place.call_s
        self._place.calls.append((self._name, batch.shape))
        return super().run(batch, states)


class Place:
    """A board with a thermal zone, its worker, and what holds the rate; no clock but its own."""

    def __init__(
        self,
        root: Path,
        *,
        size: str = "auto",
        live: bool = True,
        cameras: Sequence[str] = ("main",),
        call_s: float = 0.0,
        rate: float | None = None,
        **runtime: Any,
    ) -> None:
        self.now_s, self.call_s = 0.0, call_s
        self.calls: list[tuple[str, tuple[int, ...]]] = []
        self.heat = PretendBoard(root).heat
        self.config = Config(
            cameras={"main": Camera(rate=rate)},
            runtime=Runtime(name="onnx", threads=1, **runtime),
            detector=Detector(size=size, fine=False, motion=False),
        )
        networks = Networks(open_bundle(DEFAULT), self.config, wrap=lambda name, runner: Costly(name, runner, self))
        numbers = count()
        self.worker = Worker(
            networks,
            self.config,
            cameras,
            new_id=lambda: str(next(numbers)),
            clock=lambda: self.now_s,
            live=["main"] if live else [],
        )
        self.holding = Holding(root)
        self._index = 0

    def frame(self, image: Image, *, camera: str = "main", step_s: float = 0.1, dropped: int = 0) -> list[str]:
        """One frame of a camera; the networks that it was shown to."""
        self.calls.clear()
        begun_s = self.now_s
        at = NOON + timedelta(seconds=begun_s)
        frame = Frame(image=image, camera=camera, index=self._index, time_s=begun_s, captured_at=at)
        self._index += 1 + dropped
        self.worker.process([frame])
        self.now_s = max(self.now_s, begun_s + step_s * (1 + dropped))
        return [name for name, _ in self.calls]

    def wait(self, seconds: float) -> list[int]:
        """Nobody before the camera for so long: the levels that held, one for each look."""
        held = []
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.holding.look(self.now_s, self.worker, self.config.runtime)
            held.append(LEVELS.index(self.worker.level))
            self.now_s += LOOK_S
        return held


def test_heat_takes_one_level_after_the_other_and_all_are_back_within_a_minute(tmp_path: Path) -> None:
    place = Place(tmp_path, size="640x384")
    place.heat(60)
    place.frame(CROWD)
    assert set(place.wait(20)) == {0}
    place.heat(82)
    held = place.wait(80)
    assert list(dict.fromkeys(held)) == list(range(len(LEVELS)))
    health = place.holding.health()
    assert health is not None
    assert (health.level, health.levels, health.causes) == (6, 6, ["heat"])
    assert place.holding.problem == "less is done (the board is too hot): faces are looked for in every fourth frame"
    place.heat(60)
    held = place.wait(60)
    assert list(dict.fromkeys(held)) == list(range(len(LEVELS) - 1, -1, -1))
    assert place.worker.level == FULL
    assert not place.holding.problem


def test_under_voltage_does_the_same(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.heat(50, throttled="1")
    place.frame(CROWD)
    place.wait(80)
    health = place.holding.health()
    assert health is not None
    assert (health.name, health.causes) == ("detection/4", ["power"])
    assert health.levels == len(LEVELS) - 2, "the smallest input is in use anyway"


@pytest.mark.parametrize("keys", [{"hold": False}, {"heat": 0.0}, {"heat": 90.0}])
def test_it_can_be_switched_off_or_set(tmp_path: Path, keys: dict[str, Any]) -> None:
    place = Place(tmp_path, **keys)
    place.heat(82)
    assert set(place.wait(80)) == {0}


def test_a_file_is_analysed_in_full_however_hot_it_is(tmp_path: Path) -> None:
    place = Place(tmp_path, live=False)
    place.heat(100)
    assert set(place.wait(80)) == {0}
    assert place.holding.health() is None
    place.worker.take_level(LEVELS[-1])
    asked = [place.frame(CROWD) for _ in range(6)]
    assert all(names.count("yunet") == 1 for names in asked), "every frame is searched"


def test_a_board_that_is_too_slow_does_less_until_it_holds_the_rate(tmp_path: Path) -> None:
    """Thirty milliseconds a call, thirty frames a second: most of the frames would be dropped for ever."""
    place = Place(tmp_path, call_s=0.03)
    held = []
    for _ in range(1500):
        # What the camera gave meanwhile nobody took.
        begun_s = place.now_s
        place.frame(CROWD, step_s=1 / 30)
        late = int((place.now_s - begun_s) * 30 + 1e-6) - 1
        place._index += max(0, late)
        place.holding.look(place.now_s, place.worker, place.config.runtime)
        held.append(LEVELS.index(place.worker.level))
    assert held[0] == 0
    settled = held[-500:]
    assert set(settled) == {settled[0]}
    assert settled[0] > 0
    health = place.holding.health()
    assert health is not None
    empty = np.zeros_like(CROWD)
    place.call_s = 0.001
    for _ in range(60 * 30):
        place.frame(empty, step_s=1 / 30)
        place.holding.look(place.now_s, place.worker, place.config.runtime)
    assert place.worker.level == FULL, "a minute after the load has gone"


def test_each_level_leaves_out_what_it_says(tmp_path: Path) -> None:
    place = Place(tmp_path, size="640x384")
    worker = place.worker

    def searched(frames: int) -> list[bool]:
        return ["yunet" in place.frame(CROWD) for _ in range(frames)]

    for _ in range(30):
        place.frame(CROWD)
    assert searched(8) == [True] * 8
    worker.take_level(LEVELS[2])
    assert sum(searched(8)) == 4
    worker.take_level(LEVELS[6])
    assert sum(searched(16)) == 4
    worker.take_level(LEVELS[3])
    assert {shape[2:] for _ in range(4) for name, shape in _calls(place) if name == "yunet"} == {(192, 320)}
    worker.take_level(FULL)
    assert searched(4)[1:] == [True] * 3
    assert {shape[2:] for name, shape in _calls(place) if name == "yunet"} == {(384, 640)}


def test_a_file_beside_a_camera_keeps_its_input_and_all_its_samples(tmp_path: Path) -> None:
    place = Place(tmp_path, size="640x384", cameras=("main", "file"))
    for _ in range(6):
        place.frame(CROWD)
    seen = []
    for level in LEVELS:
        place.worker.take_level(level)
        place.frame(CROWD, camera="file")
        seen.append([shape[2:] for name, shape in place.calls if name == "yunet"])
    assert seen == [[(384, 640)]] * len(LEVELS)
    assert place.worker.shrunk == 1.0, "so the level of the smaller input is left out"


def test_costs_are_those_since_the_last_look() -> None:
    now_s = 10.0
    load = Load(lambda: now_s)
    load.frame("main", 0.04, searched=True)
    load.frame("main", 0.0, searched=False)
    load.rest(0.02)
    load.answers(0.5, wanted=12, made=4)
    now_s = 12.0
    costs = load.take(rate=5.0, shrunk=2.0)
    assert (costs.rate, costs.shrunk, costs.waiting) == (5.0, 2.0, 3.0)
    assert (costs.detect_s, costs.frame_s, costs.answer_s) == pytest.approx((0.04, 0.01, 0.25))
    now_s = 14.0
    nothing = load.take(rate=5.0, shrunk=2.0)
    assert (nothing.detect_s, nothing.frame_s, nothing.answer_s, nothing.waiting) == (0.0, 0.0, 0.0, 1.0)


def _calls(place: Place) -> list[tuple[str, tuple[int, ...]]]:
    place.frame(CROWD)
    return list(place.calls)


def test_at_one_call_a_frame_everybody_has_a_turn(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.worker.take_level(LEVELS[4])
    names = [place.frame(CROWD) for _ in range(40)]
    assert all(asked.count(name) <= 1 for asked in names for name in set(asked))
    assert place.worker.deferred("main") > 0
    seen = place.worker.close("main", "stopped").changes
    assert len(seen) == 15
    assert all(change.visit.known.age is not None for change in seen), "nobody waits for ever"


def test_networks_sample_as_rarely_as_a_level_says(tmp_path: Path) -> None:
    def calls(level: int) -> int:
        place = Place(tmp_path)
        place.worker.take_level(LEVELS[level])
        for _ in range(30):
            place.frame(CROWD)
        return sum(shape[0] for _ in range(40) for name, shape in _calls(place) if name != "yunet")

    full, halved = calls(0), calls(1)
    assert 0.4 * full <= halved <= 0.65 * full


@pytest.mark.parametrize(
    ("rate", "fps", "expected"), [(None, 30, 300), (10, 30, 100), (30, 30, 300), (30, 15, 150), (7, 30, 70)]
)
def test_a_camera_is_analysed_at_the_rate_that_was_asked_for(rate: float | None, fps: float, expected: int) -> None:
    pace = Pace(rate)
    jitter = np.random.default_rng(1).uniform(-0.3, 0.3, 10_000)
    taken = sum(pace.takes((index + jitter[index]) / fps) for index in range(round(10 * fps)))
    assert taken == pytest.approx(expected, abs=2)


@pytest.mark.parametrize(("asked", "expected"), [(None, 10), (4, 4), (30, 10)])
def test_the_rate_is_what_a_camera_gives_or_what_is_asked_for(
    asked: float | None, expected: float, tmp_path: Path
) -> None:
    place = Place(tmp_path, rate=asked)
    assert place.worker.rate("main") == asked
    for _ in range(4):
        place.frame(CROWD)
    assert place.worker.rate("main") == pytest.approx(expected, rel=0.01)
    assert place.worker.costs().rate == pytest.approx(expected, rel=0.01), "and what a level is held against"


def test_looks_that_come_late_hold_up_no_step(tmp_path: Path) -> None:
    """A daemon looks when a turn is over: a quarter of a second late each time, and everything was back after 54 s."""
    place = Place(tmp_path)
    place.heat(82)
    place.frame(CROWD)
    place.wait(80)
    place.heat(60)
    begun_s = place.now_s
    while place.worker.level != FULL:
        place.now_s += 0.24
        place.holding.look(place.now_s, place.worker, place.config.runtime)
    steps = len(usable(smaller_input=False)) - 1
    assert place.now_s - begun_s < steps * 8.0 + 2.5
