"""The tracker in scenes where the truth is known: nobody is switched, nobody is split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import FACE, Person, Shot, film
from scipy.optimize import linear_sum_assignment

from edgeface.people.assignment import UNMATCHED, match
from edgeface.people.motion import association_cost, begin, correct, predict
from edgeface.people.tracker import TRACKS, Tracker
from edgeface.types import Detections, Track

NOBODY = Detections(boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32))


UNTOLD = -2


def make_tracker(**settings: float) -> Tracker:
    return Tracker(**{"lost_after_s": 2.0, "confirm_s": 0.3, "high_score": 0.6, **settings})  # type: ignore[arg-type]


def follow(shots: Iterable[Shot], tracker: Tracker | None = None) -> dict[int, set[int]]:
    """Confirmed tracks that each person had."""
    tracker = tracker or make_tracker()
    tracks_of: dict[int, set[int]] = defaultdict(set)
    for shot in shots:
        for track in tracker.update(shot.time_s, shot.detections):
            if track.confirmed and track.detection is not None and shot.owners[track.detection] != UNTOLD:
                tracks_of[shot.owners[track.detection]].add(track.id)
    return tracks_of


def row_of(count: int, *, hidden: bool, abrupt: bool = False) -> list[Person]:
    """People below each other, each at up to 1.5 face widths a second, hidden in turn for half a second."""
    return [
        Person(
            x=600,
            y=200 + 1.8 * FACE * i,
            speed=1.5,
            period_s=3 + i,
            phase=2.0 * i,
            abrupt=abrupt,
            hidden=tuple((2.0 + 0.7 * i + 5 * k, 2.5 + 0.7 * i + 5 * k) for k in range(3)) if hidden else (),
        )
        for i in range(count)
    ]


MEET_S = 4.0


def crossing(speeds: tuple[float, float], *, hidden_s: float = 0.5, lower: float = 0.1) -> list[Person]:
    """Two people who meet at the same place; the second is hidden around that time."""
    hidden = ((MEET_S - hidden_s / 2, MEET_S + hidden_s / 2),) if hidden_s else ()
    return [
        Person(x=600 - speeds[0] * FACE * MEET_S, y=300, drift=speeds[0]),
        Person(x=600 - speeds[1] * FACE * MEET_S, y=300 + lower * FACE, drift=speeds[1], hidden=hidden),
    ]


def outside(shots: Iterable[Shot], span_s: float) -> Iterator[Shot]:
    """Shots whose owners are known around the meeting; within it, whose box is whose cannot be told from a box."""
    for shot in shots:
        near = abs(shot.time_s - MEET_S) < span_s
        yield replace(shot, owners=[UNTOLD] * len(shot.owners)) if near else shot


def assert_one_each(tracks_of: dict[int, set[int]], count: int) -> None:
    assert {owner: len(tracks) for owner, tracks in tracks_of.items()} == dict.fromkeys(range(count), 1)
    assert len(set.union(*tracks_of.values())) == count, "two people share a track"


@pytest.mark.parametrize("abrupt", [False, True], ids=["swinging", "turning at once"])
@pytest.mark.parametrize("people", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("fps", [2, 5, 10, 30])
def test_people_with_occlusions_keep_their_track(fps: float, people: int, abrupt: bool) -> None:
    for seed in range(2):
        shots = film(row_of(people, hidden=True, abrupt=abrupt), fps=fps, seconds=12, seed=seed, uneven=0.3)
        assert_one_each(follow(shots), people)


@pytest.mark.parametrize(
    ("speeds", "hidden_s"),
    [
        pytest.param((1.5, -1.5), 0.5, id="fast"),
        pytest.param((0.3, -0.3), 0.5, id="slow"),
        pytest.param((1.5, -0.3), 0.5, id="one strolls"),
        pytest.param((1.5, 0.5), 0.5, id="one overtakes"),
        pytest.param((1.0, 0.0), 0.5, id="one stands"),
        pytest.param((1.0, -1.0), 0.8, id="hidden longer"),
        pytest.param((1.0, -1.0), 0.0, id="both found all the time"),
    ],
)
@pytest.mark.parametrize("fps", [5, 10, 30])
def test_crossing_people_are_not_switched(fps: float, speeds: tuple[float, float], hidden_s: float) -> None:
    for seed in range(4):
        shots = film(crossing(speeds, hidden_s=hidden_s), fps=fps, seconds=8, seed=seed, uneven=0.3)
        assert_one_each(follow(outside(shots, 0.4)), 2)


@pytest.mark.parametrize("people", [3, 4, 5])
@pytest.mark.parametrize("fps", [5, 10, 30])
def test_crossing_among_bystanders_who_are_hidden_in_turn(fps: float, people: int) -> None:
    others = [replace(person, y=person.y + 250) for person in row_of(people - 2, hidden=True)]
    shots = film([*crossing((1.2, -0.9)), *others], fps=fps, seconds=8, seed=1)
    assert_one_each(follow(outside(shots, 0.4)), people)


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_overlooked_and_false_faces(fps: float) -> None:
    tracks_of = follow(film(row_of(3, hidden=False), fps=fps, seconds=20, seed=2, missed=0.15, false=0.1))
    tracks_of.pop(-1, None)
    assert_one_each(tracks_of, 3)


def test_a_stranger_does_not_take_the_place_of_somebody_in_view() -> None:
    """Number 2 has been hidden for a while when 3 appears near 1: nobody moves up a place to make room."""
    people = [
        Person(x=300, y=300, speed=0.2),
        Person(x=300 + 1.6 * FACE, y=300, hidden=((3.0, 4.4),)),
        Person(x=300 - 1.2 * FACE, y=300, arrives_s=4.0),
    ]
    assert_one_each(follow(film(people, fps=10, seconds=8)), 3)


def test_somebody_who_comes_back_later_is_somebody_new() -> None:
    person = Person(x=300, y=300, hidden=((3.0, 6.0),))
    assert len(follow(film([person], fps=10, seconds=9))[0]) == 2


def test_a_tentative_track_is_not_confirmed() -> None:
    shots = film([Person(x=300, y=300, leaves_s=0.25)], fps=10, seconds=3)
    assert follow(shots) == {}


def test_flicker_is_not_confirmed() -> None:
    hidden = tuple((0.1 + i * 0.4, 0.4 + i * 0.4) for i in range(20))
    assert follow(film([Person(x=300, y=300, hidden=hidden)], fps=10, seconds=6)) == {}


@pytest.mark.parametrize("sizes", [4, 8])
@pytest.mark.parametrize("fps", [5, 10, 25])
def test_one_false_face_that_is_found_now_here_now_there_is_nobody(fps: float, sizes: float) -> None:
    """A poster and its mirror, of which each search finds one: strong, and as steady as anybody."""
    tracker = make_tracker()
    for frame in range(int(10 * fps)):
        x = 100 + frame % 2 * sizes * FACE
        boxes = np.array([[x, 100, x + FACE, 100 + 1.2 * FACE]], np.float32)
        found = Detections(boxes=boxes, scores=np.full(1, 0.95, np.float32))
        assert not any(track.confirmed for track in tracker.update(frame / fps, found))


@pytest.mark.parametrize("fps", [5, 10, 25])
def test_who_is_found_in_two_of_three_frames_is_somebody(fps: float) -> None:
    hidden = tuple((frame / fps - 0.01, (frame + 1) / fps - 0.01) for frame in range(2, int(4 * fps), 3))
    assert len(follow(film([Person(x=300, y=300, hidden=hidden)], fps=fps, seconds=4))[0]) == 1


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


def test_searches_rarer_than_the_patience_end_nobody() -> None:
    tracker = make_tracker()
    found = Detections(boxes=np.array([[100, 100, 180, 200]], np.float32), scores=np.array([0.9], np.float32))
    for index in range(100):
        tracks = tracker.update(index / 10, found if index % 30 == 0 else None)
        assert [track.id for track in tracks] == [1]
    assert tracks[0].confirmed
    tracker.update(10.0, NOBODY)
    assert [track.id for track in tracker.update(10.5, None)] == [1], "seen 1.5 s ago"
    assert tracker.update(11.1, None) == []


@pytest.mark.parametrize("gap_s", [1.9, 2.1])
def test_a_camera_that_showed_nothing_tells_nothing(gap_s: float) -> None:
    tracker = make_tracker()
    found = Detections(boxes=np.array([[100, 100, 180, 200]], np.float32), scores=np.array([0.9], np.float32))
    for step in range(5):
        tracker.update(step / 10, found)
    (track,) = tracker.update(0.4 + gap_s, found)
    assert track.id == (1 if gap_s < 2 else 2)


def passer_by(*, fps: float, size: float, speed: float, width: float = 960, way: int = 1) -> tuple[Person, float]:
    """Somebody who walks once through the picture, and for how many seconds."""
    seconds = (width - size) / (speed * size)
    start = size / 2 if way > 0 else width - size / 2
    return Person(x=start, y=300, drift=way * speed, size=size, leaves_s=seconds), seconds


WALK = 8.75
"""Face widths a second of a walk at 1.4 m/s, whatever the distance."""


@pytest.mark.parametrize("speed", [3, 6.2, WALK, 12])
@pytest.mark.parametrize("size", [20, 60, 120, 200])
@pytest.mark.parametrize("fps", [2, 3, 5, 7.5, 10, 15, 25, 30])
def test_somebody_who_walks_past_alone_is_one_person(fps: float, size: float, speed: float) -> None:
    person, seconds = passer_by(fps=fps, size=size, speed=speed)
    if seconds * fps < 3 or seconds < 0.6:
        pytest.skip("seen too seldom to be a visit")
    for seed, (uneven, missed) in enumerate([(0.0, 0.0), (0.3, 0.0), (0.3, 0.1)]):
        shots = film([person], fps=fps, seconds=seconds + 3, seed=seed, uneven=uneven, missed=missed)
        assert_one_each(follow(shots), 1)


@pytest.mark.parametrize("speed", [3, WALK])
@pytest.mark.parametrize("fps", [2, 5, 7.5, 10, 30])
def test_two_who_walk_past_each_other_briskly(fps: float, speed: float) -> None:
    to, seconds = passer_by(fps=fps, size=60, speed=speed, width=1280)
    fro, _ = passer_by(fps=fps, size=60, speed=speed, width=1280, way=-1)
    for seed in range(4):
        shots = film([to, replace(fro, y=380)], fps=fps, seconds=seconds + 3, seed=seed, uneven=0.3)
        assert_one_each(follow(shots), 2)


@pytest.mark.parametrize("speed", [3, WALK])
@pytest.mark.parametrize("fps", [2, 5, 7.5, 10, 30])
def test_somebody_walks_briskly_past_somebody_who_stands(fps: float, speed: float) -> None:
    walker, seconds = passer_by(fps=fps, size=60, speed=speed, width=1280)
    walker = replace(walker, x=walker.x - speed * 60, arrives_s=1.0, leaves_s=1 + seconds)
    for seed in range(4):
        shots = film([walker, Person(x=657, y=370, size=60)], fps=fps, seconds=seconds + 3, seed=seed, uneven=0.3)
        assert_one_each(follow(shots), 2)


def test_two_sightings_of_different_size_far_apart_are_two_people() -> None:
    tracker = make_tracker()
    near = np.array([[100, 100, 180, 200]], np.float32)
    far = np.array([[300, 100, 340, 150]], np.float32)
    tracker.update(0.0, Detections(boxes=near, scores=np.array([0.9], np.float32)))
    tracks = tracker.update(0.2, Detections(boxes=far, scores=np.array([0.9], np.float32)))
    assert [track.id for track in tracks] == [1, 2]


@pytest.mark.parametrize("interval_s", [2.5, 5.0, 60.0])
def test_a_slow_camera_follows_who_is_in_every_frame(interval_s: float) -> None:
    tracker = make_tracker()
    found = Detections(boxes=np.array([[100, 100, 180, 200]], np.float32), scores=np.array([0.9], np.float32))
    rng = np.random.default_rng(0)
    confirmed: list[int] = []
    for index in range(12):
        uneven = float(rng.uniform(-0.2, 0.2))
        if index in {6, 9}:
            continue
        tracks = tracker.update((index + uneven) * interval_s, found)
        confirmed += [track.id for track in tracks if track.confirmed]
    assert len(set(confirmed)) == 1
    assert len(confirmed) >= 8
    (track,) = tracker.update(12 * interval_s + 600, found)
    assert track.id not in confirmed, "a camera that was away for minutes"


def test_frames_that_we_had_no_time_for_are_no_absence() -> None:
    """A camera of ten frames a second, of which a machine takes one in three seconds, then goes away for as long."""
    tracker = make_tracker()
    found = Detections(boxes=np.array([[100, 100, 180, 200]], np.float32), scores=np.array([0.9], np.float32))
    for step in range(5):
        tracker.update(step / 10, found, step)
    for turn in range(1, 5):
        (track,) = tracker.update(0.4 + 3 * turn, found, 4 + 30 * turn)
        assert (track.id, track.confirmed) == (1, True)
    (track,) = tracker.update(15.4, found, 125)
    assert track.id == 2
    (track,) = tracker.update(18.4, found, 0)
    assert track.id == 3, "opened again"


def test_tentative_tracks_make_room_and_are_counted() -> None:
    tracker = make_tracker()
    boxes = np.array([[200 * i, 0, 200 * i + 50, 60] for i in range(TRACKS)], np.float32)
    tracker.update(0.0, Detections(boxes=boxes, scores=np.full(len(boxes), 0.9, np.float32)))
    elsewhere = Detections(boxes=np.array([[0, 900, 50, 960]], np.float32), scores=np.array([0.9], np.float32))
    tracks = tracker.update(0.1, elsewhere)
    assert (len(tracks), tracks[-1].id, tracker.ignored) == (TRACKS, TRACKS + 1, 1)


@pytest.mark.parametrize("rate", [5, 10])
def test_presence_of_a_round_time_confirms(rate: int) -> None:
    """0.7 s - 0.3 s is a little less than 0.4 s in floating point."""
    for first in range(12):
        tracker = make_tracker(confirm_s=0.4)
        found = Detections(boxes=np.array([[100, 100, 180, 200]], np.float32), scores=np.array([0.9], np.float32))
        for step in range(int(0.4 * rate) + 1):
            (track,) = tracker.update((first + step) / rate, found)
        assert track.confirmed


def test_of_two_at_one_place_the_one_seen_just_now_keeps_the_face() -> None:
    face = (300.0, 300.0, 80.0, 96.0)
    seen, hidden = begin(face, 0.0), begin(face, 0.0)
    for step in range(1, 21):
        for motion in (seen, hidden):
            predict(motion, 0.1, step / 10)
        correct(seen, face, step / 10)
        if step <= 15:
            correct(hidden, face, step / 10)
    off = (306.0, 300.0, 80.0, 96.0)
    costs = [association_cost(motion, off, gate=1.0) for motion in (seen, hidden)]
    assert None not in costs
    assert costs[0] < costs[1]  # type: ignore[operator]


def test_a_good_pair_is_not_broken_up_for_a_stranger() -> None:
    assert match({(0, 0): 1.0, (0, 1): 24.0, (1, 0): 20.0}) == [(0, 0)]


@settings(max_examples=60)
@given(st.dictionaries(st.tuples(st.integers(0, 11), st.integers(0, 11)), st.floats(0, UNMATCHED - 0.1), max_size=60))
def test_the_match_is_the_best_of_all(costs: dict[tuple[int, int], float]) -> None:
    """Held against scipy's solver, for which a pair that cannot be is one that is left unmatched."""
    chosen = match(costs)
    assert set(chosen) <= set(costs)
    assert len({row for row, _ in chosen}) == len(chosen) == len({column for _, column in chosen})
    table = np.full((12, 12), UNMATCHED)
    for pair, cost in costs.items():
        table[pair] = cost
    got = sum(costs[pair] for pair in chosen) + UNMATCHED * (12 - len(chosen))
    assert got == pytest.approx(table[linear_sum_assignment(table)].sum())


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

    def run(*, shuffle: bool) -> list[list[tuple[float, ...]]]:
        tracker, told = make_tracker(), []
        for shot in film(row_of(4, hidden=False), fps=10, seconds=3, seed=seed % 1000):
            found = shot.detections
            order = rng.permutation(len(found)) if shuffle else np.arange(len(found))
            tracks = tracker.update(shot.time_s, Detections(boxes=found.boxes[order], scores=found.scores[order]))
            told.append([(track.id, *track.box.tolist()) for track in tracks])
        return told

    assert run(shuffle=False) == run(shuffle=True)


def test_nobody() -> None:
    tracker = make_tracker()
    tracks: list[Track] = tracker.update(0.0, NOBODY)
    assert tracks == []
    assert tracker.update(1.0, None) == []
