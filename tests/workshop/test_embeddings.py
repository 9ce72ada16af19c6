"""Embedding networks: held to their published files, to ten people, and to the chain."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from modules import run
from tfjs_reference import run_graph

from converters.building.quiet import silence
from converters.building.selftest import selftest_input
from converters.checkpoints.archive import ArchiveError, read_source
from converters.datasets.labelled import data_folder, read
from converters.datasets.layouts.pairs import find_pairs
from converters.evaluation.protocols.verification import distances
from converters.export.layers import tflite_operators
from converters.export.to_onnx import export_onnx
from converters.export.to_tflite import export_tflite
from converters.networks.layers import PReLU
from converters.paths import BUNDLE
from converters.recipes.reading import read_network
from converters.recipes.schema import NetworkRecipe, Recipe
from converters.references.torch_module import load_module
from edgeface.bundle import EmbeddingHead, LandmarkCrop, open_bundle
from edgeface.bundle import Signature as Shape
from edgeface.config import Config
from edgeface.crop import cut
from edgeface.engine.networks import Networks
from edgeface.errors import UsageError
from edgeface.runtime import to_tensor

SIDE = 112
POINTS = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""The usual places of eyes, nose and mouth corners on a chip of 112 pixels."""
BOTH = ["mobile-face-net", pytest.param("mobile-face", marks=pytest.mark.large)]


@cache
def with_weights(name: str) -> tuple[NetworkRecipe, Any, bytes, dict[str, bytes]]:
    """A recipe, its torch module, the checkpoint and its companions; skips where the archive is not to be had."""
    _, network = read_network(name)
    assert network.source is not None
    try:
        return network, load_module(network), *read_source(network.source)
    except ArchiveError as error:
        pytest.skip(f"the pinned archive is not to be had: {error}")


def face_and_noise(network: NetworkRecipe, recipe: Recipe) -> torch.Tensor:
    """The self-test's face and noise, as the network's input (2, 3, 112, 112)."""
    face = selftest_input(network, recipe.selftest)
    noise = np.random.default_rng(3).integers(0, 256, face.shape, dtype=np.uint8)
    return torch.from_numpy(to_tensor(np.concatenate([face, noise]), network.input, "NCHW"))


def test_mobile_face_net_equals_the_original_file(recipe: Recipe) -> None:
    network, module, data, _ = with_weights("mobile-face-net")
    tensor = face_and_noise(network, recipe)
    original = Interpreter(model_content=data, num_threads=1)
    original.allocate_tensors()
    # The file is fixed at two pictures.
    original.set_tensor(original.get_input_details()[0]["index"], tensor.permute(0, 2, 3, 1).contiguous().numpy())
    original.invoke()
    expected = original.get_tensor(original.get_output_details()[0]["index"])
    np.testing.assert_allclose(run(module, tensor)[0].numpy(), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.large
def test_mobile_face_equals_the_original_graph(recipe: Recipe) -> None:
    network, module, data, companions = with_weights("mobile-face")
    tensor = face_and_noise(network, recipe)
    (shard,) = companions.values()
    # The graph scales the pixels itself.
    values = run_graph(data, shard, tensor / network.input.scales[0] + network.input.means[0])
    expected = values["batchnorm0/add_1"]
    torch.testing.assert_close(run(module, tensor)[0], expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("name", BOTH)
def test_the_crop_is_the_usual_template(name: str) -> None:
    crop = with_weights(name)[0].input.crop
    assert isinstance(crop, LandmarkCrop)
    np.testing.assert_allclose(np.array(crop.template) * SIDE, POINTS, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "rejected", "accepted"),
    [("mobile-face-net", 0.0133, 0.0011), pytest.param("mobile-face", 0.147, 0.092, marks=pytest.mark.large)],
)
def test_the_threshold_gives_the_errors_that_the_recipe_names(name: str, rejected: float, accepted: float) -> None:
    """4,950 pairs of ten men: 450 of one man, 4,500 of two."""
    network, module, _, _ = with_weights(name)
    assert isinstance(network.head, EmbeddingHead)
    try:
        pairs = find_pairs(data_folder() / "lfw_small").pairs
    except UsageError as error:
        pytest.skip(str(error))
    bundle = open_bundle(BUNDLE)
    detector = bundle.network(bundle.manifest.defaults["detect"])
    networks = Networks(bundle, Config(), still=True)
    row: dict[Path, int] = {}
    chips = []
    for path in dict.fromkeys(path for pair in pairs for path in (pair.first, pair.second)):
        image = read(path)
        found = networks.detect(image, min_score=0.5)
        # The person that is meant stands in the middle.
        middle = int(np.abs(found.boxes[:, :2] + found.boxes[:, 2:] - image.shape[0]).sum(axis=1).argmin())
        assert found.landmarks is not None
        offsets = detector.landmarks_to_reference
        chips.append(cut(image, found.boxes[middle], found.landmarks[middle], network.input, offsets=offsets))
        row[path] = len(row)
    tensor = torch.from_numpy(to_tensor(np.stack(chips), network.input, "NCHW"))
    vectors = torch.nn.functional.normalize(torch.cat([run(module, part)[0] for part in tensor.split(20)])).numpy()
    cosine, _ = distances(vectors, [(row[pair.first], row[pair.second]) for pair in pairs])
    same = np.array([pair.same for pair in pairs])
    assert float((cosine[same] > network.head.threshold).mean()) == pytest.approx(rejected, abs=0.003)
    assert float((cosine[~same] <= network.head.threshold).mean()) == pytest.approx(accepted, abs=0.003)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BOTH)
def test_both_runtimes_answer_as_torch(name: str, recipe: Recipe, tmp_path: Path) -> None:
    network, module, _, _ = with_weights(name)
    tensor = face_and_noise(network, recipe)
    expected = run(module, tensor)[0].numpy()
    path = tmp_path / "network.tflite"
    with silence():
        model = export_onnx(module, (3, SIDE, SIDE), module.outputs)
        export_tflite(module, (3, SIDE, SIDE), [Shape(key="b2", batch=2, width=SIDE, height=SIDE)], path)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = Interpreter(str(path)).get_signature_runner("b2")(args_0=tensor.permute(0, 2, 3, 1).contiguous().numpy())
    allowed = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(session.run(None, {"input": tensor.numpy()})[0], expected, atol=allowed)
    np.testing.assert_allclose(found["output_0"], expected, atol=allowed)
    (operators,) = tflite_operators(path)
    kinds = [operator.kind for operator in operators]
    small = sum(isinstance(layer, PReLU) and layer.at_most_one for layer in module.modules())
    assert kinds.count("MAXIMUM") == small
    assert not {"RELU", "SUB", "PRELU", "NEG"} & set(kinds)
    assert "PRelu" not in {node.op_type for node in model.graph.node}
