"""The tracker in scenes where the truth is known: nobody is switched, nobody is split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import FACE, Person, Shot, film

from edgeface.track import TRACKS, Tracker
from edgeface.types import Detections, Track

NOBODY = Detections(boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32))


def make_tracker(**settings: float) -> Tracker:
    return Tracker(**{"lost_after_s": 2.0, "confirm_s": 0.3, "high_score": 0.6, **settings})  # type: ignore[arg-type]


def follow(shots: Iterable[Shot], tracker: Tracker | None = None) -> dict[int, set[int]]:
    """Confirmed tracks that each person had."""
    tracker = tracker or make_tracker()
    tracks_of: dict[int, set[int]] = defaultdict(set)
    for shot in shots:
        for track in tracker.update(shot.time_s, shot.detections):
            if track.confirmed and track.detection is not None:
                tracks_of[shot.owners[track.detection]].add(track.id)
    return tracks_of


def row_of(count: int, *, hidden: bool) -> list[Person]:
    """People six faces apart, each at up to 1.5 face widths a second, hidden in turn for half a second."""
    return [
        Person(
            x=200 + 6 * FACE * i,
            y=200 + 15 * i,
            speed=1.5,
            period_s=6 + i,
            phase=0.0,
            hidden=tuple((2.0 + 0.7 * i + 5 * k, 2.5 + 0.7 * i + 5 * k) for k in range(3)) if hidden else (),
        )
        for i in range(count)
    ]


def crossing(speed: float) -> list[Person]:
    """Two people who pass each other at the same height; the one behind is hidden while they overlap."""
    meet_s = 4.0
    left = Person(x=600 - speed * FACE * meet_s, y=300, drift=speed)
    overlap_s = 0.5 / 2
    right = Person(
        x=600 + speed * FACE * meet_s, y=310, drift=-speed, hidden=((meet_s - overlap_s, meet_s + overlap_s),)
    )
    return [left, right]


def assert_one_each(tracks_of: dict[int, set[int]], count: int) -> None:
    assert {owner: len(tracks) for owner, tracks in tracks_of.items()} == dict.fromkeys(range(count), 1)
    assert len(set.union(*tracks_of.values())) == count, "two people share a track"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("people", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("fps", [2, 5, 10, 30])
def test_people_with_occlusions_keep_their_track(fps: float, people: int, seed: int) -> None:
    shots = film(row_of(people, hidden=True), fps=fps, seconds=16, seed=seed, uneven=0.3)
    assert_one_each(follow(shots), people)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("speed", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("fps", [5, 10, 30])
def test_crossing_people_are_not_switched(fps: float, speed: float, seed: int) -> None:
    assert_one_each(follow(film(crossing(speed), fps=fps, seconds=8, seed=seed)), 2)


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_crossing_among_bystanders(fps: float) -> None:
    people = [*crossing(1.2), Person(x=200, y=700, speed=1.0), Person(x=900, y=720, speed=1.5, period_s=5)]
    assert_one_each(follow(film(people, fps=fps, seconds=8, seed=1)), 4)


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_overlooked_and_false_faces(fps: float) -> None:
    tracks_of = follow(film(row_of(3, hidden=False), fps=fps, seconds=20, seed=2, missed=0.15, false=0.1))
    tracks_of.pop(-1, None)
    assert_one_each(tracks_of, 3)


def test_somebody_who_comes_back_later_is_somebody_new() -> None:
    person = Person(x=300, y=300, hidden=((3.0, 6.0),))
    assert len(follow(film([person], fps=10, seconds=9))[0]) == 2


def test_a_glimpse_is_not_confirmed() -> None:
    shots = film([Person(x=300, y=300, leaves_s=0.25)], fps=10, seconds=3)
    assert follow(shots) == {}


def test_flicker_is_not_confirmed() -> None:
    hidden = tuple((0.1 + i * 0.4, 0.4 + i * 0.4) for i in range(20))
    assert follow(film([Person(x=300, y=300, hidden=hidden)], fps=10, seconds=6)) == {}


def test_doubtful_detections_continue_a_track_and_never_begin_one() -> None:
    tracker = make_tracker()
    box = np.array([[100, 100, 180, 200]], np.float32)
    low, high = np.array([0.4], np.float32), np.array([0.9], np.float32)
    assert tracker.update(0.0, Detections(boxes=box, scores=low)) == []
    assert len(tracker.update(0.1, Detections(boxes=box, scores=high))) == 1
    (track,) = tracker.update(0.2, Detections(boxes=box, scores=low))
    assert track.detection == 0
    assert track.score == pytest.approx(0.4)


def test_a_skipped_frame_is_neither_hit_nor_miss() -> None:
    skipped, dense = make_tracker(), make_tracker()
    for index in range(20):
        box = np.array([[100 + 4 * index, 100, 180 + 4 * index, 200]], np.float32)
        found = Detections(boxes=box, scores=np.array([0.9], np.float32))
        tracks = skipped.update(index / 10, found if index % 2 == 0 else None)
        assert len(tracks) == 1
        if index % 2:
            assert tracks[0].detection is None
            if index > 6:
                assert float(tracks[0].box[0]) == pytest.approx(100 + 4 * index, abs=4)
        dense.update(index / 10, found)
    assert tracks[0].confirmed


def test_tracks_are_bounded() -> None:
    tracker = make_tracker()
    boxes = np.array([[200 * i, 0, 200 * i + 50, 60] for i in range(TRACKS + 10)], np.float32)
    tracks = tracker.update(0.0, Detections(boxes=boxes, scores=np.full(len(boxes), 0.9, np.float32)))
    assert len(tracks) == TRACKS
    assert tracker.ignored == 10


boxes = st.lists(
    st.tuples(st.integers(0, 900), st.integers(0, 500), st.integers(10, 200), st.integers(10, 200)),
    max_size=6,
)


def as_detections(rows: Sequence[tuple[int, int, int, int]], scores: Sequence[float]) -> Detections:
    return Detections(
        boxes=np.array([[x, y, x + w, y + h] for x, y, w, h in rows], np.float32).reshape(-1, 4),
        scores=np.array(scores[: len(rows)], np.float32),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(boxes, min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_no_detection_is_shared_and_no_id_comes_twice(frames: list[list[tuple[int, int, int, int]]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    tracker, seen, gone = make_tracker(), set[int](), set[int]()
    time_s = 0.0
    for rows in frames:
        time_s += float(rng.uniform(0.01, 1.5))
        tracks = tracker.update(time_s, as_detections(rows, rng.uniform(0.3, 1.0, 6).tolist()))
        used = [track.detection for track in tracks if track.detection is not None]
        assert len(used) == len(set(used))
        ids = {track.id for track in tracks}
        assert len(ids) == len(tracks)
        assert not ids & gone
        gone |= seen - ids
        seen |= ids
        assert all(track.seen_s >= track.started_s for track in tracks)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_detections_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def run(shuffle: bool) -> list[list[tuple[float, ...]]]:
        tracker, told = make_tracker(), []
        for shot in film(row_of(4, hidden=False), fps=10, seconds=3, seed=seed % 1000):
            found = shot.detections
            order = rng.permutation(len(found)) if shuffle else np.arange(len(found))
            tracks = tracker.update(shot.time_s, Detections(boxes=found.boxes[order], scores=found.scores[order]))
            told.append(sorted(tuple(np.round(track.box, 2).tolist()) for track in tracks))
        return told

    assert run(shuffle=False) == run(shuffle=True)


def test_nobody() -> None:
    tracker = make_tracker()
    tracks: list[Track] = tracker.update(0.0, NOBODY)
    assert tracks == []
    assert tracker.update(1.0, None) == []
