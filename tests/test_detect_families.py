"""Decoders of BlazeFace, CenterFace and Ultra-Light against a slow and plain reading of what their makers say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, exp
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeface.bundle import BlazeFaceHead, CenterFaceHead, UltraLightHead
from edgeface.detect import blazeface, centerface, ultralight
from edgeface.detect.single import FAMILIES
from edgeface.types import F32

Size = tuple[int, int]
Face = tuple[float, tuple[float, ...], list[tuple[float, float]] | None]
"""Score, box, points."""
SHORT = BlazeFaceHead(anchors=((8, 2), (16, 6)), nms_iou=0.3)
BACK = BlazeFaceHead(anchors=((16, 2), (32, 6)), nms_iou=0.3)
FULL = BlazeFaceHead(anchors=((4, 1),), nms_iou=0.3)
CENTER = CenterFaceHead(stride=4, nms_iou=0.3)
ULTRA = UltraLightHead(
    strides=(8, 16, 32, 64),
    prior_sizes=((10, 16, 24), (32, 48), (64, 96), (128, 192, 256)),
    variances=(0.1, 0.2),
    nms_iou=0.3,
)


def blazeface_places(size: Size, head: BlazeFaceHead) -> Iterator[tuple[float, float]]:
    for stride, count in head.anchors:
        for row in range(size[1] // stride):
            for column in range(size[0] // stride):
                for _ in range(count):
                    yield (column + 0.5) * stride, (row + 0.5) * stride


def plain_blazeface(raw: dict[str, F32], size: Size, head: BlazeFaceHead) -> Iterator[Face]:
    for number, (x, y) in enumerate(blazeface_places(size, head)):
        dx, dy, w, h = (float(value) for value in raw["boxes"][0, number, :4])
        score = 1 / (1 + exp(-float(raw["scores"][0, number, 0])))
        yield score, (x + dx - w / 2, y + dy - h / 2, x + dx + w / 2, y + dy + h / 2), None


def plain_centerface(raw: dict[str, F32], size: Size, head: CenterFaceHead) -> Iterator[Face]:
    cell = 0
    for row in range(size[1] // head.stride):
        for column in range(size[0] // head.stride):
            height, width = (exp(float(value)) * head.stride for value in raw["size"][0, cell])
            dy, dx = (float(value) for value in raw["offset"][0, cell])
            x1 = (column + dx + 0.5) * head.stride - width / 2
            y1 = (row + dy + 0.5) * head.stride - height / 2
            pairs = raw["landmarks"][0, cell].reshape(5, 2)
            points = [(x1 + float(x) * width, y1 + float(y) * height) for y, x in pairs]
            yield float(raw["heatmap"][0, cell, 0]), (x1, y1, x1 + width, y1 + height), points
            cell += 1


def plain_ultralight(raw: dict[str, F32], size: Size, head: UltraLightHead) -> Iterator[Face]:
    prior = 0
    for stride, sides in zip(head.strides, head.prior_sizes, strict=True):
        columns, rows = ceil(size[0] / stride), ceil(size[1] / stride)
        for row in range(rows):
            for column in range(columns):
                for side in sides:
                    l0, l1, l2, l3 = (float(value) for value in raw["loc"][0, prior])
                    x = (column + 0.5) * size[0] / columns + l0 * 0.1 * side
                    y = (row + 0.5) * size[1] / rows + l1 * 0.1 * side
                    w, h = side * exp(l2 * 0.2), side * exp(l3 * 0.2)
                    yield float(raw["conf"][0, prior, 1]), (x - w / 2, y - h / 2, x + w / 2, y + h / 2), None
                    prior += 1


def blazeface_outputs(rng: np.random.Generator, size: Size, head: BlazeFaceHead) -> dict[str, F32]:
    anchors = sum(1 for _ in blazeface_places(size, head))
    return {
        "boxes": rng.normal(0, 40, (1, anchors, 16)).astype(np.float32),
        "scores": rng.normal(-2, 3, (1, anchors, 1)).astype(np.float32),
    }


def centerface_outputs(rng: np.random.Generator, size: Size, head: CenterFaceHead) -> dict[str, F32]:
    cells = (size[0] // head.stride) * (size[1] // head.stride)
    return {
        "heatmap": rng.random((1, cells, 1)).astype(np.float32),
        "size": rng.normal(1, 1, (1, cells, 2)).astype(np.float32),
        "offset": rng.normal(0, 1, (1, cells, 2)).astype(np.float32),
        "landmarks": rng.random((1, cells, 10)).astype(np.float32),
    }


def ultralight_outputs(rng: np.random.Generator, size: Size, head: UltraLightHead) -> dict[str, F32]:
    priors = sum(
        ceil(size[0] / stride) * ceil(size[1] / stride) * len(sides)
        for stride, sides in zip(head.strides, head.prior_sizes, strict=True)
    )
    face = rng.random(priors)
    return {
        "conf": np.stack([1 - face, face], axis=1)[None].astype(np.float32),
        "loc": rng.normal(0, 1, (1, priors, 4)).astype(np.float32),
    }


@dataclass(frozen=True)
class Case:
    """A family with a head: how it is decoded, plainly, from what, and the sizes that its network sees."""

    head: Any
    decode: Callable[..., Any]
    plain: Callable[..., Iterator[Face]]
    outputs: Callable[..., dict[str, F32]]
    sizes: tuple[Size, ...]


CASES = {
    "blazeface short": Case(SHORT, blazeface.decode, plain_blazeface, blazeface_outputs, ((128, 128),)),
    "blazeface back": Case(BACK, blazeface.decode, plain_blazeface, blazeface_outputs, ((256, 256),)),
    "blazeface full": Case(FULL, blazeface.decode, plain_blazeface, blazeface_outputs, ((192, 192), (48, 32))),
    "centerface": Case(CENTER, centerface.decode, plain_centerface, centerface_outputs, ((64, 32), (32, 64))),
    "ultra-light": Case(ULTRA, ultralight.decode, plain_ultralight, ultralight_outputs, ((320, 240), (128, 96))),
}
ALL = pytest.mark.parametrize("name", CASES)


@ALL
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), data=st.data(), min_score=st.sampled_from([0.02, 0.3, 0.9, 1.0]))
def test_decoding_is_what_the_makers_say(name: str, seed: int, data: st.DataObject, min_score: float) -> None:
    case = CASES[name]
    size = data.draw(st.sampled_from(case.sizes))
    raw = case.outputs(np.random.default_rng(seed), size, case.head)
    boxes, scores, landmarks = case.decode(raw, size, case.head, min_score)
    expected = [face for face in case.plain(raw, size, case.head) if face[0] >= min_score]
    assert (boxes.shape, scores.shape) == ((len(expected), 4), (len(expected),))
    assert {boxes.dtype, scores.dtype} == {np.dtype(np.float32)}
    if expected:
        np.testing.assert_allclose(scores, [face[0] for face in expected], rtol=1e-4)
        np.testing.assert_allclose(boxes, [face[1] for face in expected], rtol=1e-3, atol=1e-2)
    if not FAMILIES[type(case.head)].landmarks:
        assert landmarks is None
        return
    assert landmarks is not None
    assert landmarks.shape == (len(expected), 5, 2)
    assert landmarks.dtype == np.float32
    if expected:
        np.testing.assert_allclose(landmarks, np.array([face[2] for face in expected]), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    ("name", "size", "answers"),
    [
        pytest.param("blazeface short", (128, 128), 896, id="short"),
        pytest.param("blazeface back", (256, 256), 896, id="back"),
        pytest.param("blazeface full", (192, 192), 2304, id="full"),
        pytest.param("ultra-light", (320, 240), 4420, id="ultra-light"),
        pytest.param("centerface", (64, 64), 256, id="centerface"),
    ],
)
def test_as_many_answers_as_published(name: str, size: Size, answers: int) -> None:
    case = CASES[name]
    raw = case.outputs(np.random.default_rng(0), size, case.head)
    assert {array.shape[1] for array in raw.values()} == {answers}
    assert len(case.decode(raw, size, case.head, 0.0)[1]) == answers


@ALL
def test_nonsense_gives_numbers(name: str) -> None:
    """A broken file may say anything; boxes may be huge, but nothing warns, raises or is not a number."""
    case = CASES[name]
    size = case.sizes[0]
    raw = {
        key: np.full_like(array, 1e3) for key, array in case.outputs(np.random.default_rng(0), size, case.head).items()
    }
    with np.errstate(over="raise", invalid="raise"):
        boxes, scores, _ = case.decode(raw, size, case.head, 0.5)
    assert len(scores)
    assert not np.isnan(boxes).any()
    assert (scores > 0.5).all()


def test_a_face_of_blazeface_lies_where_its_anchor_is() -> None:
    raw = {"boxes": np.zeros((1, 896, 16), np.float32), "scores": np.full((1, 896, 1), -9, np.float32)}
    # The second stride begins after 16 x 16 cells of two anchors; its second cell's third anchor.
    number = 16 * 16 * 2 + 6 + 2
    raw["boxes"][0, number, :4] = (4, -2, 20, 30)
    raw["scores"][0, number] = 0
    boxes, scores, _ = blazeface.decode(raw, (128, 128), SHORT, 0.5)
    np.testing.assert_allclose(boxes, [[24 + 4 - 10, 8 - 2 - 15, 24 + 4 + 10, 8 - 2 + 15]])
    np.testing.assert_allclose(scores, [0.5])
