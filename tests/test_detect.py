"""Detectors: input sizes, decoding against a slow and plain reading of the papers, a real face."""

from __future__ import annotations

from math import exp, sqrt
from typing import Any

import cv2
import numpy as np
import pytest
from astronaut import astronaut
from bundles import AGE, DEFAULT, networks
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeface.bundle import RetinaFaceHead, YunetHead, open_bundle
from edgeface.detect import make_detector, retinaface, yunet
from edgeface.detect.single import SingleDetector
from edgeface.detect.size import choose_size
from edgeface.errors import BundleError, ConfigError
from edgeface.geometry import iou, letterbox
from edgeface.runtime import load_network
from edgeface.types import F32, Detections

PREPARED = ((320, 192), (320, 320), (640, 384), (640, 640))
BOTH = pytest.mark.parametrize("name", ["yunet", "retinaface"])
YUNET = YunetHead(strides=(8, 16, 32), nms_iou=0.45)
RETINA = RetinaFaceHead(
    strides=(8, 16, 32), prior_sizes=((16, 32), (64, 128), (256, 512)), variances=(0.1, 0.2), nms_iou=0.4
)


@pytest.mark.parametrize(
    ("setting", "image_wh", "still", "prepared", "expected"),
    [
        pytest.param("auto", (1920, 1080), False, (), (320, 192), id="wide video"),
        pytest.param("auto", (640, 480), False, (), (320, 192), id="4 to 3 lies nearer to 5 to 3 than to 1"),
        pytest.param("auto", (480, 480), False, (), (320, 320), id="square video"),
        pytest.param("auto", (1080, 1920), False, (), (320, 320), id="portrait video: the square"),
        pytest.param("auto", (1920, 1080), False, PREPARED, (320, 192), id="prepared video"),
        pytest.param("auto", (1000, 667), True, (), (640, 448), id="still, free"),
        pytest.param("auto", (667, 1000), True, (), (448, 640), id="portrait still, free"),
        pytest.param("auto", (100, 50), True, (), (128, 64), id="small still: not enlarged"),
        pytest.param("auto", (1, 1), True, (), (32, 32), id="one pixel"),
        pytest.param("auto", (9000, 1), True, (), (640, 32), id="a line"),
        pytest.param("auto", (1920, 1080), True, PREPARED, (640, 384), id="still, prepared"),
        pytest.param("auto", (1000, 1000), True, PREPARED, (640, 640), id="square still, prepared"),
        pytest.param("auto", (200, 100), True, PREPARED, (320, 192), id="small still, prepared"),
        pytest.param("original", (500, 300), True, (), (512, 320), id="original"),
        pytest.param("original", (4000, 2000), True, (), (1024, 512), id="original, up to 1024"),
        pytest.param("640x384", (100, 100), True, PREPARED, (640, 384), id="given"),
        pytest.param("500x300", (100, 100), False, (), (512, 320), id="given, rounded up"),
    ],
)
def test_input_size(
    setting: str, image_wh: tuple[int, int], still: bool, prepared: Any, expected: tuple[int, int]
) -> None:
    assert choose_size(setting, image_wh, still=still, prepared=prepared, multiple_of=32) == expected


@pytest.mark.parametrize(("setting", "said"), [("original", "free size"), ("480x480", "choose one of: 320x192, ")])
def test_input_sizes_that_do_not_run(setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        choose_size(setting, (100, 100), still=True, prepared=PREPARED, multiple_of=32)


@given(st.integers(1, 12_000), st.integers(1, 12_000), st.booleans(), st.sampled_from(["auto", "original"]))
def test_every_size_can_be_run(width: int, height: int, still: bool, setting: str) -> None:
    size = choose_size(setting, (width, height), still=still, prepared=(), multiple_of=32)
    assert all(side % 32 == 0 and 32 <= side <= 1024 for side in size)
    if setting == "auto":
        assert choose_size(setting, (width, height), still=still, prepared=PREPARED, multiple_of=32) in PREPARED


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def plain_yunet(raw: dict[str, F32], size: tuple[int, int], min_score: float) -> list[tuple[Any, ...]]:
    faces = []
    for stride in (8, 16, 32):
        columns, rows = size[0] // stride, size[1] // stride
        for row in range(rows):
            for column in range(columns):
                cell = row * columns + column
                score = sqrt(sigmoid(raw[f"cls_{stride}"][0, cell, 0]) * sigmoid(raw[f"obj_{stride}"][0, cell, 0]))
                if score < min_score:
                    continue
                dx, dy, w, h = (float(value) for value in raw[f"bbox_{stride}"][0, cell])
                x, y = (column + dx) * stride, (row + dy) * stride
                w, h = exp(w) * stride, exp(h) * stride
                points = [
                    ((column + float(px)) * stride, (row + float(py)) * stride)
                    for px, py in raw[f"kps_{stride}"][0, cell].reshape(5, 2)
                ]
                faces.append((score, (x - w / 2, y - h / 2, x + w / 2, y + h / 2), points))
    return faces


def plain_retinaface(raw: dict[str, F32], size: tuple[int, int], min_score: float) -> list[tuple[Any, ...]]:
    faces, prior = [], 0
    for stride, sides in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512))):
        for row in range(size[1] // stride):
            for column in range(size[0] // stride):
                for side in sides:
                    x, y = (column + 0.5) * stride, (row + 0.5) * stride
                    score = float(raw["conf"][0, prior, 1])
                    if score >= min_score:
                        l0, l1, l2, l3 = (float(value) for value in raw["loc"][0, prior])
                        cx, cy = x + l0 * 0.1 * side, y + l1 * 0.1 * side
                        w, h = side * exp(l2 * 0.2), side * exp(l3 * 0.2)
                        points = [
                            (x + float(px) * 0.1 * side, y + float(py) * 0.1 * side)
                            for px, py in raw["landm"][0, prior].reshape(5, 2)
                        ]
                        faces.append((score, (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), points))
                    prior += 1
    return faces


def yunet_outputs(rng: np.random.Generator, size: tuple[int, int], mean: float) -> dict[str, F32]:
    raw: dict[str, F32] = {}
    for stride in (8, 16, 32):
        cells = (size[0] // stride) * (size[1] // stride)
        for name, wide, middle in (("cls", 1, mean), ("obj", 1, mean), ("bbox", 4, 0.0), ("kps", 10, 0.0)):
            raw[f"{name}_{stride}"] = rng.normal(middle, 1.5, (1, cells, wide)).astype(np.float32)
    return raw


def retinaface_outputs(rng: np.random.Generator, size: tuple[int, int], mean: float) -> dict[str, F32]:
    priors = sum(2 * (size[0] // stride) * (size[1] // stride) for stride in (8, 16, 32))
    face = 1 / (1 + np.exp(-rng.normal(mean, 1.5, priors)))
    return {
        "loc": rng.normal(0, 1, (1, priors, 4)).astype(np.float32),
        "conf": np.stack([1 - face, face], axis=1)[None].astype(np.float32),
        "landm": rng.normal(0, 2, (1, priors, 10)).astype(np.float32),
    }


FAMILIES = {
    "yunet": (yunet.decode, plain_yunet, yunet_outputs, YUNET),
    "retinaface": (retinaface.decode, plain_retinaface, retinaface_outputs, RETINA),
}


@BOTH
@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([(32, 32), (96, 64), (64, 96)]),
    mean=st.sampled_from([-30.0, -4.0, 0.0]),
    min_score=st.sampled_from([0.02, 0.3, 0.6, 1.0]),
)
def test_decoding_is_what_the_papers_say(
    name: str, seed: int, size: tuple[int, int], mean: float, min_score: float
) -> None:
    decode, plain, outputs, head = FAMILIES[name]
    raw = outputs(np.random.default_rng(seed), size, mean)
    boxes, scores, landmarks = decode(raw, size, head, min_score)  # type: ignore[operator]
    expected = plain(raw, size, min_score)
    assert (boxes.shape, scores.shape, landmarks.shape) == (
        (len(expected), 4), (len(expected),), (len(expected), 5, 2)
    )  # fmt: skip
    assert {boxes.dtype, scores.dtype, landmarks.dtype} == {np.dtype(np.float32)}
    if expected:
        np.testing.assert_allclose(scores, [face[0] for face in expected], rtol=1e-4)
        np.testing.assert_allclose(boxes, [face[1] for face in expected], rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(landmarks, [face[2] for face in expected], rtol=1e-3, atol=1e-2)


@BOTH
def test_nobody_is_zero_faces(name: str) -> None:
    found = networks("onnx", name).detect(np.full((90, 160, 3), 127, np.uint8), min_score=0.6)
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert found.landmarks is not None
    assert found.landmarks.shape == (0, 5, 2)


def in_sane_places(found: Detections) -> None:
    assert found.landmarks is not None
    (x1, y1, x2, y2), points = found.boxes[0], found.landmarks[0]
    left_eye, right_eye, nose, left_mouth, right_mouth = points
    assert ((points > (x1, y1)) & (points < (x2, y2))).all()
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


@BOTH
@pytest.mark.parametrize("runtime", ["onnx", "litert"])
def test_the_astronaut_is_found_by_all(name: str, runtime: str) -> None:
    if runtime == "litert":
        pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    found = networks(runtime, name).detect(astronaut(), min_score=0.6)
    assert len(found) == 1
    in_sane_places(found)
    reference = networks("onnx", "retinaface").detect(astronaut(), min_score=0.6)
    assert iou(found.boxes, reference.boxes)[0, 0] > 0.75
    assert found.landmarks is not None
    assert reference.landmarks is not None
    assert np.abs(found.landmarks - reference.landmarks).max() < 12
    same = networks("onnx", name).detector
    other = networks(runtime, name).detector
    # The same input size, so that only the runtime differs.
    fitted = cv2.resize(astronaut(), (640, 640), interpolation=cv2.INTER_AREA)
    ours, theirs = other.detect(fitted, min_score=0.6), same.detect(fitted, min_score=0.6)
    np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=0.1)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-3)


@BOTH
@pytest.mark.parametrize(
    ("left", "top"), [(150, 0), (220, 0), (0, 110), (0, 0)], ids=["left half", "nose at edge", "top cut", "whole"]
)
def test_boxes_lie_inside_the_picture(name: str, left: int, top: int) -> None:
    picture = np.ascontiguousarray(astronaut()[top:, left:])
    found = networks("onnx", name).detect(picture, min_score=0.05)
    assert len(found)
    boxes = found.boxes
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (picture.shape[1], picture.shape[0])).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (np.diff(found.scores) <= 0).all()
    overlap = iou(boxes, boxes)
    assert (overlap[~np.eye(len(boxes), dtype=bool)] <= 0.65).all()


@BOTH
def test_a_larger_picture_gives_the_same_face_enlarged(name: str) -> None:
    picture = astronaut()
    large = cv2.resize(picture, (1536, 1536), interpolation=cv2.INTER_CUBIC)
    small = networks("onnx", name).detect(picture, min_score=0.6)
    found = networks("onnx", name).detect(large, min_score=0.6)
    assert len(found) == 1
    np.testing.assert_allclose(found.boxes / 3, small.boxes, atol=6)


@BOTH
def test_swapped_colours_are_noticed(name: str) -> None:
    """Scores hide a swap of red and blue; raw outputs do not: they are pinned by the bundle's stored ones."""
    detector = networks("onnx", name).detector
    assert isinstance(detector, SingleDetector)
    picture = cv2.resize(astronaut(), (320, 320), interpolation=cv2.INTER_AREA)
    head = "cls_8" if name == "yunet" else "loc"
    # The detector may use its tensor again for the next picture.
    right = detector.encode(picture)[0].copy()
    wrong = detector.encode(np.ascontiguousarray(picture[:, :, ::-1]))[0].copy()
    outputs, swapped = detector.runner.run(right)[head].copy(), detector.runner.run(wrong)[head]
    assert np.abs(outputs - swapped).max() > 0.05 * np.abs(outputs).max()
    # What the network is to see is blue, green, red, before mean and scale.
    mean = np.array(detector.network.input.mean, np.float32)[:, None, None]
    np.testing.assert_array_equal((right[0] + mean).round(), picture.transpose(2, 0, 1).astype(np.float32))


def test_letterbox_padding_is_black_and_reused(name: str = "yunet") -> None:
    opened = open_bundle(DEFAULT)
    wanted = opened.network(name)
    detector = SingleDetector(wanted, load_network(opened, wanted, "onnx"), size="320x320")
    wide, fit = detector.encode(np.full((100, 320, 3), 200, np.uint8))
    assert fit == letterbox((320, 100), (320, 320))
    assert wide[0, :, :100].min() == 200
    assert wide[0, :, 100:].max() == 0
    tall, _ = detector.encode(np.full((320, 100, 3), 90, np.uint8))
    assert tall[0, :, :, :100].min() == tall[0, :, :, :100].max() == 90
    assert tall[0, :, :, 100:].max() == 0


def test_an_attribute_network_is_no_detector() -> None:
    opened = open_bundle(DEFAULT)
    wanted = opened.network(AGE)
    with pytest.raises(BundleError, match=f"{AGE} is not a detector; name a network of task detect"):
        make_detector(wanted, {})
