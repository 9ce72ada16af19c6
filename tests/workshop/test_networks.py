"""The torch modules against independent readings of the same checkpoints."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import skimage.data
import torch
from keras_reference import run_keras
from torch.nn import functional as fn

from converters.building.selftest import selftest_input
from converters.networks.mini_xception import MiniXception
from converters.recipes.reading import read_network
from converters.recipes.schema import Recipe
from converters.references.torch_module import TorchReference
from edgeface.bundle import RetinaFaceHead, YunetHead
from edgeface.detect import retinaface, yunet
from edgeface.runtime import to_tensor

Load = Callable[[str], TorchReference]
Read = Callable[[str], bytes]
RNG = np.random.default_rng(7)


def faces_and_noise(recipe: Recipe, name: str, count: int = 6) -> np.ndarray:
    """The self-test's face, darker and mirrored ones, and noise, as the network's input (N, C, H, W)."""
    network = read_network(name)[1]
    face = selftest_input(network, recipe.selftest)
    noise = RNG.integers(0, 256, (count, *face.shape[1:]), dtype=np.uint8)
    pixels = np.concatenate([face, face // 2, face[:, :, ::-1], noise])
    return to_tensor(pixels, network.input, "NCHW")


@pytest.mark.parametrize("name", ["age-v1", "gender-v1"])
def test_equal_to_the_original_onnx_file(recipe: Recipe, name: str, checkpoint: Read, source_network: Load) -> None:
    tensor = faces_and_noise(recipe, name)
    original = onnxruntime.InferenceSession(checkpoint(name), providers=["CPUExecutionProvider"])
    (expected,) = original.run(None, {"images": tensor})
    got = source_network(name).run(tensor)["probabilities"]
    np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["expression-mini-xception", "gender-mini-xception"])
def test_equal_to_the_keras_graph_read_layer_by_layer(
    recipe: Recipe, name: str, checkpoint: Read, source_network: Load
) -> None:
    tensor = faces_and_noise(recipe, name)
    (expected,) = run_keras(checkpoint(name), tensor.transpose(0, 2, 3, 1)).values()
    got = source_network(name).run(tensor)["probabilities"]
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("side", [48, 64])
def test_pooling_pads_like_keras_at_even_and_odd_sides(side: int) -> None:
    torch.manual_seed(3)
    network = MiniXception(labels=7).eval()
    maps: list[tuple[torch.Tensor, torch.Tensor]] = []
    for block in network.blocks:
        block.register_forward_hook(lambda _, inputs, output: maps.append((inputs[0], output)))
    with torch.no_grad():
        network(torch.randn(1, 1, side, side))
        for block, (x, output) in zip(network.blocks, maps, strict=True):
            y = block.second(fn.relu(block.first(x)))
            pad = max(0, (-(-y.shape[2] // 2) - 1) * 2 + 3 - y.shape[2])
            before = pad // 2
            y = fn.pad(y, (before, pad - before, before, pad - before), value=-torch.inf)
            torch.testing.assert_close(fn.max_pool2d(y, 3, 2) + block.shortcut(x), output, rtol=0, atol=0)


def test_yunet_finds_the_astronaut_where_its_makers_code_does(recipe: Recipe, source_network: Load) -> None:
    image = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])[None]
    network = recipe.networks["yunet"]
    assert isinstance(network.head, YunetHead)
    outputs = source_network("yunet").run(to_tensor(image, network.input, "NCHW"))
    boxes, scores, points = yunet.decode(outputs, (512, 512), network.head, 0.5)
    best = scores.argmax()
    assert scores[best] == pytest.approx(0.93, abs=0.01)
    np.testing.assert_allclose(boxes[best], [178, 63, 268, 176], atol=1.5)
    left_eye, right_eye, nose, left_mouth, right_mouth = points[best]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_yunet_is_fed_bgr_not_rgb(recipe: Recipe, source_network: Load) -> None:
    network = recipe.networks["yunet"]
    assert isinstance(network.head, YunetHead)
    found = []
    for image in (skimage.data.astronaut()[..., ::-1], skimage.data.astronaut()):
        tensor = to_tensor(np.ascontiguousarray(image)[None], network.input, "NCHW")
        outputs = source_network("yunet").run(tensor)
        found.append(yunet.decode(outputs, (512, 512), network.head, 0.5)[1])
    assert found[0].max() > found[1].max() + 0.01


def test_retinaface_finds_the_astronaut(recipe: Recipe, source_network: Load) -> None:
    image = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])[None]
    network = recipe.networks["retinaface"]
    assert isinstance(network.head, RetinaFaceHead)
    outputs = source_network("retinaface").run(to_tensor(image, network.input, "NCHW"))
    np.testing.assert_allclose(outputs["conf"].sum(axis=2), 1, atol=1e-5)
    boxes, scores, _ = retinaface.decode(outputs, (512, 512), network.head, 0.5)
    best = scores.argmax()
    assert scores[best] == pytest.approx(0.9997, abs=1e-4)
    np.testing.assert_allclose(boxes[best], recipe.selftest.box, atol=0.5)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        pytest.param("retinaface", 426_608, id="retinaface: every parameter of the checkpoint"),
        pytest.param("yunet", 53_104, id="yunet: batch norm folded by its makers"),
        pytest.param("age-v1", 2_686_161, id="age-v1: affine layers folded"),
    ],
)
def test_no_parameter_is_left_over(name: str, parameters: int, source_network: Load) -> None:
    assert sum(p.numel() for p in source_network(name).module.parameters()) == parameters


@pytest.mark.parametrize("name", ["age-v1", "gender-v1", "expression-mini-xception", "gender-mini-xception"])
def test_answers_vary(recipe: Recipe, name: str, source_network: Load) -> None:
    """A network fed in the wrong scale gives one constant answer."""
    answers = source_network(name).run(faces_and_noise(recipe, name))["probabilities"]
    assert np.ptp(answers, axis=0).max() > 0.2
