"""When the light changed: pictures without faces, and what of them counts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import cv2
import numpy as np
import pytest

from edgeface.people.appearance import Patch, Views
from edgeface.people.light import FICKLE_S, Light
from edgeface.people.tracked import Sight
from edgeface.people.tracker import Tracker
from edgeface.types import F32, Detections, Image

NOBODY = np.zeros((0, 4), np.float32)
CROWD = np.array([[x, 0, x + 40, 60] for x in range(0, 480, 20)], np.float32)
NEAR = np.array([[185, 0, 295, 20]], np.float32)
"""Somebody right before the camera, who covers three quarters of the picture."""
COARSE = np.random.default_rng(1).integers(30, 220, (12, 24, 3)).astype(np.uint8)
OFF = 0.15
AT_S = 3.0


def room(width: int = 480, height: int = 240) -> Image:
    return np.asarray(cv2.resize(COARSE, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def lit(image: Image, light: float) -> Image:
    return np.asarray(image * light, np.uint8)


def changes(
    scene: Callable[[float], Image],
    *,
    fps: int = 10,
    seconds: float = 6,
    people: Callable[[float], F32] = lambda _: NOBODY,
    at_once: bool = False,
) -> list[float]:
    """When the light is said to have changed."""
    light, found = Light(), [float("-inf")]
    for frame in range(int(seconds * fps)):
        light.see(Views(scene(frame / fps), people(frame / fps)), frame / fps, at_once=at_once)
        if light.changed_s != found[-1]:
            found.append(light.changed_s)
    return found[1:]


@pytest.mark.parametrize("size", [(64, 48), (480, 240), (3840, 2160)], ids=str)
def test_a_lamp_is_seen_in_a_picture_of_any_size(size: tuple[int, int]) -> None:
    picture = room(*size)
    on, off = picture, lit(picture, OFF)
    assert changes(lambda time_s: off if time_s >= AT_S else on, fps=4) == [AT_S]


@pytest.mark.parametrize(("light", "seen"), [(0.75, 1), (0.9, 0)])
@pytest.mark.parametrize("at_once", [False, True], ids=["twice a second", "each"])
def test_a_lamp_counts_once_and_from_a_fifth_of_the_light(light: float, seen: int, at_once: bool) -> None:
    """Asked in each picture, the one before the switch is no longer what is held against it."""
    assert len(changes(lambda time_s: lit(room(), light if time_s >= AT_S - 0.2 else 1), at_once=at_once)) == seen


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_what_masks_and_bars_paint_black_is_no_part_of_the_picture(share: float) -> None:
    painted = room()
    painted[:, : int(480 * share)] = 0
    assert changes(lambda time_s: lit(painted, OFF if time_s >= AT_S else 1)) == [AT_S]
    assert changes(lambda _: painted) == []


def test_a_lamp_without_which_nearly_all_is_black_is_seen_going_and_coming() -> None:
    """Small cameras show no dark: who sits at a screen is all that is left of the picture."""
    dark = room()
    dark[:, 60:] = 0
    assert changes(lambda time_s: dark if AT_S <= time_s < 4.5 else room()) == [AT_S, 4.5]


@pytest.mark.parametrize(("share", "seen"), [(0.5, False), (0.7, True)])
def test_who_is_everywhere_is_a_lamp(share: float, seen: bool) -> None:
    """A door that opens lights a half of the picture."""
    after = room()
    after[:, : int(480 * share)] //= 4
    assert bool(changes(lambda time_s: after if time_s >= AT_S else room())) == seen


@pytest.mark.parametrize("colour", [(150, 90, 60), (60, 90, 150)], ids=["blue", "red"])
def test_a_colour_alone_is_another_light(colour: tuple[int, int, int]) -> None:
    grey, other = (np.full((240, 480, 3), paint, np.uint8) for paint in ((100, 100, 100), colour))
    assert changes(lambda time_s: other if time_s >= AT_S else grey) == [AT_S]


@pytest.mark.parametrize("at_once", [False, True], ids=["twice a second", "each"])
@pytest.mark.parametrize("fade_s", [0.5, 1.0, 2.0])
def test_a_lamp_that_fades_is_one_however_often_that_is_asked(fade_s: float, at_once: bool) -> None:
    def scene(time_s: float) -> Image:
        return lit(room(), OFF ** min(1.0, max(0.0, (time_s - AT_S) / fade_s)))

    first, *_ = changes(scene, fps=25, at_once=at_once)
    assert AT_S < first < AT_S + 0.8


@pytest.mark.parametrize("at_once", [False, True], ids=["twice a second", "each"])
def test_a_cloud_is_no_lamp(at_once: bool) -> None:
    assert changes(lambda time_s: lit(room(), 1 - 0.7 * time_s / 8), seconds=8, at_once=at_once) == []


def test_a_lamp_is_seen_in_the_picture_for_which_it_is_asked() -> None:
    light = Light()
    light.see(Views(room(), NOBODY), 0.0)
    dark = Views(lit(room(), OFF), NOBODY)
    light.see(dark, 0.1)
    assert light.changed_s == float("-inf")
    light.see(dark, 0.1, at_once=True)
    assert light.changed_s == pytest.approx(0.1)


def test_one_picture_is_looked_at_once_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    light, looked = Light(), count()
    behind = Views.behind

    def counted(views: Views) -> Patch:
        next(looked)
        return behind(views)

    monkeypatch.setattr(Views, "behind", counted)
    for boxes in (NOBODY, CROWD):
        for time_s in (0.0, 0.1):
            for _ in range(5):
                light.see(Views(room(), boxes), time_s + len(boxes), at_once=True)
    assert next(looked) == 4


def test_a_lamp_behind_people_who_fill_the_picture_is_seen_when_they_have_gone() -> None:
    def people(time_s: float) -> F32:
        return CROWD if AT_S <= time_s < AT_S + 2 else NOBODY

    def scene(time_s: float) -> Image:
        return lit(room(), OFF if time_s >= AT_S + 1 else 1)

    assert changes(scene, people=people) == [AT_S + 2]
    assert changes(scene, people=lambda _: CROWD) == []


@pytest.mark.parametrize("at_once", [False, True], ids=["twice a second", "each"])
def test_somebody_who_steps_before_the_camera_is_no_lamp(at_once: bool) -> None:
    def there(time_s: float) -> bool:
        return AT_S <= time_s < AT_S + 1.5

    near = room()
    near[20:, 53:427] //= 4
    assert (
        changes(
            lambda time_s: near if there(time_s) else room(),
            people=lambda time_s: NEAR if there(time_s) else NOBODY,
            at_once=at_once,
        )
        == []
    )


def test_what_little_masks_leave_says_nothing() -> None:
    painted = room()
    painted[:, 32:] = 0
    assert changes(lambda time_s: lit(painted, OFF if time_s >= AT_S else 1)) == []


def test_a_camera_in_another_size_is_begun_anew_with() -> None:
    def scene(time_s: float) -> Image:
        if time_s < 2:
            return room()
        return lit(room(40, 27), OFF if time_s >= AT_S + 1 else 0.5)

    assert changes(scene) == [AT_S + 1]


def test_a_light_that_never_stands_still_is_none_and_one_that_does_again_is() -> None:
    def scene(time_s: float) -> Image:
        flickers = int(time_s) % 2 if time_s < 8 else time_s >= 8 + FICKLE_S + 2
        return lit(room(), OFF if flickers else 1)

    assert changes(scene, seconds=8 + FICKLE_S + 4) == [1.0, 2.0, 8 + FICKLE_S + 2]


def test_who_asks_in_the_picture_of_the_switch_is_told_and_who_need_not_know_at_once_is_not() -> None:
    light = Light()
    light.see(Views(room(), NOBODY), 0.0)
    sight = Sight(Views(lit(room(), OFF), NOBODY), 0.1, light)
    assert not sight.changed_since(0.0, at_once=False)
    assert sight.changed_since(0.0)
    assert not sight.changed_since(0.1)


def test_without_colours_it_is_another_light_however_bright() -> None:
    """A camera goes over to infrared where the light never stands still, too."""
    face = np.array([[200, 60, 240, 110]], np.float32)
    skin = np.full((240, 480, 3), (120, 150, 200), np.uint8)
    grey = np.repeat(skin.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    (coloured, pale), light = (Views(image, face).look(0) for image in (skin, grey)), Light()
    sight = Sight(Views(grey, face), 1.0, light)
    assert sight.relit(coloured, 0.9, pale)
    assert not sight.relit(pale, 0.9, pale)


@pytest.mark.parametrize("light", [1.0, OFF])
def test_a_tracker_that_succeeds_another_knows_in_which_light_they_were(light: float) -> None:
    """As at a reload while a lamp is switched: only in another light is who looks otherwise the same."""

    def made() -> Tracker:
        return Tracker(lost_after_s=2.0, confirm_s=0.3, return_within_s=10.0)

    box = np.array([[200, 40, 240, 90]], np.float32)
    before, after = room(), lit(room(), light)
    before[90:200, 180:260], after[90:200, 180:260] = (40, 40, 200), (190, 70, 30)
    before[40:90, 200:240], after[40:90, 200:240] = (120, 150, 200), (150, 140, 60)
    tracker = made()

    def see(time_s: float, image: Image, boxes: F32) -> list[int]:
        found = Detections(boxes=boxes, scores=np.full(len(boxes), 0.9, np.float32))
        tracks = tracker.update(time_s, found, views=Views(image, boxes))
        return [track.id for track in tracks if track.detection is not None]

    for frame in range(20):
        first = see(frame / 10, before, box)
    other, tracker = tracker, made()
    tracker.succeed(other)
    see(2.0, after, NOBODY)
    assert (see(2.4, after, box) == first) == (light == OFF)
