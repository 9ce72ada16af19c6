"""What a crowd costs less by gives the same as the plain way of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from itertools import count

import cv2
import numpy as np
import pytest
from daemons import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from test_visits import HEADS, age, make_book, track

from edgeface.bundle import Input, open_bundle
from edgeface.config import Config, Visits
from edgeface.engine.pipeline import Pipeline
from edgeface.events import SummaryMessage, SummaryWindow
from edgeface.people import appearance
from edgeface.people.appearance import Box, Patch, Views, histograms
from edgeface.people.motion import Face, association_offset, begin, correct, predict, within
from edgeface.runtime.tensor import to_tensor
from edgeface.types import F32, Answer, Detections, Frame, Image

EPOCH = datetime.fromtimestamp(0, timezone.utc)
places = st.floats(-50, 250)
sides = st.floats(4, 90)
faces = st.tuples(places, places, sides, sides)


@settings(max_examples=200, deadline=None)
@given(seen=st.lists(faces, min_size=1, max_size=3), found=st.lists(faces, max_size=12), gate=st.floats(0.1, 3.0))
def test_no_face_within_the_gate_is_left_out(seen: list[Face], found: list[Face], gate: float) -> None:
    motion = begin(seen[0], 0.0)
    for step, face in enumerate(seen[1:], 1):
        predict(motion, 0.2, 0.2 * step)
        correct(motion, face, 0.2 * step)
    predict(motion, 0.2, 1.0)
    rows = within(motion, sorted((face[0], row, face[1]) for row, face in enumerate(found)), gate=gate)
    reached = [row for row, face in enumerate(found) if association_offset(motion, face, gate=gate) is not None]
    assert rows == sorted(rows)
    assert set(reached) <= set(rows)


def plain_histogram(pixels: Image, bare: np.ndarray) -> F32:
    """`histogram`, pixel by pixel."""
    rows, columns = bare.shape
    sums = pixels.astype(np.float64).sum(axis=2)
    bare, sums = bare & (sums > 0), sums + appearance.FLOOR
    lightness = np.log(sums)
    colour, light, rough = np.zeros((9, 9)), np.zeros(8), np.zeros((2, 5))

    def soft(value: float, low: float, high: float, bins: int) -> list[tuple[int, float]]:
        place = min(max((value - low) * (bins - 1) / (high - low), 0), bins - 1.001)
        return [(int(place), 1 - place % 1), (int(place) + 1, place % 1)]

    for y, x in zip(*np.nonzero(bare), strict=True):
        blue, green, red = pixels[y, x].tolist()
        across, down = (soft((channel - green) / sums[y, x], -0.4, 0.4, 9) for channel in (blue, red))
        for row, much in down:
            for column, more in across:
                colour[row, column] += much * more
        for place, much in soft(lightness[y, x], 3.4, 6.7, 8):
            light[place] += much
        for way, (after_y, after_x) in enumerate(((y, x + 1), (y + 1, x))):
            if after_y < rows and after_x < columns and bare[after_y, after_x]:
                for place, much in soft(abs(lightness[after_y, after_x] - lightness[y, x]), 0, 0.5, 5):
                    rough[way, place] += much
    blurred = appearance.BLUR @ colour @ appearance.BLUR, appearance.BLUR[:8, :8] @ light, rough
    parts = [w * p.ravel() / max(p.sum(), 1.0) for w, p in zip(appearance.WEIGHTS, blurred, strict=True)]
    counts = np.concatenate(parts)
    root: F32 = np.sqrt(counts / counts.sum()).astype(np.float32)
    return root


def noise(seed: int, shape: tuple[int, ...], *, smooth: bool = True) -> Image:
    picture = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    return cv2.GaussianBlur(picture, (9, 9), 0) if smooth else picture


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 9999), rows=st.integers(1, 14), columns=st.integers(1, 14), share=st.sampled_from([0.6, 1.0])
)
def test_a_histogram_is_what_its_pixels_add_up_to(seed: int, rows: int, columns: int, share: float) -> None:
    pixels, rng = noise(seed, (rows, columns), smooth=bool(seed % 2)), np.random.default_rng(seed)
    pixels[: rows // 3] *= seed % 3 > 0
    bares = [(rng.random((rows, columns)) < share) & (pixels.sum(axis=2) > 0) for _ in range(3)]
    patches = [Patch(pixels, bare, int(bare.sum())) for bare in bares if bare.any()]
    if not patches:
        return
    for seen, patch in zip(histograms(patches), patches, strict=True):
        np.testing.assert_allclose(seen, plain_histogram(pixels, patch.bare), atol=2e-3)


def bare_pixels(image: Image, region: Box, covers: Sequence[Box]) -> list[tuple[int, int]]:
    """Picked pixels of a region that nobody covers, each held against everybody."""
    x1, y1, x2, y2 = region
    step_x, step_y = (max(1, round(side / appearance.SIDE)) for side in (x2 - x1, y2 - y1))
    return [
        (x, y)
        for y in range(max(0, round(y1)), min(image.shape[0], round(y2)), step_y)
        for x in range(max(0, round(x1)), min(image.shape[1], round(x2)), step_x)
        if not any(left <= x < right and top <= y < bottom for left, top, right, bottom in covers)
    ]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), people=st.integers(1, 25))
def test_a_look_in_a_crowd_counts_what_nobody_covers(seed: int, people: int) -> None:
    rng, image = np.random.default_rng(seed), noise(seed, (360, 640))
    corners, wide = rng.uniform((-20, -20), (620, 340), (people, 2)), rng.uniform(8, 70, (people, 1))
    boxes = np.concatenate([corners, corners + wide * (1.0, 1.2)], axis=1).astype(np.float32)
    row = int(rng.integers(people))
    looked = Views(image, boxes).look(row)
    one = boxes[row].tolist()
    others = [b for r, b in enumerate(boxes.tolist()) if r != row and b[3] - b[1] >= 0.75 * (one[3] - one[1])]
    covers = [appearance._region(other, part) for other in others for part in appearance.COVERS]
    for part, seen in ((appearance.TORSO, looked.torso), (appearance.HEAD, looked.head)):
        region = appearance._region(one, part)
        (x1, y1, x2, y2), bare = region, bare_pixels(image, region, covers)
        steps = [max(1, round(side / appearance.SIDE)) for side in (x2 - x1, y2 - y1)]
        least = max(appearance.LEAST_PIXELS, appearance.LEAST_SHARE * (x2 - x1) * (y2 - y1) / (steps[0] * steps[1]))
        assert (seen is not None) == (len(bare) >= least)
        everybody = appearance._picked(image, region, covers)
        assert (seen is None) == (everybody is None)
        assert seen is None or everybody is None or (seen == histograms([everybody])[0]).all()
    parts = [appearance._region(one, part) for part in (appearance.TORSO, appearance.HEAD)]
    assert looked.clear != any(appearance._overlap(cover, part) for cover in covers for part in parts)


@pytest.mark.parametrize("count_", [1, 2, 3, 8])
@pytest.mark.parametrize("mean", [127.5, 104.3, (123.675, 116.28, 103.53)])
@pytest.mark.parametrize("scale", [1.0, 1 / 127.5, (1 / 58.395, 1 / 57.12, 1 / 57.375)])
def test_many_faces_make_the_same_tensor_as_each_alone(
    count_: int, mean: float | tuple[float, ...], scale: float | tuple[float, ...]
) -> None:
    pixels = np.random.default_rng(count_).integers(0, 256, (count_, 48, 40, 3), np.uint8)
    spec = Input(color="rgb", mean=mean, scale=scale)
    together = to_tensor(pixels, spec, "NCHW")
    assert (together == np.concatenate([to_tensor(face[None], spec, "NCHW") for face in pixels])).all()


def happy(share: float, *, time_s: float) -> Answer:
    rest = (1 - share) / 2
    return Answer(
        task="expression", probabilities=np.array([share, rest, rest], np.float32), quality=0.8, time_s=time_s
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999))
def test_who_asks_in_every_frame_learns_what_who_asks_once_does(seed: int) -> None:
    rng, often, seldom = np.random.default_rng(seed), make_book(update_interval=0.5), make_book(update_interval=0.5)
    told: list[list[tuple[str, object]]] = [[], []]
    for frame in range(40):
        time_s, here = frame / 10, [number for number in (1, 2, 3) if rng.random() < 0.97]
        answers = [(n, age(rng.uniform(20, 60), time_s=time_s)) for n in here if rng.random() < 0.5]
        answers += [(n, happy(float(rng.uniform(0.2, 0.9)), time_s=time_s)) for n in here if rng.random() < 0.5]
        for book, said in zip((often, seldom), told, strict=True):
            changes = book.observe(time_s, [track(number, now_s=time_s) for number in here])
            said += [(change.event, change.visit.known) for change in changes]
            for number, answer in answers:
                book.absorb(number, answer)
        often.current()
    assert told[0] == told[1]
    assert [visit.known for visit in often.current()] == [visit.known for visit in seldom.current()]


def comes_and_goes(time_s: float) -> bool:
    """Three seconds, a longer visit, away at a minute's end, then there for two seconds, of which nothing is told."""
    return 5 <= time_s < 8 or 20 <= time_s < 58 or 61 <= time_s < 63


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_minute_counts_the_same_as_one_that_is_looked_at_in_every_frame(seed: int) -> None:
    rng, bundle, numbers = np.random.default_rng(seed), open_bundle(ROOT / "models" / "default"), count()
    asked = [(bundle.network("age-gender-compact"), "age"), (bundle.network("expression-compact"), "expression")]
    pipeline = Pipeline(
        "main",
        # Where nothing is told of who is there, nothing but the rule looks at them.
        Config(
            visits=Visits(lost_after=1.0, return_within=3.0, min_samples=5, update_interval=2.0 if seed == 1 else 1e6)
        ),
        detector=bundle.network("yunet"),
        networks=[(network, HEADS[task]) for network, task in asked],  # type: ignore[index]
        new_id=lambda: str(next(numbers)),
    )
    shadow, image, here = SummaryWindow("main", start_s=0.0), noise(seed, (90, 160)), [False] * 3
    minutes = 0
    for index in range(5 * 130):
        time_s = index / 5
        here = [there ^ bool(rng.random() < 0.04) for there in here] if seed else [comes_and_goes(time_s)]
        corners = np.array([(10 + 50 * n, 20) for n, there in enumerate(here) if there], np.float32).reshape(-1, 2)
        found = Detections(
            boxes=np.concatenate([corners, corners + np.array([20, 24], np.float32)], axis=1),
            scores=np.full(len(corners), 0.9, np.float32),
            landmarks=np.repeat(corners[:, None], 5, axis=1)
            + np.array([(6, 9), (14, 9), (10, 14), (7, 18), (13, 18)], np.float32),
        )
        at = EPOCH + timedelta(seconds=time_s)
        frame = Frame(image=image, camera="main", index=index, time_s=time_s, captured_at=at)
        sighting, requests = pipeline.observe(frame, found)
        answers = [
            (r.track, age(30 + seed * time_s / 5, time_s=time_s) if "age" in r.network else happy(0.7, time_s=time_s))
            for r in requests
        ]
        told = pipeline.absorb(sighting, answers)
        shadow.observe(told.changes, told.visits)
        for summary in (body.message for body in told.bodies if isinstance(body.message, SummaryMessage)):
            minutes += 1
            shadow.count(pipeline._counted)
            body = shadow.body(time_s, at=at, started_at=lambda second: EPOCH + timedelta(seconds=second))
            assert summary == body.message
    assert minutes == 3
