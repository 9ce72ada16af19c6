"""Where faces are looked for, and when not at all: small ones found and followed, a still scene at rest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from itertools import count
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from astronaut import astronaut
from bundles import DEFAULT
from people import NOON

from edgeface.bundle import open_bundle
from edgeface.config import Config, Detector, Runtime
from edgeface.engine.networks import Networks
from edgeface.engine.search import (
    ACCOUNT,
    QUICK,
    SHARE,
    SHEETS,
    STILL_FINE_MOST_S,
    STILL_FINE_S,
    STILL_QUICK_S,
    Inputs,
    Plan,
    Search,
)
from edgeface.engine.turn import Worker
from edgeface.people.tracked import Expected
from edgeface.types import Frame, Image

WIDE = Inputs(image_wh=(1280, 720), quick_wh=(320, 192), fine_wh=(640, 384), any_size=False)
FPS = 10


@cache
def background(width: int = 1280, height: int = 720) -> Image:
    rng = np.random.default_rng(4)
    coarse = rng.integers(70, 150, (9, 16, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def face(height: int) -> Image:
    """Her head, so that the box of the face is about so high."""
    head = astronaut()[0:256, 128:320]
    scale = height / 110
    return np.asarray(cv2.resize(head, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def scene(heads: Sequence[tuple[int, int, int]], seed: int, size: tuple[int, int] = (1280, 720)) -> Image:
    """A noisy picture with heads: height of the face, left and top of the head."""
    picture = background(*size).copy()
    for height, left, top in heads:
        part = face(height)
        picture[top : top + part.shape[0], left : left + part.shape[1]] = part
    cv2.setRNGSeed(seed)
    noise = cv2.randn(np.zeros(picture.shape, np.int16), 0, 2)
    return np.asarray(cv2.add(picture, noise, dtype=cv2.CV_8U), np.uint8)


class Watched:
    """A worker on made pictures, whose plans are kept."""

    def __init__(self, **detector: Any) -> None:
        config = Config(detector=Detector(**detector), runtime=Runtime(name="onnx", threads=1))
        self.networks = Networks(open_bundle(DEFAULT), config)
        numbers = count(1)
        self.worker = Worker(
            self.networks, config, ["main"], new_id=lambda: f"{next(numbers)}", clock=lambda: 0.0, min_score=None
        )
        self.plans: list[Plan] = []
        search = self.networks.search

        def noted(frame: Frame, plan: Plan = QUICK, *, min_score: float) -> Any:
            self.plans.append(plan)
            return search(frame, plan, min_score=min_score)

        self.networks.search = noted  # type: ignore[method-assign]

    def see(self, image: Image, time_s: float, **more: Any) -> tuple[Any, Any]:
        frame = Frame(
            image=image,
            camera="main",
            index=round(time_s * 1000),
            time_s=time_s,
            captured_at=NOON + timedelta(seconds=time_s),
            **more,
        )
        ((sighting, told),) = self.worker.process([frame])
        return sighting, told


def expected(height: float, *, x: float = 400.0, y: float = 300.0, seen_s: float = 0.0, **more: Any) -> Expected:
    known = {"spread": 0.03, "hits": 30, "confirmed": True, "started_s": -100.0, **more}
    return Expected(x=x, y=y, width=0.8 * height, height=height, seen_s=seen_s, **known)


@pytest.mark.parametrize("height", [24, 30, 40])
def test_a_small_face_that_walks_is_found_within_a_second_and_followed(height: int) -> None:
    watched, found = Watched(), []
    for index in range(5 * FPS):
        time_s = index / FPS
        heads = [] if time_s < 1 else [(height, 300 + int(60 * time_s), 300)]
        sighting, _ = watched.see(scene(heads, index), time_s)
        if time_s >= 1:
            x = 300 + int(60 * time_s) + face(height).shape[1] / 2
            found.append(
                any(track.detection is not None and abs(track.box[[0, 2]].mean() - x) < 20 for track in sighting.tracks)
            )
    assert any(found[:FPS])
    assert np.mean(found[FPS:]) >= 0.95


def test_a_small_face_that_was_there_from_the_beginning_and_sits_still_is_found() -> None:
    watched = Watched()
    found = []
    for index in range(FPS):
        sighting, _ = watched.see(scene([(40, 700, 400)], index), index / FPS)
        found.append(len(sighting.tracks) == 1 and sighting.tracks[0].detection is not None)
    assert any(found)
    assert all(found[found.index(True) :])


def test_without_fine_and_with_a_size_of_the_users_only_the_whole_picture_is_seen() -> None:
    for keys in ({"fine": False}, {"size": "320x192"}):
        watched = Watched(**keys)
        for index in range(12):
            sighting, _ = watched.see(scene([(30, 300 + 8 * index, 300)], index), index / FPS)
            assert len(sighting.tracks) == 0
        assert watched.plans == [Plan(quick=True)] * 12


def test_a_still_scene_rests_and_who_sits_there_stays() -> None:
    watched, changes, seen = Watched(), [], []
    for index in range(20 * FPS):
        sighting, told = watched.see(scene([(150, 500, 200)], index), index / FPS)
        changes += [change.event for change in told.changes if change.event != "update"]
        if sighting.detections is not None:
            seen.append(index / FPS)
    assert changes == ["start"]
    # Sampled at the camera's pace for three seconds, then confirmed twice in `lost_after`.
    assert len([time_s for time_s in seen if time_s < 3]) == 3 * FPS
    late = [time_s for time_s in seen if time_s >= 5]
    assert len(late) <= 20
    assert max(np.diff([5.0, *late])) <= 1.01
    rested = watched.worker.rested("main")
    assert rested is not None
    assert rested >= 0.7


def test_who_leaves_a_scene_at_rest_is_missed_at_once_and_gone_after_lost_after() -> None:
    watched, gone, ends = Watched(), [], []
    for index in range(16 * FPS):
        time_s = index / FPS
        _, told = watched.see(scene([(150, 500, 200)] if time_s < 8 else [], index), time_s)
        gone += [time_s for visit in told.visits if visit.absent]
        ends += [time_s for change in told.changes if change.event == "end"]
    # `visits.lost_after`, then `visits.return_within`.
    assert gone[0] == pytest.approx(10.0, abs=0.25)
    assert ends == [pytest.approx(14.0, abs=0.25)]


def test_without_motion_every_frame_is_searched() -> None:
    watched = Watched(motion=False)
    for index in range(6 * FPS):
        watched.see(scene([(150, 500, 200)], index), index / FPS)
    assert len(watched.plans) == 6 * FPS
    assert watched.worker.rested("main") == 0


def test_a_picture_of_its_own_is_seen_as_a_whole_and_nothing_is_remembered_of_it() -> None:
    watched = Watched()
    for index in range(30):
        watched.see(scene([], 0), index / FPS, still=True)
    assert watched.plans == [Plan(quick=True)] * 30


def test_small_faces_are_found_in_the_cameras_own_pixels_where_it_also_gives_a_small_picture() -> None:
    watched = Watched()
    image = scene([(44, 700, 400)], 0)
    small = cv2.resize(image, (640, 360), interpolation=cv2.INTER_AREA)[::2, ::2].copy()
    sighting, _ = watched.see(image, 0.0, small=small)
    assert len(sighting.tracks) == 1
    assert sighting.tracks[0].box[3] - sighting.tracks[0].box[1] == pytest.approx(44, abs=12)


def test_an_upright_picture_is_searched_finer_too() -> None:
    watched = Watched()
    found = []
    for index in range(FPS):
        sighting, _ = watched.see(scene([(40, 250 + 6 * index, 700)], index, (720, 1280)), index / FPS)
        found.append(len(sighting.tracks))
    assert 1 in found


def planned(frames: int, known: Sequence[Expected], *, inputs: Inputs = WIDE, moving: bool = True) -> list[Plan]:
    """Plans for frames in which all that is known moves by a pixel, and something else with it."""
    search = Search(finer=True, resting=True, lost_after_s=2.0)
    plans = []
    for index in range(frames):
        picture = scene([], 0)
        if moving:
            left = 40 * (index % 28)
            picture[500:600, left : left + 60] = 255
        now = [
            one.__class__(**{f: getattr(one, f) for f in one.__struct_fields__} | {"seen_s": index / 25 - 0.04})
            for one in known
        ]
        plan = search.plan(picture, index / 25, inputs, now)
        assert plan is not None
        plans.append(plan)
    return plans


def still(
    seconds: float, known: Sequence[Expected], *, fps: float = 15.0, lost_after_s: float = 2.0
) -> list[tuple[float, Plan]]:
    """Times and plans of the searches of a scene in which nothing changes; who is known is found in each of them."""
    search, picture = Search(finer=True, resting=True, lost_after_s=lost_after_s), scene([], 0, (640, 360))
    inputs = Inputs(image_wh=(640, 360), quick_wh=(320, 192), fine_wh=(640, 384), any_size=True)
    plans, seen_s = [], 0.0
    for index in range(round(seconds * fps)):
        time_s = index / fps
        if search.passes(time_s):
            continue
        now = [msgspec.structs.replace(one, seen_s=seen_s) for one in known]
        plan = search.plan(picture, time_s, inputs, now)
        if plan is not None:
            seen_s = time_s
            plans.append((time_s, plan))
    return plans


def test_who_sits_still_is_confirmed_in_less_than_a_whole_pass() -> None:
    plans = still(60.0, [expected(90, x=300, y=150)])
    late = [(time_s, plan) for time_s, plan in plans if time_s >= 10]
    assert max(np.diff([time_s for time_s, _ in late])) <= 1.001
    assert sum(plan.quick for _, plan in late) <= 50 / STILL_QUICK_S + 1
    assert all(cost(plan) < 0.5 for _, plan in late if not (plan.quick or plan.fine))
    for plan in [plan for _, plan in late if not plan.quick]:
        assert any(
            place.region.left < 264 and place.region.right > 336 for mosaic in plan.mosaics for place in mosaic.placed
        )


@pytest.mark.parametrize(("lost_after_s", "within_s"), [(0.6, 0.3), (1.0, 0.5), (20.0, 1.0)])
def test_who_sits_still_is_confirmed_twice_before_they_would_be_missed(lost_after_s: float, within_s: float) -> None:
    late = [
        time_s for time_s, _ in still(20.0, [expected(90, x=300, y=150)], lost_after_s=lost_after_s) if time_s >= 10
    ]
    assert within_s / 2 < max(np.diff(late)) <= within_s + 0.001


def test_an_empty_room_is_seen_as_a_whole_now_and_then_and_finer_ever_more_rarely() -> None:
    plans = still(130.0, [])
    late = [time_s for time_s, plan in plans if time_s >= 10 and (plan.quick or plan.fine)]
    assert max(np.diff([10.0, *late, 130.0])) <= STILL_QUICK_S + 0.2
    assert len([time_s for time_s, _ in plans if time_s >= 10]) <= 120 / STILL_QUICK_S + 2
    fine = np.diff([time_s for time_s, plan in plans if plan.fine and time_s > 2])
    assert STILL_FINE_S - 1 <= fine[0] < fine[1] < fine[2]
    assert STILL_FINE_MOST_S - 1 <= fine[-1] <= STILL_FINE_MOST_S + STILL_QUICK_S


def test_frames_soon_after_one_that_rests_are_passed_over_and_everybody_stays() -> None:
    watched, looked, there = Watched(), [], []
    changes = watched.worker._searches["main"]._changes
    see = changes.see
    changes.see = lambda image, time_s: (looked.append(time_s), see(image, time_s))[1]  # type: ignore
    for index in range(8 * 25):
        sighting, told = watched.see(scene([(150, 500, 200)], index), index / 25)
        there.append((len(sighting.tracks), len(told.visits)))
    assert watched.worker.frames["main"] == 8 * 25
    assert len([time_s for time_s in looked if time_s < 3]) == 3 * 25
    assert len([time_s for time_s in looked if time_s >= 5]) <= 3 * 25 / 2
    assert set(there[25:]) == {(1, 1)}


def cost(plan: Plan, inputs: Inputs = WIDE) -> float:
    fine = inputs.cost(inputs.fine_wh) if plan.fine and inputs.fine_wh else 0.0
    return plan.quick + fine + sum(inputs.cost(mosaic.size_wh) for mosaic in plan.mosaics)


@pytest.mark.parametrize("heights", [(), (30,), (200,), (30, 60, 200), (24,) * 12], ids=str)
def test_passes_cost_no_more_than_the_account_has(heights: tuple[int, ...]) -> None:
    known = [expected(height, x=100 + 90 * place, y=200) for place, height in enumerate(heights)]
    plans = planned(100, known)
    assert sum(map(cost, plans)) <= 100 * (1 + SHARE) + ACCOUNT


def test_every_small_face_is_in_a_region_in_every_frame_and_64_of_them_too() -> None:
    known = [expected(26, x=60 + 75 * (place % 16), y=100 + 130 * (place // 16)) for place in range(64)]
    for plan in planned(5, known):
        regions = [place.region for mosaic in plan.mosaics for place in mosaic.placed]
        for one in known:
            assert any(
                region.left <= one.x - one.width / 2
                and region.right >= one.x + one.width / 2
                and region.top <= one.y - one.height / 2
                and region.bottom >= one.y + one.height / 2
                for region in regions
            )
        assert len(plan.mosaics) <= SHEETS


def test_a_prepared_size_is_kept_to_and_a_free_one_is_no_larger_than_it_must_be() -> None:
    known = [expected(30)]
    (fixed, snug) = (
        planned(10, known, inputs=inputs, moving=False)[-1].mosaics[0].size_wh
        for inputs in (WIDE, Inputs(image_wh=(1280, 720), quick_wh=(320, 192), fine_wh=(640, 384), any_size=True))
    )
    assert fixed == (320, 192)
    assert snug[0] * snug[1] < 320 * 192 / 2


def test_a_picture_no_larger_than_the_detectors_input_has_nothing_finer() -> None:
    inputs = Inputs(image_wh=(320, 180), quick_wh=(320, 192), fine_wh=(640, 384), any_size=True)
    assert planned(3, [expected(15, x=100, y=100)], inputs=inputs) == [Plan(quick=True)] * 3


def test_a_file_gives_the_same_plans_every_time() -> None:
    known = [expected(30), expected(25, x=800)]
    assert planned(30, known) == planned(30, known)
