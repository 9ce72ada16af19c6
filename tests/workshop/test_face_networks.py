"""Networks of expression, gender, valence and arousal: held to their sources, their published sizes and the chain."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from keras_mobilenet import keras_mobilenet
from keras_reference import run_keras
from modules import run, seeded
from torch.nn import functional as fn

from converters.building.quiet import silence
from converters.building.selftest import selftest_input
from converters.checkpoints.archive import ArchiveError, read_source
from converters.checkpoints.keymap import load_weights
from converters.checkpoints.reading import read_tensors
from converters.datasets.labelled import chips, data_folder
from converters.export.to_onnx import export_onnx
from converters.formats.errors import CheckpointError
from converters.networks import make_network
from converters.recipes.reading import list_variants, read_network
from converters.recipes.schema import NetworkRecipe, Recipe
from converters.references.torch_module import load_module
from edgeface.bundle import AffectHead, CategoricalHead
from edgeface.errors import UsageError
from edgeface.runtime import to_tensor

RECIPES = (
    "expression-mini-xception-48",
    "expression-big-xception",
    "expression-simple-cnn",
    "gender-simple-cnn",
    "expression-plain-cnn",
    "expression-vgg",
    "mobilenet-v1",
)
RNG = np.random.default_rng(8)


def with_weights(name: str) -> tuple[NetworkRecipe, Any, bytes]:
    """A recipe, its torch module and the checkpoint; skips where the archive is not to be had."""
    _, network = read_network(name)
    assert network.source is not None
    try:
        return network, load_module(network), read_source(network.source)[0]
    except ArchiveError as error:
        pytest.skip(f"the pinned archive is not to be had: {error}")


def faces_and_noise(network: NetworkRecipe, recipe: Recipe) -> np.ndarray:
    """The self-test's face, a darker and a mirrored one, and noise, as the network's input (N, C, H, W)."""
    face = selftest_input(network, recipe.selftest)
    noise = RNG.integers(0, 256, (2, *face.shape[1:]), dtype=np.uint8)
    pixels = np.concatenate([face, face // 2, face[:, :, ::-1], noise])
    return to_tensor(pixels, network.input, "NCHW")


@pytest.mark.large
@pytest.mark.parametrize(
    "name",
    [
        "expression-mini-xception-48",
        "expression-big-xception",
        "expression-simple-cnn",
        "expression-simple-cnn@e530",
        "gender-simple-cnn",
    ],
)
def test_equal_to_the_keras_graph_read_layer_by_layer(name: str, recipe: Recipe) -> None:
    network, module, data = with_weights(name)
    tensor = faces_and_noise(network, recipe)
    (expected,) = run_keras(data, tensor.transpose(0, 2, 3, 1)).values()
    np.testing.assert_allclose(run(module, torch.from_numpy(tensor))[0].numpy(), expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.2, "a network fed in the wrong scale gives one constant answer"


@pytest.mark.large
def test_big_xception_as_a_graph_is_the_same_training(recipe: Recipe) -> None:
    network, graph, _ = with_weights("expression-big-xception@graph")
    _, keras, _ = with_weights("expression-big-xception")
    tensor = torch.from_numpy(faces_and_noise(network, recipe))
    torch.testing.assert_close(run(graph, tensor)[0], run(keras, tensor)[0], atol=1e-5, rtol=0)


def test_plain_cnn_equals_its_makers_code(recipe: Recipe) -> None:
    network, module, data = with_weights("expression-plain-cnn")
    w = {name: torch.from_numpy(array) for name, array in read_tensors(data, "a.pth").items()}
    x = tensor = torch.from_numpy(faces_and_noise(network, recipe))
    for layer in ("conv1", "conv2", "conv3"):
        x = fn.max_pool2d(fn.relu(fn.conv2d(x, w[f"{layer}.weight"], w[f"{layer}.bias"])), 2)
    x = fn.relu(fn.linear(x.flatten(1), w["fc1.weight"], w["fc1.bias"]))
    expected = fn.softmax(fn.linear(x, w["fc2.weight"], w["fc2.bias"]), dim=1)
    torch.testing.assert_close(run(module, tensor)[0], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.large
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "accuracy"),
    [
        ("expression-simple-cnn", 0.646),
        ("expression-simple-cnn@e530", 0.639),
        ("expression-mini-xception-48", 0.634),
        ("expression-big-xception", 0.656),
        ("expression-plain-cnn", 0.572),
    ],
)
def test_accuracy_on_the_public_test(name: str, accuracy: float) -> None:
    """All 3,589 pictures of FER-2013's PublicTest, the whole chip as the crop; known to a tenth of a point or two."""
    network, module, _ = with_weights(name)
    assert isinstance(network.head, CategoricalHead)
    try:
        faces = list(chips(data_folder(), "fer2013", "publictest"))
    except UsageError as error:
        pytest.skip(str(error))
    size = (network.input.width, network.input.height)
    grey = [cv2.resize(cv2.cvtColor(face.image, cv2.COLOR_BGR2GRAY), size)[..., None] for face in faces]
    tensor = torch.from_numpy(to_tensor(np.stack(grey), network.input, "NCHW"))
    said = torch.cat([run(module, part)[0].argmax(1) for part in tensor.split(128)]).numpy()
    truth = np.array([network.head.labels.index(face.labels["emotion"]) for face in faces])
    assert float((said == truth).mean()) == pytest.approx(accuracy, abs=0.0015)


@pytest.mark.parametrize(
    ("alpha", "millions"),
    [(0.25, "0.222"), (0.35, "0.419"), (0.5, "0.836"), (0.75, "1.843"), (1.0, "3.243"), (1.4, "6.288")],
)
def test_mobilenet_has_the_published_size(alpha: float, millions: str) -> None:
    """Keras counts the running mean and variance of a batch norm as parameters; the digits are cut, not rounded."""
    held = seeded("mobilenet_v1", alpha=alpha, heads="both").state_dict()
    count = sum(values.numel() for values in held.values() if values.is_floating_point())
    assert f"{count // 1000 / 1000:.3f}" == millions


@pytest.mark.parametrize(
    ("family", "options", "parameters"),
    [
        # Less what a batch norm keeps beside an offset per channel: 206,375 less 1,248; 641,463 and 631,506 less 1,472.
        pytest.param("big_xception", {}, 205_127, id="big Xception"),
        pytest.param("vgg48", {"form": "averaged"}, 639_991, id="simple CNN: expression"),
        pytest.param("vgg48", {"form": "averaged", "labels": 2, "channels": 3}, 630_034, id="simple CNN: gender"),
        pytest.param("vgg48", {"form": "vgg"}, 11_639_239, id="VGG-style"),
        pytest.param("mini_xception", {"stem": 5, "halvings": 3}, 55_969, id="mini-Xception on 48 pixels"),
    ],
)
def test_parameters(family: str, options: dict[str, Any], parameters: int) -> None:
    assert sum(p.numel() for p in seeded(family, **options).parameters()) == parameters


HEADS = {
    "both": {"dense": (8, "softmax"), "dense_1": (2, "tanh")},
    "expression": {"dense_4": (8, "softmax")},
    "affect": {"dense": (2, "tanh")},
}


@pytest.mark.parametrize("heads", HEADS)
def test_mobilenet_equals_a_keras_file_of_itself(heads: str) -> None:
    data = keras_mobilenet(0.25, 96, HEADS[heads], norm="batch_normalization_3")
    module = make_network("mobilenet_v1", {"alpha": 0.25, "heads": heads, "side": 96})
    load_weights(module, "mobilenet_v1", "keras", read_tensors(data, "own.hdf5"))
    x = RNG.uniform(-1, 1, (2, 3, 96, 96)).astype(np.float32)
    expected = list(run_keras(data, x.transpose(0, 2, 3, 1)).values())
    answers = run(module, torch.from_numpy(x))
    assert len(answers) == len(expected) == len(module.outputs)
    for answer, wanted in zip(answers, expected, strict=True):
        np.testing.assert_allclose(answer.numpy(), wanted, atol=1e-5)
        assert np.abs(wanted[0] - wanted[1]).max() > 1e-3


def test_mobilenet_of_another_width_is_told_apart() -> None:
    data = keras_mobilenet(0.25, 32, HEADS["affect"], norm="batch_normalization")
    module = make_network("mobilenet_v1", {"alpha": 0.5, "heads": "affect"})
    with pytest.raises(CheckpointError, match="conv1/kernel"):
        load_weights(module, "mobilenet_v1", "keras", read_tensors(data, "own.hdf5"))


def test_mobilenet_refuses_a_side_that_keras_pads_elsewhere() -> None:
    with pytest.raises(UsageError, match="no multiple of 32"):
        make_network("mobilenet_v1", {"side": 100})


@pytest.mark.parametrize("name", [n + v for n in RECIPES for v in ("", *(f"@{x}" for x in list_variants(n)))])
def test_a_recipe_and_its_network_agree(name: str) -> None:
    _, network = read_network(name)
    assert network.family is not None
    module = seeded(network.family, **network.options)
    assert (network.input.height, network.input.width) in ((48, 48), (64, 64), (96, 96), (224, 224))
    answers = run(module, torch.zeros(1, network.channels, network.input.height, network.input.width))
    values = dict(zip(module.outputs, (tuple(answer.shape) for answer in answers), strict=True))
    asked = {}
    for head in (network.head, *network.also.values()):
        assert isinstance(head, CategoricalHead | AffectHead)
        asked[head.output] = (1, len(head.labels) if isinstance(head, CategoricalHead) else 2)
    assert values == asked


def test_only_the_batch_norm_before_the_heads_is_left_for_the_runtimes() -> None:
    module = seeded("mobilenet_v1", alpha=0.25, side=64)
    with silence():
        model = export_onnx(module, (3, 64, 64), module.outputs)
    left = [list(node.input) for node in model.graph.node if node.op_type == "BatchNormalization"]
    assert [names[1] for names in left] == ["norm.weight"]
