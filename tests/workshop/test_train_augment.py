"""Crops out of the stored ones: service's own without jitter, and what jitter, light and cameras make of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.train.augment import NOTHING, Augment, jittered, motion, plain
from converters.train.view import View, stored_input
from converters.train.warp import Motion, warp
from edgeface.bundle import BoxCrop, CropRule, Input, LandmarkCrop, SquareCrop
from edgeface.crop import cut
from edgeface.errors import UsageError

TEMPLATE = ((0.2273, 0.2214), (0.7528, 0.2212), (0.4901, 0.5156), (0.2541, 0.7802), (0.7261, 0.7802))
ALIGNED = LandmarkCrop(template=TEMPLATE, padding=0.2)
BOX = np.array([180, 150, 330, 350], np.float32)
POINTS = np.array([[210, 220], [290, 212], [255, 262], [222, 305], [296, 298]], np.float32)
SHARES = ("occlusion", "light", "saturation", "tint", "grey", "equalise", "low_resolution", "blur", "noise", "jpeg")
EVERYTHING = msgspec.structs.replace(Augment(), mirror=1.0, **dict.fromkeys(SHARES, 1.0))
IN_COLOUR = msgspec.structs.replace(EVERYTHING, grey=0.0)
SETTINGS = [
    pytest.param(NOTHING, id="nothing"),
    pytest.param(Augment(), id="usual"),
    pytest.param(EVERYTHING, id="everything"),
    pytest.param(IN_COLOUR, id="everything, in colour"),
    pytest.param(msgspec.structs.replace(NOTHING, blur=1.0), id="blur"),
    pytest.param(msgspec.structs.replace(NOTHING, grey=1.0), id="no colour"),
]


def spec(rule: CropRule, *, size: tuple[int, int] = (64, 64), color: str = "rgb") -> Input:
    return Input(color=color, mean=0.0, scale=1.0, width=size[0], height=size[1], crop=rule)  # type: ignore[arg-type]


def smooth(seed: int = 0) -> np.ndarray:
    """A picture without edges, BGR: what differs in it is where a crop lies, not how it was sampled."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3)).astype(np.uint8)
    picture: np.ndarray = cv2.resize(coarse, (512, 512), interpolation=cv2.INTER_CUBIC)
    return picture


def stored(wanted: Input, image: np.ndarray | None = None) -> tuple[np.ndarray, View]:
    cutting, view = stored_input(wanted)
    return cut(smooth() if image is None else image, BOX, POINTS, cutting), view


@pytest.mark.parametrize("color", ["rgb", "bgr", "grey"])
@pytest.mark.parametrize(
    ("rule", "size"),
    [
        pytest.param(ALIGNED, (64, 64), id="aligned"),
        pytest.param(ALIGNED, (112, 112), id="aligned, large"),
        pytest.param(LandmarkCrop(template=TEMPLATE), (80, 60), id="aligned, not padded, not square"),
        pytest.param(SquareCrop(), (64, 64), id="square"),
        pytest.param(SquareCrop(scale=1.2), (48, 48), id="square, wider"),
        pytest.param(BoxCrop(left=0.4, top=0.3, right=0.4, bottom=0.4), (64, 64), id="box"),
        pytest.param(BoxCrop(left=0, top=0, right=0, bottom=0.1), (32, 48), id="box, not square"),
    ],
)
def test_a_plain_crop_is_what_service_cuts(rule: CropRule, size: tuple[int, int], color: str) -> None:
    wanted = spec(rule, size=size, color=color)
    pixels, view = stored(wanted)
    expected = cut(smooth(), BOX, POINTS, wanted)
    found = plain(pixels, view)
    assert (found.dtype, found.shape) == (np.dtype(np.uint8), expected.shape)
    difference = np.abs(found.astype(int) - expected)
    assert difference.mean() < 1
    assert np.percentile(difference, 99) <= 3


@given(seed=st.integers(0, 2**32 - 1), padding=st.floats(0, 0.6), side=st.integers(24, 160))
@settings(max_examples=40, deadline=None)
def test_a_plain_crop_is_what_service_cuts_whatever_padding_and_size(seed: int, padding: float, side: int) -> None:
    rng = np.random.default_rng(seed)
    wanted = spec(LandmarkCrop(template=TEMPLATE, padding=padding), size=(side, side))
    points = (POINTS + rng.normal(0, 3, POINTS.shape)).astype(np.float32)
    image = smooth(seed)
    cutting, view = stored_input(wanted)
    found = plain(cut(image, BOX, points, cutting), view).astype(int)
    difference = np.abs(found - cut(image, BOX, points, wanted))
    assert difference.mean() < 1
    assert np.percentile(difference, 99) <= 3


def test_networks_of_one_rule_share_stored_crops_and_large_ones_get_larger() -> None:
    sizes = {side: stored_input(spec(ALIGNED, size=(side, side)))[0] for side in (32, 64, 80, 112)}
    assert sizes[32] == sizes[64] == sizes[80]
    assert (sizes[64].width, sizes[112].width) == (128, 192)
    assert isinstance(sizes[64].crop, LandmarkCrop)
    assert sizes[64].crop.padding == pytest.approx(0.45)


def test_who_sees_no_faces_is_told_so() -> None:
    with pytest.raises(UsageError, match="without a crop rule"):
        stored_input(Input(color="bgr", mean=0.0, scale=1.0, multiple_of=32))


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_no_jitter_is_the_plain_crop(seed: int) -> None:
    for color in ("rgb", "bgr", "grey"):
        pixels, view = stored(spec(ALIGNED, color=color), smooth(seed % 1000))
        found = jittered(pixels, view, NOTHING, np.random.default_rng(seed))
        np.testing.assert_array_equal(found, plain(pixels, view))


motions = st.builds(
    Motion,
    scale=st.floats(0.7, 1.4),
    right=st.floats(-0.3, 0.3),
    down=st.floats(-0.3, 0.3),
    degrees=st.floats(-40, 40),
    aspect=st.floats(0.9, 1.1),
)


@given(motion=motions)
@settings(max_examples=40, deadline=None)
def test_mirrored_twice_is_the_crop_itself(motion: Motion) -> None:
    pixels, view = stored(spec(ALIGNED))
    once = warp(pixels, view, replace(motion, mirrored=True))
    np.testing.assert_array_equal(once[:, ::-1], warp(pixels, view, motion))
    turned = pixels[:, ::-1]
    other = replace(motion, right=-motion.right, degrees=-motion.degrees)
    # A crop of the mirrored picture, moved the other way, is the mirrored crop.
    assert np.abs(warp(turned, view, other).astype(int) - once).mean() < 1


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        pytest.param(Motion(), lambda x, y: (x, y), id="still"),
        pytest.param(Motion(right=0.1), lambda x, y: (x - 6.4, y), id="cut to the right: the face goes left"),
        pytest.param(Motion(down=0.1), lambda x, y: (x, y - 6.4), id="cut lower: the face goes up"),
        pytest.param(Motion(scale=1.25), lambda x, y: (32 + (x - 32) / 1.25, 32 + (y - 32) / 1.25), id="cut wider"),
        pytest.param(Motion(degrees=90), lambda x, y: (32 + (y - 32), 32 - (x - 32)), id="cut turned clockwise"),
        pytest.param(Motion(aspect=1.1), lambda x, y: (32 + (x - 32) / 1.1, 32 + (y - 32) * 1.1), id="cut broader"),
        pytest.param(Motion(mirrored=True), lambda x, y: (64 - x, y), id="mirrored"),
    ],
)
def test_a_point_goes_where_the_motion_takes_it(
    moved: Motion, expected: Callable[[float, float], tuple[float, float]]
) -> None:
    _, view = stored(spec(ALIGNED))
    x, y = 24.0, 40.0
    # The same point of the stored crop, whose pixels are smaller.
    step = view.step[0]
    centre = (64 + (x - 32) * step - 0.5, 64 + (y - 32) * step - 0.5)
    columns, rows = np.meshgrid(np.arange(128), np.arange(128))
    blob = np.exp(-((columns - centre[0]) ** 2 + (rows - centre[1]) ** 2) / 18) * 250
    found = warp(blob.astype(np.uint8), view, moved).astype(float)
    columns, rows = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    middle = ((found * columns).sum() / found.sum(), (found * rows).sum() / found.sum())
    assert middle == pytest.approx(expected(x, y), abs=0.15)


def test_beyond_the_stored_crop_its_border_is_repeated() -> None:
    _, view = stored(spec(ALIGNED))
    found = warp(np.full((128, 128, 3), 77, np.uint8), view, Motion(scale=2.0, right=0.5, degrees=30))
    assert (found == 77).all()


@pytest.mark.parametrize("color", ["rgb", "bgr", "grey"])
@pytest.mark.parametrize("augment", SETTINGS)
@pytest.mark.parametrize("rule", [pytest.param(ALIGNED, id="aligned"), pytest.param(SquareCrop(), id="square")])
def test_every_augmentation_keeps_type_and_shape_and_is_the_dice_s_alone(
    rule: CropRule, augment: Augment, color: str
) -> None:
    pixels, view = stored(spec(rule, size=(40, 40), color=color))
    before = pixels.copy()
    for seed in range(12):
        found, again = (jittered(pixels, view, augment, np.random.default_rng(seed)) for _ in range(2))
        assert (found.dtype, found.shape) == (np.dtype(np.uint8), (40, 40, 1 if color == "grey" else 3))
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(pixels, before)


def test_a_crop_takes_as_many_throws_whatever_is_done_to_it() -> None:
    pixels, view = stored(spec(ALIGNED))
    after = set()
    for augment in (NOTHING, Augment(), EVERYTHING):
        rng = np.random.default_rng(5)
        jittered(pixels, view, augment, rng)
        after.add(int(rng.integers(1 << 62)))
    assert len(after) == 1


@pytest.mark.parametrize("name", SHARES)
def test_each_share_does_something_alone_and_only_to_its_share(name: str) -> None:
    picture = smooth() // 2 + np.random.default_rng(0).integers(0, 60, (512, 512, 3)).astype(np.uint8)
    pixels, view = stored(spec(ALIGNED), picture)
    unspoilt = plain(pixels, view)
    always, half = (msgspec.structs.replace(NOTHING, **{name: share}) for share in (1.0, 0.5))
    changed = [(jittered(pixels, view, always, np.random.default_rng(n)) != unspoilt).any() for n in range(200)]
    assert sum(changed) > 190
    some = sum((jittered(pixels, view, half, np.random.default_rng(n)) != unspoilt).any() for n in range(200))
    assert 70 < some < 130


def test_jitter_is_as_wide_as_it_says() -> None:
    augment = msgspec.structs.replace(NOTHING, scale=0.1, shift=0.07, rotation=5.0, aspect=0.04, mirror=0.5)
    rng = np.random.default_rng(0)
    thrown = [motion(augment, rng) for _ in range(4000)]
    assert np.std(np.log([one.scale for one in thrown])) == pytest.approx(0.1, rel=0.06)
    assert np.std([one.right for one in thrown]) == pytest.approx(0.07, rel=0.06)
    assert np.std([one.down for one in thrown]) == pytest.approx(0.07, rel=0.06)
    assert np.std([one.degrees for one in thrown]) == pytest.approx(5, rel=0.06)
    # Width to height is the aspect twice: one side longer, the other shorter.
    assert np.std(np.log([one.aspect for one in thrown])) * 2 == pytest.approx(0.04, rel=0.06)
    assert np.mean([one.mirrored for one in thrown]) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "wrong",
    [{"shift": 0.6}, {"mirror": 1.5}, {"jpeg_quality": 99}, {"noise_levels": 0}, {"rotation": -1}, {"flip": 0.5}],
)
def test_a_number_out_of_range_and_a_word_that_is_not_known_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Augment)


def test_every_number_has_a_sentence_and_two_ends() -> None:
    schema = msgspec.json.schema(Augment)["$defs"]["Augment"]["properties"]
    for name, field in schema.items():
        assert field.get("description"), name
        assert {"minimum", "maximum"} <= set(field), name
