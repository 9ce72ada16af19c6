"""Identities that hold: who goes out hands nobody the visit, who comes back goes on with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import count

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeface.config import Visits
from edgeface.events import SummaryWindow
from edgeface.offline.naming import HOLD_S, Naming
from edgeface.offline.results import Analysis, Face
from edgeface.people.appearance import Appearance, Views, blend, likeness, looks, person
from edgeface.people.light import Light
from edgeface.people.tracked import Doubt, Sight, exchange
from edgeface.people.tracker import TRACKS, Tracker
from edgeface.people.visits import VisitBook
from edgeface.questions import QUESTIONS, VisitAge
from edgeface.questions.question import DIFFERENCE_MOST
from edgeface.types import F32, Answer, Detections, Head, Image, LabelEstimate, Quality, Track
from edgeface.visit import Visit, VisitChange

DARK = (60, 80, 110)
RED, BLUE, GREEN = (40, 40, 200), (190, 70, 30), (60, 150, 50)
FACE = 40
GREY = np.full((240, 480, 3), 128, np.uint8)


@dataclass(frozen=True)
class Seen:
    """One person in one frame: centre of the face, what the clothes and the skin are like."""

    x: float
    y: float
    clothes: tuple[int, int, int]
    skin: tuple[int, int, int] = (120, 150, 200)
    stripes: int = 0


def draw(people: Sequence[Seen], *, jitter: np.random.Generator | None = None, light: float = 1.0) -> tuple[Image, F32]:
    """A picture of people, the first ones behind; and their boxes, off by up to a tenth of a face."""
    image, boxes = GREY.copy(), []
    for who in people:
        x, y = int(who.x), int(who.y)
        image[y + 24 : y + 160, max(0, x - 40) : x + 40] = who.clothes
        for top in range(y + 24, y + 160, 2 * who.stripes or 500):
            image[top : top + who.stripes, max(0, x - 40) : x + 40] //= 2
        cv2.ellipse(image, (x, y), (20, 25), 0, 0, 360, who.skin, -1)
        off = np.zeros(4) if jitter is None else jitter.uniform(-0.1, 0.1, 4) * FACE
        boxes.append(np.array([x - 20, y - 25, x + 20, y + 25]) + off)
    return (image * light).clip(0, 255).astype(np.uint8), np.array(boxes, np.float32).reshape(-1, 4)


@dataclass
class Watch:
    """Tracker and visits of one camera, frame by frame."""

    heads: dict[str, Head] = field(default_factory=dict)
    visits: Visits = field(default_factory=Visits)
    changes: list[VisitChange] = field(default_factory=list)

    def __post_init__(self) -> None:
        numbers = count(1)
        self.book = VisitBook("main", self.visits, self.heads, lambda: f"{next(numbers)}")  # type: ignore[arg-type]
        self.tracker = Tracker(
            lost_after_s=self.visits.lost_after,
            return_within_s=self.visits.return_within,
            confirm_s=self.visits.confirm,
            difference=self.book.difference,
        )

    def see(self, time_s: float, image: Image, boxes: F32, *, looks: bool = True) -> list[Track]:
        """Take in a frame; without ``looks``, people are told apart by place and motion alone."""
        found = Detections(boxes=boxes, scores=np.full(len(boxes), 0.9, np.float32))
        tracks = self.tracker.update(time_s, found, views=Views(image, boxes) if looks else None)
        self.changes += self.book.observe(time_s, tracks)
        return tracks

    def told(self, event: str) -> list[Visit]:
        """Visits of which this was told."""
        return [change.visit for change in self.changes if change.event == event]


def play(scene: Callable[[float], Sequence[Seen]], *, seconds: float, fps: float = 10, seed: int = 0) -> Watch:
    """Watch a scene with jittering boxes."""
    watch, jitter = Watch(), np.random.default_rng(seed)
    for frame in range(int(seconds * fps)):
        watch.see(frame / fps, *draw(scene(frame / fps), jitter=jitter))
    return watch


def one_look(who: Seen, others: Sequence[Seen] = (), **drawing: float) -> tuple[Image, list[tuple[float, ...]]]:
    image, boxes = draw([who, *others], **drawing)  # type: ignore[arg-type]
    return image, [tuple(box) for box in boxes.tolist()]


def appearance(who: Seen, *others: Seen, **drawing: float):  # type: ignore[no-untyped-def]
    image, boxes = one_look(who, others, **drawing)
    return looks(image, [person(box) for box in boxes], [0])[0]


@pytest.mark.parametrize("light", [0.8, 1.0, 1.15])
def test_clothes_tell_people_apart_in_another_light_too(light: float) -> None:
    red = appearance(Seen(200, 60, RED))
    same, other = (appearance(Seen(260, 70, clothes), light=light) for clothes in (RED, BLUE))
    alike, unlike = likeness(red, same), likeness(red, other)
    assert alike is not None
    assert unlike is not None
    assert alike > 1
    assert unlike < -1.5


def test_stripes_are_texture() -> None:
    plain, striped = appearance(Seen(200, 60, RED)), appearance(Seen(200, 60, RED, stripes=6))
    assert likeness(plain, striped) < likeness(plain, plain)  # type: ignore[operator]


def test_who_is_covered_is_not_looked_at() -> None:
    clear = appearance(Seen(200, 60, RED))
    covered = appearance(Seen(200, 60, RED), Seen(225, 90, BLUE))
    assert clear.clear
    assert not covered.clear
    assert covered.torso is None


def test_somebody_of_whom_nothing_is_to_be_seen_is_tried_anew_from_time_to_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten times a second of thirty frames, and as soon as there is something to see it is taken."""
    image, boxes = draw([Seen(200, 60, RED)])
    black = np.zeros_like(image)
    found = Detections(boxes=boxes, scores=np.ones(1, np.float32))
    tracker = Tracker(lost_after_s=1.5, confirm_s=0.3)
    tried: list[float] = []

    class Counted(Views):
        def look(self, row: int) -> Appearance:
            tried.append(time_s)
            return super().look(row)

    for step in range(61):
        time_s = step / 30
        tracker.update(time_s, found, views=Counted(black if time_s < 1 else image, boxes))
    assert 8 <= sum(time_s < 1 for time_s in tried) <= 11
    assert min(time_s for time_s in tried if time_s >= 1) < 1.11
    assert 2 <= sum(time_s >= 1.1 for time_s in tried) <= 3


def test_what_is_painted_black_or_beyond_the_edge_says_nothing() -> None:
    image, boxes = one_look(Seen(200, 60, RED))
    image[85:] = 0
    assert looks(image, [person(box) for box in boxes], [0])[0].torso is None
    assert appearance(Seen(200, 200, RED)).torso is None
    assert appearance(Seen(200, 200, RED)).head is not None


def test_a_look_takes_less_than_a_kilobyte_and_is_no_picture() -> None:
    seen = appearance(Seen(200, 60, RED))
    mixed = blend(seen, appearance(Seen(200, 60, BLUE)), 0.3)
    for part in (*seen[:2], *mixed[:2]):
        assert part.nbytes == 396
        assert float(part @ part) == pytest.approx(1, abs=1e-5)


def alone(time_s: float) -> list[Seen]:
    return [Seen(200 + 30 * np.sin(time_s), 60, RED)]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 999), fps=st.sampled_from([5, 10, 25]), gap_s=st.floats(0, 5.5), missed=st.floats(0, 0.3))
def test_a_person_alone_is_one_visit(seed: int, fps: int, gap_s: float, missed: float) -> None:
    """However the boxes jitter, faces are missed, and the person is away for less than both patiences."""
    watch, random = Watch(), np.random.default_rng(seed)
    for frame in range(int((6 + gap_s) * fps)):
        time_s = frame / fps
        away = 3 <= time_s < 3 + gap_s or (1 < time_s < 2.5 and random.random() < missed)
        watch.see(time_s, *draw([] if away else alone(min(time_s, 3)), jitter=random))
    assert len(watch.told("start")) == 1
    assert watch.told("end") == []


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 999),
    fps=st.sampled_from([5, 10, 25]),
    gap_s=st.floats(0, 3),
    off=st.tuples(st.floats(-20, 20), st.floats(-10, 10)),
)
def test_nobody_inherits_across_a_door(seed: int, fps: int, gap_s: float, off: tuple[float, float]) -> None:
    """One goes out, another comes in at the same place: also in the very next frame."""

    def door(time_s: float) -> list[Seen]:
        if time_s < 3:
            return [Seen(200, 60, RED)]
        return [Seen(200 + off[0], 60 + off[1], BLUE, (70, 90, 130))] if time_s >= 3 + gap_s + 1 / fps else []

    watch = play(door, seconds=6 + gap_s, fps=fps, seed=seed)
    assert len(watch.told("start")) == 2
    first, second = watch.told("start")
    assert first.track != second.track


@pytest.mark.parametrize("off", [(0, 0), (8, 4), (-12, 0)])
@pytest.mark.parametrize("clothes", [BLUE, GREEN])
@pytest.mark.parametrize("fps", [5, 10, 25])
def test_who_stands_there_in_the_very_next_frame_inherits_nothing(
    fps: int, clothes: tuple[int, int, int], off: tuple[float, float]
) -> None:
    """Within a third of a face, as motion expects it: only the look tells, within a second of the change."""
    there, here = Seen(200, 60, RED), Seen(200 + off[0], 60 + off[1], clothes, DARK)
    watch = play(lambda time_s: [there if time_s < 3 else here], seconds=6, fps=fps)
    first, second = watch.told("start")
    gone, stays = watch.book.current()
    assert (gone.id, stays.id) == (first.id, second.id)
    assert 2.4 < gone.seen_s < 3.0
    assert 3.0 <= stays.started_s < 3.7
    assert stays.seen_s == pytest.approx(6 - 1 / fps)


@pytest.mark.parametrize("fps", [10, 25])
@pytest.mark.parametrize("masked", [False, True])
def test_a_stranger_is_told_apart_also_where_that_is_seen_now_and_then(fps: int, masked: bool) -> None:
    """Somebody walks beside, or the clothes cannot be seen in every frame: a doubt stays open meanwhile."""
    watch, jitter = Watch(), np.random.default_rng(0)
    for frame in range(6 * fps):
        time_s = frame / fps
        here = Seen(200, 60, RED) if time_s < 3 else Seen(204, 62, BLUE, DARK)
        beside = [] if masked else [Seen(280 + 200 * max(0.0, 3.45 - time_s), 64, GREEN)]
        image, boxes = draw([here, *beside], jitter=jitter)
        if masked and frame % 3:
            image[85:, 120:280] = 0
        watch.see(time_s, image, boxes)
    visits = watch.told("start")
    assert len(visits) == (2 if masked else 3)
    assert 3 <= visits[-1].started_s < 3.6


def test_a_doubt_that_is_not_raised_again_makes_nobody_another() -> None:
    """Somebody whom nobody has found passes before the camera, and then the clothes cannot be seen for a while."""
    watch, jitter = Watch(), np.random.default_rng(0)
    for frame in range(60):
        image, boxes = draw([Seen(200, 60, *((BLUE, DARK) if frame == 33 else (RED,)))], jitter=jitter)
        if frame > 33:
            image[85:, 120:280] = 0
        watch.see(frame / 10, image, boxes)
        doubted = watch.tracker._states[0].doubt is not None
        assert doubted == (33 <= frame < 48), frame
    assert len(watch.told("start")) == 1


def test_a_doubt_from_before_somebody_went_counts_no_more_when_that_one_is_back() -> None:
    """Else one odd look soon after the return, such as of one who passes, is at once a visit of another."""

    def scene(time_s: float) -> list[Seen]:
        if 3.45 <= time_s < 4.4:
            return []
        passes = 3.2 <= time_s < 3.45 or 5.15 <= time_s < 5.25
        return [Seen(200, 60, *((BLUE, DARK) if passes else (RED,)))]

    assert len(play(scene, seconds=7).told("start")) == 1


def test_a_doubt_about_a_face_goes_with_that_face() -> None:
    watch = Watch()
    image, boxes = draw([Seen(100, 60, RED), Seen(300, 60, BLUE)])
    for frame in range(6):
        watch.see(frame / 10, image, boxes)
    one, other = watch.tracker._states
    one.doubt = Doubt(0.4, 0.5, one.face, one.motion, one.hits, one.searched)
    exchange(one, other, Sight(Views(image, boxes), 0.5, Light()))
    assert one.doubt is None


def test_who_is_missed_where_another_face_was_found_covers_nobody() -> None:
    image, boxes = draw([Seen(200, 60, RED)])
    for x, clear in ((195, True), (270, False)):
        watch = Watch()
        for frame in range(6):
            watch.see(frame / 10, *draw([Seen(x, 62, BLUE)]))
        sight = Sight(Views(image, boxes), 0.6, Light())
        sight.cover(watch.tracker._states, [(200.0, 60.0, 40.0, 50.0)])
        assert sight.views.look(0).clear is clear


def test_somebody_who_comes_back_to_where_another_one_has_stepped_goes_on_with_the_same_visit() -> None:
    first, second = Seen(200, 60, RED), Seen(205, 62, BLUE, DARK)
    watch = play(lambda time_s: [second if 3 <= time_s < 5 else first], seconds=9)
    assert len(watch.told("start")) == 2
    assert [visit.id for visit in watch.book.current() if not visit.absent] == ["1"]


@pytest.mark.parametrize("light", [0.3, 0.6, 1.6, 2.0], ids=str)
@pytest.mark.parametrize("fps", [5, 10, 25])
def test_somebody_in_another_light_is_nobody_else(fps: int, light: float) -> None:
    """A lamp that is switched; and the sun, which falls on the person alone."""
    watch, sun, jitter = Watch(), Watch(), np.random.default_rng(0)
    shade = Seen(200, 60, (25, 25, 120), DARK)
    lit = Seen(200, 60, *(tuple(int(light * value) for value in paint) for paint in (shade.clothes, DARK)))  # type: ignore[arg-type]
    for frame in range(7 * fps):
        time_s = frame / fps
        on = 3 <= time_s < 5
        for seen, (image, boxes) in (
            (watch, draw([Seen(200, 60, RED)], light=light if on else 1.0)),
            (sun, draw([lit if on else shade])),
        ):
            seen.see(time_s, image, boxes + jitter.uniform(-1, 1, boxes.shape).astype(np.float32))
    assert len(watch.told("start")) == len(sun.told("start")) == 1


@pytest.mark.parametrize("lamp", [(1.0, 0.7, 0.4), (1.0, 0.5, 0.2)], ids=["bluish", "blue"])
@pytest.mark.parametrize("fps", [5, 10])
def test_a_coloured_lamp_changes_everybody_and_nobody(fps: int, lamp: tuple[float, float, float]) -> None:
    """Clothes and head both look otherwise; so does what is behind them."""
    watch, jitter = Watch(), np.random.default_rng(0)
    for frame in range(6 * fps):
        image, boxes = draw([Seen(200, 60, (60, 60, 200))])
        if 3 <= frame / fps < 5:
            image = (image * lamp).astype(np.uint8)
        watch.see(frame / fps, image, boxes + jitter.uniform(-1, 1, boxes.shape).astype(np.float32))
    assert len(watch.told("start")) == 1


@pytest.mark.parametrize("fps", [5, 10, 25])
@pytest.mark.parametrize("behind", [(128, 128, 128), (60, 170, 120)], ids=["grey", "green"])
def test_a_camera_that_goes_over_to_infrared_has_the_same_people(behind: tuple[int, int, int], fps: int) -> None:
    watch, jitter = Watch(), np.random.default_rng(0)
    for frame in range(8 * fps):
        time_s = frame / fps
        image, boxes = draw([Seen(100, 60, RED), Seen(250, 60, BLUE)])
        image[(image == GREY[0, 0]).all(axis=2)] = behind
        if 3 <= time_s < 5:
            image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
        watch.see(time_s, image, boxes + jitter.uniform(-1, 1, boxes.shape).astype(np.float32))
    assert len(watch.told("start")) == 2


@pytest.mark.parametrize("missed_s", [0.4, 1.2], ids=["for a moment", "for longer"])
@pytest.mark.parametrize("lamp", [(0.15, 0.15, 0.15), (0.35, 0.55, 0.75), "grey"], ids=["off", "another", "infrared"])
@pytest.mark.parametrize("fps", [5, 10, 25])
def test_a_lamp_that_is_switched_while_a_face_is_missed_makes_nobody_another(
    fps: int, lamp: tuple[float, float, float] | str, missed_s: float
) -> None:
    """Who is not found for a moment must look like before, in one light; in another one place and motion are enough."""
    watch, jitter = Watch(), np.random.default_rng(0)
    for frame in range(9 * fps):
        time_s = frame / fps
        image, boxes = draw([Seen(100 + 20 * time_s, 60, RED)])
        if 3 <= time_s < 6:
            grey = np.repeat(0.7 * image.mean(axis=2, keepdims=True), 3, axis=2)
            image = (grey if isinstance(lamp, str) else image * lamp).astype(np.uint8)
        boxes += jitter.uniform(-1, 1, boxes.shape).astype(np.float32)
        watch.see(time_s, image, boxes[:0] if any(at < time_s < at + missed_s for at in (2.9, 5.9)) else boxes)
    assert len(watch.told("start")) == 1
    assert watch.told("end") == []


@pytest.mark.parametrize("gap_s", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("fps", [5, 10, 25])
def test_a_door_that_opens_and_lets_the_day_in_hands_nobody_a_visit(fps: int, gap_s: float) -> None:
    """Two fifths of the picture become bright as one goes out; another one comes in while it is."""
    watch, jitter = Watch(), np.random.default_rng(0)
    for frame in range(8 * fps):
        time_s = frame / fps
        first, second = Seen(200, 60, RED), Seen(205, 60, BLUE, (70, 90, 130))
        image, boxes = draw([first] if time_s < 3 else [second] if time_s >= 3 + gap_s + 1 / fps else [])
        if time_s >= 3:
            image[:, 290:] = (250, 240, 230)
        watch.see(time_s, image, boxes + jitter.uniform(-1, 1, boxes.shape).astype(np.float32))
    assert len(watch.told("start")) == 2


@pytest.mark.parametrize("gap_s", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("fps", [5, 10, 25])
@pytest.mark.parametrize("seed", [0, 5])
def test_a_television_that_lights_the_room_hands_nobody_a_visit(seed: int, fps: int, gap_s: float) -> None:
    """A light that never stands still is no reason to take the next one for the one who has gone."""
    watch, jitter, flicker = Watch(), np.random.default_rng(0), np.random.default_rng(seed)
    lights = flicker.uniform(0.6, 1.4, 30)
    for frame in range(9 * fps):
        time_s = frame / fps
        second = [Seen(205, 60, BLUE, (70, 90, 130))] if time_s >= 3 + gap_s else []
        image, boxes = draw([Seen(200, 60, RED)] if time_s < 3 else second, light=lights[int(time_s / 0.4)])
        watch.see(time_s, image, boxes + jitter.uniform(-1, 1, boxes.shape).astype(np.float32))
    assert len(watch.told("start")) == 2


@pytest.mark.parametrize(("clothes", "people"), [(RED, 1), (BLUE, 2)])
def test_a_slow_camera_hands_nobody_the_place_of_another(clothes: tuple[int, int, int], people: int) -> None:
    """At two frames a second one stands where another one stood in the frame before."""
    watch = play(lambda time_s: [Seen(200, 60, RED if time_s < 5 else clothes, DARK)], seconds=10, fps=2)
    assert len(watch.told("start")) == people


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 999), fps=st.sampled_from([5, 10, 25]), lower=st.floats(0, 12), hidden_s=st.floats(0.2, 1.4))
def test_two_who_swap_sides_keep_their_visits(seed: int, fps: int, lower: float, hidden_s: float) -> None:
    sides: dict[int, set[str]] = {0: set(), 1: set()}
    watch, jitter = Watch(), np.random.default_rng(seed)
    for frame in range(8 * fps):
        time_s = frame / fps
        two = [Seen(80 + 40 * time_s, 60, RED), Seen(400 - 40 * time_s, 60 + lower, GREEN)]
        image, boxes = draw(two, jitter=jitter)
        hidden = abs(time_s - 4) < hidden_s / 2
        tracks = watch.see(time_s, image, boxes[1:] if hidden else boxes)
        names = {visit.track: visit.id for visit in watch.book.current()}
        for track in tracks:
            if track.detection is not None and track.id in names and not hidden:
                sides[track.detection].add(names[track.id])
    assert [len(names) for names in sides.values()] == [1, 1]
    assert sides[0].isdisjoint(sides[1])


def swapped_unseen(seed: int, fps: int, hidden_s: float, *, looks: bool) -> list[set[str]]:
    """Visits of two who stand side by side, and change places while nobody sees them."""
    names: list[set[str]] = [set(), set()]
    watch, jitter = Watch(), np.random.default_rng(seed)
    for frame in range(int((7 + hidden_s) * fps)):
        time_s = frame / fps
        places = (165, 250) if time_s < 3 else (250, 165)
        image, boxes = draw([Seen(places[0], 60, RED), Seen(places[1], 60, GREEN)])
        boxes += jitter.uniform(-2, 2, boxes.shape).astype(np.float32)
        tracks = watch.see(time_s, image, boxes[:0] if 3 <= time_s < 3 + hidden_s else boxes, looks=looks)
        visits = {visit.track: visit.id for visit in watch.book.current()}
        for track in tracks:
            if track.detection is not None and track.id in visits:
                names[track.detection].add(visits[track.id])
    return names


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 999), fps=st.sampled_from([5, 10, 25]), hidden_s=st.floats(1.1, 1.5))
def test_two_who_change_places_unseen_keep_their_visits(seed: int, fps: int, hidden_s: float) -> None:
    first, second = swapped_unseen(seed, fps, hidden_s, looks=True)
    assert len(first) == len(second) == 1
    assert first != second
    # The case has a point: by place and motion alone each is taken for the other one.
    assert swapped_unseen(seed, fps, hidden_s, looks=False) == [{"1", "2"}, {"1", "2"}]


def test_who_comes_back_and_walks_on_while_covered_is_known_by_where_that_was() -> None:
    """The decision waits until the clothes can be seen; by then both are elsewhere."""

    def scene(time_s: float) -> list[Seen]:
        if time_s < 2:
            return [Seen(120, 60, RED)]
        walked = 75 * max(0.0, time_s - 3.2)
        return [Seen(140 + walked, 60, RED), Seen(195 + walked, 60, GREEN)] if time_s >= 3.2 else []

    watch = play(scene, seconds=6)
    assert [visit.id for visit in watch.told("start")] == ["1", "2"]
    assert {visit.track for visit in watch.book.current()} == {1, 3}


def test_two_in_the_same_clothes_found_as_one_get_their_own_faces_back() -> None:
    """The only box goes from who was in front to who was behind: that one's face is then followed on, for a while."""
    watch, naming, named, jitter = Watch(), Naming(), [], np.random.default_rng(1)
    for frame in range(60):
        time_s = 1 + frame / 10
        front, behind = Seen(200 - 50 * (time_s - 4), 60, RED, DARK), Seen(200 + 50 * (time_s - 4), 60, RED)
        image, boxes = draw([behind, front], jitter=jitter)
        seen = [0, 1] if abs(time_s - 4) > 0.75 else [1] if time_s < 4 else [0]
        tracks = watch.see(time_s, image, boxes[seen])
        named += naming.add(analysis(frame, tracks), time_s, tracks, watch.book.current())
    named += naming.rest()
    assert len(watch.told("start")) == 2
    both = [[face.visit for face in one.faces] for one in named if len(one.faces) == 2]
    assert len(both) == 45
    assert both.count(both[0]) == 45


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("missed", [(3.5, 3.6), (3.3, 3.5), (3.5, 3.8)])
def test_somebody_whom_the_detector_misses_covers_others_all_the_same(missed: tuple[float, float], seed: int) -> None:
    """Else the clothes of who stands in front are those of who comes back behind."""
    watch, jitter = Watch(), np.random.default_rng(seed)
    for frame in range(70):
        time_s = frame / 10
        behind, front = Seen(200, 60, RED), Seen(max(222, 420 - 70 * time_s), 125, BLUE)
        image, boxes = draw([behind, front], jitter=jitter)
        seen = [not 1.9 < time_s < 3.1, time_s not in missed]
        watch.see(time_s, image, boxes[seen])
    assert len(watch.told("start")) == 2


def test_an_end_waits_and_tells_the_last_sighting_and_nobody_is_there_meanwhile() -> None:
    watch, window, counted = Watch(), SummaryWindow("main", start_s=0.0), {}
    for frame in range(100):
        time_s, before = frame / 10, len(watch.changes)
        watch.see(time_s, *draw(alone(time_s) if time_s < 2 else []))
        window.observe(watch.changes[before:], watch.book.current())
        counted[frame] = sum(not visit.absent for visit in watch.book.current())
        if frame == 60:
            body = window.body(time_s, at=moment(time_s), started_at=moment)
            assert (body.message.in_, body.message.out, body.message.in_view) == (1, 0, 0)  # type: ignore[union-attr]
    assert [counted[frame] for frame in (15, 38, 41, 78)] == [1, 1, 0, 0]
    (end,) = [change for change in watch.changes if change.event == "end"]
    assert end.time_s == pytest.approx(8.0)
    assert end.visit.ended_s == end.visit.seen_s == pytest.approx(1.9)
    assert end.reason == "lost"


def test_who_had_left_before_a_stop_was_lost() -> None:
    watch = play(lambda time_s: alone(time_s) if time_s < 2 else [], seconds=5)
    (change,) = watch.book.close(5.0, "stopped")
    assert change.reason == "lost"
    (change,) = play(lambda time_s: alone(time_s) if time_s < 2 else [], seconds=3).book.close(3.0, "stopped")
    assert change.reason == "stopped"


def test_nobody_is_waited_for_where_that_is_switched_off() -> None:
    watch = Watch(visits=Visits(return_within=0.0))
    for frame in range(60):
        watch.see(frame / 10, *draw(alone(0) if frame < 20 else []))
    assert [change.time_s for change in watch.changes if change.event == "end"] == pytest.approx([4.0])


def test_absent_people_make_room_for_those_who_come() -> None:
    watch = Watch()
    image = np.full((240, 60 * TRACKS, 3), 128, np.uint8)
    crowd = np.array([[60 * i, 20, 60 * i + 40, 70] for i in range(TRACKS)], np.float32)
    for frame in range(10):
        watch.see(frame / 10, image, crowd)
    for frame in range(10, 40):
        watch.see(frame / 10, image, crowd[:0])
    later = np.array([[1000, 120, 1040, 170]], np.float32)
    assert any(track.detection == 0 for track in watch.see(4.0, image, later))
    assert watch.tracker.ignored == 0


class Labels(Head):
    """A head of two labels."""

    task = "gender"
    certainty = 0.8

    def probabilities(self, outputs: Mapping[str, F32]) -> F32:
        return outputs["gender"]

    def estimate(self, probabilities: F32) -> LabelEstimate:
        names = dict(zip(("female", "male"), probabilities.tolist(), strict=True))
        label = max(names, key=names.__getitem__)
        return LabelEstimate(label=label, probability=names[label], probabilities=names)


@pytest.mark.parametrize(
    ("first", "second", "visits"), [(0.95, 0.05, 2), (0.95, 0.95, 1), (0.95, 0.5, 1), (0.84, 0.18, 1)]
)
def test_what_is_known_of_two_argues_against_one_visit(first: float, second: float, visits: int) -> None:
    """In the same clothes: only answers that differ and are certain make two of them; doubtful ones are outweighed."""
    watch = Watch(heads={"gender": Labels()})
    for frame in range(60):
        time_s, away = frame / 10, 20 <= frame < 32
        for track in watch.see(time_s, *draw([] if away else [Seen(200, 60, RED)])):
            if track.detection is not None:
                female = first if frame < 20 else second
                probabilities = np.array((female, 1 - female), np.float32)
                watch.book.absorb(
                    track.id, Answer(task="gender", probabilities=probabilities, quality=1.0, time_s=time_s)
                )
    assert len(watch.told("start")) == visits


def test_an_age_far_from_the_other_differs() -> None:
    age = QUESTIONS["age"]
    child, adult, old = (made_age(*years) for years in ((6, 9, 12), (24, 31, 40), (35, 45, 60)))
    assert age.difference(child, adult) == age.difference(adult, child) == DIFFERENCE_MOST
    assert age.difference(adult, old) < DIFFERENCE_MOST / 2
    assert age.difference(adult, adult) == 0


def made_age(low: float, years: float, high: float):  # type: ignore[no-untyped-def]
    return VisitAge(years=years, low=low, high=high, spread=1.0, samples=3)


def test_faces_get_the_visit_that_they_turn_out_to_belong_to() -> None:
    """Before the start, and before it is clear that somebody has come back."""
    naming, watch, named = Naming(), Watch(), []
    for frame in range(60):
        away = 20 <= frame < 32
        tracks = watch.see(frame / 10, *draw([] if away else [Seen(200, 60, RED)]))
        named += naming.add(analysis(frame, tracks), frame / 10, tracks, watch.book.current())
    named += naming.rest()
    assert [one.frame for one in named] == list(range(60))
    assert {face.visit for one in named for face in one.faces} == {"1"}
    assert {face.track for one in named for face in one.faces} == {1, 2}


def test_a_face_of_nobody_has_no_visit_and_holds_nothing_up() -> None:
    naming, named = Naming(), []
    ghost = Track(id=1, box=np.zeros(4, np.float32), score=1, detection=0, started_s=0, seen_s=0, confirmed=False)
    for frame in range(40):
        named += naming.add(analysis(frame, [ghost]), frame / 10, [ghost], [])
    assert len(named) == 40 - HOLD_S * 10 - 1
    assert {face.visit for one in named for face in one.faces} == {None}


def moment(time_s: float) -> datetime:
    return datetime.fromtimestamp(time_s, timezone.utc)


def analysis(frame: int, tracks: Sequence[Track]) -> Analysis:
    quality = Quality(size_px=50, blur=0, yaw=0, light=1, cut_off=0, score=1)
    faces = [
        Face(box=(0, 0, 1, 1), score=1, landmarks=None, quality=quality, estimates={}, known={}, track=t.id, crops={})
        for t in tracks
        if t.detection is not None
    ]
    return Analysis(path="x.mp4", frame=frame, width=480, height=240, faces=faces)
