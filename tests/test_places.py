"""Lines, zones and looks: what is counted of people who walk, sway, jump, coast and turn their heads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edgeface.config import Config, Line, Visits, Zone, load_config
from edgeface.errors import ConfigError
from edgeface.people.attention import Looks
from edgeface.people.conduct import Doing, Seen, Watch
from edgeface.people.places import Place
from edgeface.people.visits import VisitBook
from edgeface.types import Pose, Track
from edgeface.visit import PlaceChange, VisitAttention, ZoneTime

WIDTH, HEIGHT, FACE = 1000, 500, 50
AHEAD = Pose(yaw=0, pitch=0, roll=0)
ACROSS = Line(name="door", from_=(0.2, 0.5), to=(0.8, 0.5))
"""From left to right: its right side is below it in the picture."""
BENCH = Zone(name="bench", shape=(0.5, 0.5, 1.0, 1.0))
Way = Iterable[tuple[float, float] | None]


def place(x: float, y: float, size_px: float = FACE) -> Place:
    """In pixels of a picture of 1000x500."""
    return Place(x=x / WIDTH, y=y / HEIGHT, width=WIDTH, height=HEIGHT, size_px=size_px)


def walk(way: Way, *, lines: Sequence[Line] = (ACROSS,), zones: Sequence[Zone] = ()) -> list[PlaceChange]:
    """What is noticed of somebody who is there, frame by frame, 0.1 s apart; None where the face is not found."""
    watch, doing = Watch(lines, zones), Doing()
    noticed: list[PlaceChange] = []
    for index, point in enumerate(way):
        seen = None if point is None else Seen(place=place(*point), pose=None)
        noticed += watch.see(doing, index / 10, seen)
    return [*noticed, *watch.end(doing, 99.0)]


def ways(noticed: Iterable[PlaceChange]) -> list[str | None]:
    return [change.direction for change in noticed if change.event == "crossed"]


def down(x: float = 500, step: int = 10) -> list[tuple[float, float]]:
    return [(x, y) for y in range(150, 351, step)]


def test_from_the_left_of_the_arrow_to_its_right_is_in() -> None:
    assert ways(walk(down())) == ["in"]
    assert ways(walk(down()[::-1])) == ["out"]
    upwards = Line(name="door", from_=(0.5, 1.0), to=(0.5, 0.0), to_right="east", to_left="west")
    assert ways(walk([(x, 250) for x in range(300, 700, 10)], lines=[upwards])) == ["east"]


def test_there_and_back_is_both() -> None:
    assert ways(walk([*down(), *down()[::-1]])) == ["in", "out"]


def test_a_jump_across_between_two_frames_counts_once() -> None:
    assert ways(walk([(500, 150), (500, 350)])) == ["in"]
    assert ways(walk([(500, 150), None, None, (500, 350)])) == ["in"]


def test_who_is_not_found_crosses_nothing() -> None:
    assert ways(walk([(500, 200), *[None] * 20])) == []
    assert ways(walk([(500, 200), *[None] * 20, (500, 210)])) == []


def test_around_the_end_is_no_crossing() -> None:
    around = [(150, y) for y in range(150, 351, 10)]
    assert ways(walk(around)) == []
    assert ways(walk([*down(), *[(x, 350) for x in range(500, 100, -50)], *around[::-1], (500, 150), *down()])) == [
        "in",
        "in",
    ]


def test_who_only_touches_the_line_has_not_crossed() -> None:
    touching = [(500, 150), (500, 240), (500, 262), (500, 240), (500, 150)]
    assert ways(walk(touching)) == []


def test_a_flicker_counts_neither_there_nor_back() -> None:
    """As supervision counted one in the direction back (roboflow/supervision#2598)."""
    assert ways(walk([(500, 200), (500, 200), (500, 260), (500, 200), (500, 200)] * 5)) == []


def test_who_is_first_seen_behind_the_line_or_on_it_has_not_crossed_it() -> None:
    """Nobody knows from where they came; from where they go on to is a crossing again."""
    assert ways(walk([(500, y) for y in range(300, 351, 10)])) == []
    assert ways(walk([(500, y) for y in range(255, 351, 10)])) == []
    assert ways(walk([(500, y) for y in range(245, 149, -10)])) == []
    assert ways(walk([*[(500, y) for y in range(255, 351, 10)], *down()[::-1]])) == ["out"]


def test_a_line_along_the_edge_counts_nobody() -> None:
    """Which is what the documents say; supervision's users find that out (roboflow/supervision#1838)."""
    edge = Line(name="edge", from_=(0.0, 0.0), to=(0.0, 1.0))
    assert ways(walk([(x, 250) for x in range(300, 0, -10)], lines=[edge])) == []
    assert ways(walk([(x, 250) for x in range(0, 300, 10)], lines=[edge])) == []


def test_two_at_once_are_two_and_each_line_counts_for_itself() -> None:
    """As others counted one of several that pass together (ultralytics/ultralytics#14291), or each twice (#9998)."""
    second = Line(name="second", from_=(0.2, 0.6), to=(0.8, 0.6))
    elsewhere = Line(name="elsewhere", from_=(0.85, 0.5), to=(0.95, 0.5))
    watch, doings = Watch([ACROSS, second, elsewhere]), (Doing(), Doing())
    noticed: list[PlaceChange] = []
    for index, y in enumerate(range(150, 351, 10)):
        for doing, x in zip(doings, (400, 460), strict=True):
            noticed += watch.see(doing, index / 10, Seen(place=place(x, y), pose=None))
    assert sorted(change.place for change in noticed) == ["door", "door", "second", "second"]
    assert [dict(doing.crossings) for doing in doings] == [{("door", "in"): 1, ("second", "in"): 1}] * 2


def test_another_size_of_the_picture_changes_no_side() -> None:
    """A stream that changes its resolution: shares stay, pixels do not."""
    watch, doing = Watch([ACROSS], [BENCH]), Doing()
    sizes = [(1000, 500), (500, 250), (2000, 1000)]
    noticed: list[PlaceChange] = []
    for index, y in enumerate((150, 150, 170, 170, 350, 350)):
        width, height = sizes[index % 3]
        seen = Place(x=0.7, y=y / HEIGHT, width=width, height=height, size_px=FACE * width / WIDTH)
        noticed += watch.see(doing, index / 10, Seen(place=seen, pose=None))
    assert [(change.event, change.place) for change in noticed] == [("crossed", "door"), ("entered", "bench")]


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([20.0, 50.0, 120.0]), st.booleans())
def test_whoever_sways_on_the_line_counts_once(seed: int, size_px: float, back: bool) -> None:
    chance = Random(seed)
    watch, doing = Watch([ACROSS]), Doing()
    start, end = (250 - 4 * size_px, 250 + 4 * size_px)[:: -1 if back else 1]
    sway = [250 + chance.uniform(-0.45, 0.45) * size_px for _ in range(200)]
    noticed: list[PlaceChange] = []
    for index, y in enumerate([start, *sway, end]):
        jittered = place(500 + chance.uniform(-2, 2), y, size_px)
        noticed += watch.see(doing, index / 10, Seen(place=jittered, pose=None))
    assert ways(noticed) == ["out" if back else "in"]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(250, 750), st.floats(0, 500)), min_size=2, max_size=60))
def test_crossings_alternate_and_tell_the_side_where_somebody_is(points: list[tuple[float, float]]) -> None:
    noticed = ways(walk(points))
    assert all(one != other for one, other in pairwise(noticed))
    if noticed:
        beyond = [y > 250 for _, y in points if abs(y - 250) >= FACE / 2]
        assert noticed[-1] == ("in" if beyond[-1] else "out")


def test_a_zone_has_entries_stays_and_an_end() -> None:
    way = [*[(300, 400)] * 5, *[(700, 400)] * 11, *[(300, 400)] * 5, *[(700, 400)] * 3]
    noticed = walk(way, lines=(), zones=[BENCH])
    assert [(change.event, change.seconds) for change in noticed] == [
        ("entered", None),
        ("left", pytest.approx(1.0)),
        ("entered", None),
        ("left", pytest.approx(0.2)),
    ]


def test_the_rim_of_a_zone_does_not_flap() -> None:
    noticed = walk([(500 + (-1) ** n * 20, 400) for n in range(100)], lines=(), zones=[BENCH])
    assert [change.event for change in noticed] == ["entered", "left"]


def test_time_in_a_zone_ends_where_the_face_was_seen_last() -> None:
    *_, left = walk([*[(700, 400)] * 11, *[None] * 30], lines=(), zones=[BENCH])
    assert left.seconds == pytest.approx(1.0)


def test_a_polygon_and_overlapping_zones() -> None:
    triangle = Zone(name="corner", shape=(0.0, 0.0, 0.5, 0.0, 0.0, 1.0))
    whole = Zone(name="all", shape=(0.0, 0.0, 1.0, 1.0))
    noticed = walk([(100, 100), (900, 450)], lines=(), zones=[triangle, whole])
    assert [(change.event, change.place) for change in noticed[:3]] == [
        ("entered", "corner"),
        ("entered", "all"),
        ("left", "corner"),
    ]


def facing(looks: Looks, begin_s: float, end_s: float, yaw: float | None, *, step_s: float = 0.1) -> None:
    for time_s in np.arange(begin_s, end_s - 1e-9, step_s):
        looks.see(float(time_s), None if yaw is None else Pose(yaw=yaw, pitch=0, roll=0), 25.0)


def told(looks: Looks) -> tuple[float, int, bool]:
    known = looks.so_far()
    assert known is not None
    return round(known.looking_s, 3), known.glances, known.now


def test_looks_have_a_number_and_a_length() -> None:
    looks = Looks()
    facing(looks, 0, 2, 5)
    facing(looks, 2, 4, 60)
    facing(looks, 4, 5, -10)
    assert told(looks) == pytest.approx((2.8, 2, True))
    looks.end()
    assert told(looks) == pytest.approx((2.8, 2, False))


def test_a_turn_past_the_camera_is_no_look() -> None:
    looks = Looks()
    for index, yaw in enumerate(range(-80, 81, 20)):
        looks.see(index / 20, Pose(yaw=yaw, pitch=0, roll=0), 25.0)
    assert told(looks) == (0, 0, False)


def test_who_turns_at_the_limit_does_not_flap() -> None:
    looks = Looks()
    for index in range(100):
        looks.see(index / 10, Pose(yaw=33 if index // 10 % 2 else 24, pitch=0, roll=0), 25.0)
    assert told(looks)[1:] == (1, True)


def test_a_frame_in_which_the_face_is_missed_ends_nothing_and_half_a_second_does() -> None:
    looks = Looks()
    facing(looks, 0, 1, 0)
    facing(looks, 1, 1.3, None)
    facing(looks, 1.3, 2, 0)
    assert told(looks) == pytest.approx((1.9, 1, True))
    facing(looks, 2, 3, None)
    assert told(looks) == pytest.approx((1.9, 1, False))


def test_without_points_nothing_is_known() -> None:
    looks = Looks()
    facing(looks, 0, 2, None)
    assert looks.so_far() is None


@pytest.mark.parametrize("step_s", [1.0, 0.2, 0.04])
def test_the_rate_of_frames_changes_little(step_s: float) -> None:
    looks = Looks()
    facing(looks, 0, 10, 0, step_s=step_s)
    facing(looks, 10, 20, 70, step_s=step_s)
    facing(looks, 20, 25, 0, step_s=step_s)
    seconds, glances, _ = told(looks)
    assert glances == 2
    assert seconds == pytest.approx(15, abs=2.1 * step_s)


def track(*, now_s: float, y: float, found: bool = True, confirmed: bool = True) -> Track:
    box = np.array([475, y - 25, 525, y + 25], np.float32)
    return Track(
        id=1, box=box, score=0.9, detection=0 if found else None, started_s=0.0, seen_s=now_s, confirmed=confirmed
    )


def test_what_happens_before_a_visit_starts_is_told_with_it_or_never() -> None:
    for confirmed in (True, False):
        book = VisitBook("main", Visits(), {}, lambda: "v1", watch=Watch([ACROSS], [BENCH], angle=25.0))
        for index, y in enumerate((150, 350)):
            seen = {1: Seen(place=place(700, y), pose=Pose(yaw=0, pitch=0, roll=0))}
            book.observe(index / 10, [track(now_s=index / 10, y=y, confirmed=False)], seen)
            assert book.places == []
        changes = book.observe(0.3, [track(now_s=0.3, y=350, confirmed=confirmed)] if confirmed else [])
        assert [change.event for change in changes] == ["start"] * confirmed
        assert [(change.event, change.visit) for change in book.places] == [
            ("crossed", "v1"),
            ("entered", "v1"),
        ] * confirmed
        ends = book.close(1.0, "stopped")
        assert [change.event for change in book.places] == ["left"] * confirmed
        for end in ends:
            assert end.visit.conduct.lines == {"door": {"in": 1, "out": 0}}
            assert end.visit.conduct.zones["bench"].entries == 1


def watching(book: VisitBook, told: list[PlaceChange]) -> Callable[..., None]:
    """Give a book tracks and, as ``_ID=(x, y)``, where their faces are; what it notices is ``told``."""

    def observe(time_s: float, *tracks: Track, **where: tuple[float, float]) -> None:
        seen = {int(name[1:]): Seen(place=place(*point), pose=AHEAD) for name, point in where.items()}
        book.observe(time_s, tracks, seen)
        told.extend(book.places)

    return observe


def test_a_zone_is_left_when_its_visit_begins_to_wait_and_entered_again_by_who_comes_back() -> None:
    book = VisitBook("main", Visits(), {}, lambda: "v1", watch=Watch([ACROSS], [BENCH], angle=25.0))
    told: list[PlaceChange] = []
    observe = watching(book, told)

    observe(0.0, track(now_s=0.0, y=350), _1=(700, 350))
    observe(1.0, track(now_s=1.0, y=350), _1=(700, 350))
    observe(2.0, replace(track(now_s=1.0, y=350, found=False), absent=True))
    observe(3.0, replace(track(now_s=1.0, y=350, found=False), absent=True))
    # Somebody comes from the other side of the line, and is known to be the same a second later.
    new = replace(track(now_s=3.5, y=150, confirmed=False), id=2)
    observe(3.5, replace(track(now_s=1.0, y=350, found=False), absent=True), new, _2=(700, 150))
    observe(4.0, replace(track(now_s=1.0, y=350, found=False), absent=True), new, _2=(700, 350))
    observe(4.5, replace(track(now_s=4.5, y=350), joined=2), _1=(700, 350))
    (visit,) = book.current()
    assert [(change.event, change.time_s, change.seconds) for change in told] == [
        ("entered", 0.0, None),
        ("left", 2.0, 1.0),
        ("crossed", 4.0, None),
        ("entered", 4.0, None),
    ]
    assert visit.conduct.lines == {"door": {"in": 1, "out": 0}}
    assert visit.conduct.zones["bench"] == ZoneTime(entries=2, seconds=1.5, now=True)
    assert visit.conduct.attention == VisitAttention(looking_s=2.0, glances=2, now=True)


@pytest.mark.parametrize("later_s", [0.2, 0.6])
def test_who_is_found_again_after_a_moment_has_left_nothing_and_crossed_what_lay_between(later_s: float) -> None:
    """As zones flip-flop elsewhere while a face is missed (blakeblackshear/frigate#238)."""
    hall = Zone(name="hall", shape=(0.0, 0.0, 1.0, 1.0))
    book = VisitBook("main", Visits(), {}, lambda: "v1", watch=Watch([ACROSS], [hall, BENCH], angle=25.0))
    told: list[PlaceChange] = []
    observe = watching(book, told)

    observe(0.0, track(now_s=0.0, y=150), _1=(700, 150))
    observe(1.0, track(now_s=1.0, y=150), _1=(700, 150))
    # Found again as somebody new on the other side of the line, and known to be the same a moment later.
    gone, new = track(now_s=1.0, y=150, found=False), replace(track(now_s=1.4, y=350, confirmed=False), id=2)
    observe(1.2, gone)
    observe(1.4, gone, new, _2=(700, 350))
    observe(1.4 + later_s / 2, gone, new, _2=(700, 350))
    observe(1.4 + later_s, replace(track(now_s=1.4 + later_s, y=350), joined=2), _1=(700, 350))
    assert [(change.event, change.place, change.time_s) for change in told] == [
        ("entered", "hall", 0.0),
        ("crossed", "door", 1.4),
        ("entered", "bench", 1.4),
    ]
    (visit,) = book.current()
    assert visit.conduct.lines == {"door": {"in": 1, "out": 0}}
    assert {name: (zone.entries, zone.now) for name, zone in visit.conduct.zones.items()} == {
        "hall": (1, True),
        "bench": (1, True),
    }
    assert visit.conduct.zones["hall"].seconds == pytest.approx(1.4 + later_s)
    assert visit.conduct.zones["bench"].seconds == pytest.approx(later_s)


def test_what_a_track_did_with_the_face_of_another_is_not_its_own() -> None:
    book = VisitBook("main", Visits(), {}, lambda: "v1", watch=Watch([ACROSS], [BENCH]))
    new = replace(track(now_s=0.0, y=150, confirmed=False), id=2)
    for time_s, y in ((0.0, 150), (0.1, 350)):
        book.observe(time_s, [track(now_s=time_s, y=400), new], {2: Seen(place=place(700, y), pose=None)})
    found = {2: Seen(place=place(300, 150), pose=None)}
    book.observe(0.2, [replace(track(now_s=0.2, y=400), exchanged=2), new], found)
    book.observe(0.3, [track(now_s=0.3, y=400), replace(new, confirmed=True)], found)
    assert book.places == []
    (conduct,) = (visit.conduct for visit in book.current() if visit.track == 2)
    assert (conduct.lines, conduct.zones) == ({"door": {"in": 0, "out": 0}}, {"bench": ZoneTime()})


def test_a_look_that_begins_or_ends_is_news() -> None:
    book = VisitBook("main", Visits(update_interval=0.5), {}, lambda: "v1", watch=Watch(angle=25.0))
    told: list[tuple[str, bool]] = []
    for index in range(40):
        pose = AHEAD if 10 <= index < 20 else Pose(yaw=70, pitch=0, roll=0)
        changes = book.observe(
            index / 10, [track(now_s=index / 10, y=150)], {1: Seen(place=place(700, 150), pose=pose)}
        )
        for change in changes:
            assert change.visit.conduct.attention is not None
            told.append((change.event, change.visit.conduct.attention.now))
    assert told == [("start", False), ("update", True), ("update", False)]


def test_a_reload_keeps_what_is_the_same() -> None:
    first = VisitBook("main", Visits(), {}, lambda: "v1", watch=Watch([ACROSS], [BENCH]))
    for index, y in enumerate((150, 350)):
        first.observe(index / 10, [track(now_s=index / 10, y=y)], {1: Seen(place=place(700, y), pose=None)})
    moved = Zone(name="bench", shape=(0.0, 0.0, 1.0, 1.0))
    second = VisitBook("main", Visits(), {}, lambda: "v2", watch=Watch([ACROSS], [moved]))
    assert second.succeed(first, 0.1) == {"bench"}
    assert [(change.event, change.place, change.visit) for change in second.places] == [("left", "bench", "v1")]
    second.observe(0.2, [track(now_s=0.2, y=150)], {1: Seen(place=place(700, 150), pose=None)})
    assert [(change.event, change.visit) for change in second.places] == [("crossed", "v1"), ("entered", "v1")]
    (visit,) = second.current()
    assert visit.conduct.lines == {"door": {"in": 1, "out": 1}}
    assert visit.conduct.zones["bench"].entries == 1


def test_a_reload_forgets_what_was_seen_of_places_that_are_gone_or_others() -> None:
    first = VisitBook("main", Visits(), {}, lambda: "v1", watch=Watch([ACROSS], [BENCH]))
    for index, y in enumerate((150, 350)):
        first.observe(index / 10, [track(now_s=index / 10, y=y)], {1: Seen(place=place(700, y), pose=None)})
    # Whoever waits for somebody to come back has left already, and the side is not known any more.
    first.observe(3.0, [replace(track(now_s=0.1, y=350, found=False), absent=True)])
    turned = Line(name="door", from_=ACROSS.to, to=ACROSS.from_)
    second = VisitBook(
        "main", Visits(), {}, lambda: "v2", watch=Watch([turned], [Zone(name="sofa", shape=BENCH.shape)])
    )
    assert second.succeed(first, 3.0) == {"door", "bench"}
    assert second.places == []
    (visit,) = second.current()
    assert visit.conduct.lines == {"door": {"in": 0, "out": 0}}
    assert visit.conduct.zones == {"sofa": ZoneTime()}


HEAD = "[cameras.door]\nsource = 0\n"
LINE = '[[cameras.door.lines]]\nname = "{}"\nfrom = {}\nto = {}\n'
ZONE = '[[cameras.door.zones]]\nname = "{}"\nshape = {}\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LINE.format("a", "[0.5, 0.5]", "[0.5, 0.5]"), "cameras.door.lines[0] (a) has no length"),
        (LINE.format("a", "[0.1, 0.5]", "[1.1, 0.5]"), "cameras.<id>.lines[0].to[0]: expected `float` <= 1.0"),
        (LINE.format("a b", "[0.1, 0.5]", "[0.9, 0.5]"), "cameras.<id>.lines[0].name: expected 1 to 64 letters"),
        (LINE.format("a", "[0.1]", "[0.9, 0.5]"), "cameras.<id>.lines[0].from: expected `array` of length 2"),
        (LINE.format("a", "[0.1, 0.5]", "[0.9, 0.5]") + 'to_left = "in"\n', "calls both directions in"),
        (LINE.format("a", "[0.1, 0.5]", "[0.9, 0.5]") + ZONE.format("a", "[0, 0, 1, 1]"), "is also the name of"),
        (
            ZONE.format("a", "[0, 0, 1, 1]") * 2,
            "cameras.door.zones[1].name: a is also the name of cameras.door.zones[0]",
        ),
        (ZONE.format("a", "[0.5, 0.5, 0.1, 0.9]"), "cameras.door.zones[0] (a) is no rectangle"),
        (ZONE.format("a", "[0, 0, 1, 1, 1, 0, 0, 0.8]"), "crosses itself"),
        (ZONE.format("a", "[0, 0, 1, 0, 1, 1, 0.5, 0, 0, 1]"), "crosses itself"),
        (ZONE.format("a", "[0, 0, 1, 0, 1]"), "has 5 numbers"),
        (ZONE.format("a", "[0, 0, 1]"), "cameras.<id>.zones[0].shape"),
        (ZONE.format("a", "[-0.1, 0, 1, 1]"), "cameras.<id>.zones[0].shape[0]: expected `float` >= 0.0"),
        (ZONE.format("a", "[nan, 0, 1, 1]"), "cameras.<id>.zones[0].shape[0]: expected `float` >= 0.0"),
        (ZONE.format("a", "[0, 0, 0.5, 0.5, 1, 1]"), "cameras.door.zones[0] (a) has no inside"),
        (ZONE.format("a", "[0.1, 0.3, 0.2, 0.6, 0.3, 0.9]"), "cameras.door.zones[0] (a) has no inside"),
        (ZONE.format("a", "[0.1, 0.1, 0.1000001, 0.1000001]"), "cameras.door.zones[0] (a) has no inside"),
        (ZONE.format("a", "[0, 0, 1, 1, 1, 0, 0, 0.8, 0, 0]"), "crosses itself"),
        (ZONE.format("a/b", "[0, 0, 1, 1]"), "cameras.<id>.zones[0].name: expected 1 to 64 letters"),
        (ZONE.format("Tür", "[0, 0, 1, 1]"), "cameras.<id>.zones[0].name: expected 1 to 64 letters"),
        (LINE.format("a", "[0.5, 0.5]", "[0.5000001, 0.5]"), "cameras.door.lines[0] (a) has no length"),
        (
            "".join(ZONE.format(f"z{n}", "[0, 0, 1, 1]") for n in range(100)),
            "cameras.<id>.zones: expected `array` of length <= 16",
        ),
        ("lines = 3\n", "cameras.<id>.lines"),
        (LINE.format("a", "[100, 50]", "[300, 50]"), "write shares of width and height, 0 to 1: from = [0.2, 0.5]"),
        (ZONE.format("a", "[100, 100, 300, 400]"), "write shares of width and height, 0 to 1: shape = [0.0, 0.0"),
        (
            LINE.format("a", "[0.1, 0.5]", "[0.9, 0.5]").replace("[[", "[").replace("]]", "]"),
            "got `object`; begin each with [[cameras.<id>.lines]], in two pairs of brackets",
        ),
        (ZONE.format("a", "[0, 0, 1, 1]").replace("shape", "coordinates"), "unknown key; its keys are name, shape"),
        (ZONE.format("a", "[0, 0, 1, 1]").replace("shape", "shpae"), "did you mean cameras.<id>.zones.shape?"),
        ('[attention]\nenabled = true\n[privacy]\npurpose = "education"\n', "attention.enabled"),
        ("[attention]\nangle = 90\n", "attention.angle"),
    ],
)
def test_one_line_for_what_cannot_hold(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "edgeface.toml"
    path.write_text(HEAD + text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_polygon_that_only_turns_back_on_itself_is_fine() -> None:
    shape = [0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.6, 1.0, 0.6, 0.5, 0.4, 0.5, 0.4, 1.0, 0.0, 1.0]
    config = load_config(overrides={"cameras.main.zones": [{"name": "u", "shape": shape}]})
    assert config.cameras["main"].zones[0].name == "u"


@pytest.mark.parametrize(
    "shape",
    [
        (0, 0, 1, 0, 1, 1, 0, 1, 0, 0),
        (0, 0, 1, 0, 1, 1, 0, 0),
        (0, 0, 0, 0, 1, 0, 1, 1),
        (0, 0, 1, 0, 1, 0, 1, 1, 0, 1),
    ],
    ids=["closed", "closed triangle", "twice at the begin", "twice in between"],
)
def test_a_corner_that_is_named_again_is_the_same_corner(shape: tuple[float, ...]) -> None:
    config = load_config(overrides={"cameras.main.zones": [{"name": "u", "shape": list(shape)}]})
    zones = config.cameras["main"].zones
    noticed = walk([(900, 400), (900, 410)], lines=(), zones=zones)
    assert [change.event for change in noticed] == ["entered", "left"]


def test_an_empty_file_has_neither() -> None:
    assert (Config().cameras["main"].lines, Config().cameras["main"].zones) == ((), ())


def test_two_cameras_may_use_the_same_names(tmp_path: Path) -> None:
    path = tmp_path / "edgeface.toml"
    line = LINE.format("a", "[0.1, 0.5]", "[0.9, 0.5]")
    path.write_text(f"{HEAD}{line}[cameras.desk]\nsource = 1\n{line.replace('door', 'desk')}")
    assert [camera.lines[0].name for camera in load_config(path).cameras.values()] == ["a", "a"]
