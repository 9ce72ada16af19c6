"""The layer that a quantized variant gets wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from conftest import SMALL
from onnx import numpy_helper

from converters.building.layer_error import constants, decibels, layers_by_error
from converters.building.parity import picture
from converters.bundles.gates import WorstLayer, check_limits
from converters.export.tflite_weights import shrink_weights
from converters.measurements.trials import read_trials
from converters.recipes.reading import read_network, read_recipe
from converters.recipes.schema import Recipe
from edgeface.bundle import Bundle
from edgeface.errors import EdgefaceError
from edgeface.runtime import to_tensor


@pytest.fixture(scope="module")
def face(recipe: Recipe) -> np.ndarray:
    network = read_network(SMALL)[1]
    shape = (1, network.input.height or 0, network.input.width or 0)
    return to_tensor(picture(network, recipe, shape), network.input, "NHWC")


def test_decibels() -> None:
    values = np.array([3.0, -4.0], np.float32)
    assert decibels(values, values) == 200
    assert decibels(values, np.zeros(2, np.float32)) == 0
    assert decibels(values, values * np.float32(1.1)) == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize(("runtime", "suffix"), [("onnx", "onnx"), ("litert", "tflite")])
def test_int8_files_are_compared_layer_by_layer(
    face: np.ndarray, small_file: Callable[[str, str], Path], runtime: str, suffix: str
) -> None:
    feeds = {"input": np.ascontiguousarray(face.transpose(0, 3, 1, 2))} if runtime == "onnx" else {"args_0": face}
    plain, small = (small_file(precision, suffix) for precision in ("fp32", "int8"))
    layers = layers_by_error(plain, small, runtime, feeds)  # type: ignore[arg-type]
    assert len(layers) >= 5
    assert [layer.decibels for layer in layers] == sorted(layer.decibels for layer in layers)
    assert 5 < layers[0].decibels < 45
    assert all(layer.decibels == 200 for layer in layers_by_error(plain, plain, runtime, feeds))  # type: ignore[arg-type]


def test_weights_take_no_blame(face: np.ndarray, small_file: Callable[[str, str], Path], tmp_path: Path) -> None:
    """Small weights differ from large ones, but they are no layer."""
    plain, small = small_file("fp32", "tflite"), tmp_path / "small.tflite"
    shrink_weights(plain, "int8w", small)
    named = {layer.name for layer in layers_by_error(plain, small, "litert", {"args_0": face})}
    stored = constants(plain.read_bytes())
    assert len(named) >= 5
    assert len(stored) >= 5
    assert not named & stored


def test_a_spoiled_layer_comes_first(face: np.ndarray, small_file: Callable[[str, str], Path], tmp_path: Path) -> None:
    plain = small_file("fp32", "onnx")
    model = onnx.load(plain)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    spoiled = convolutions[2]
    (weight,) = [tensor for tensor in model.graph.initializer if tensor.name == spoiled.input[1]]
    rough = np.sign(numpy_helper.to_array(weight)) * np.float32(0.02)
    weight.CopyFrom(numpy_helper.from_array(rough, weight.name))
    onnx.save(model, tmp_path / "spoiled.onnx")
    feeds = {"input": np.ascontiguousarray(face.transpose(0, 3, 1, 2))}
    layers = {layer.name: layer.decibels for layer in layers_by_error(plain, tmp_path / "spoiled.onnx", "onnx", feeds)}
    assert layers[convolutions[1].output[0]] == 200
    assert layers[spoiled.output[0]] < 15


def test_a_build_that_loses_too_much_says_where(classic_files: Bundle) -> None:
    recipe, entries = read_recipe("classic"), list(classic_files.manifest.networks)
    trials = [msgspec.structs.replace(trial, within=False) for trial in read_trials() if trial.network == SMALL]
    blame = WorstLayer(recipe, entries, dict.fromkeys(recipe.networks, classic_files.folder))
    with pytest.raises(EdgefaceError, match=rf"{SMALL} onnx int8 loses .*, most at \S+ \(-?[\d.]+ dB\); run `python"):
        check_limits(recipe, trials, entries, blame)
