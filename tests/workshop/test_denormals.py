"""No stored value, and no product of a stored value with what it meets, is so small that a CPU slows down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tiny import write_tiny

from converters.building.layer_error import onnx_tensors
from converters.building.maker import Maker
from converters.building.parity import feeds
from converters.checkpoints.tflite_buffers import read_buffers
from converters.export.denormals import LEAST, clear_module, clear_onnx, clear_tflite
from converters.export.weights import quantize_per_channel
from converters.formats.onnx_graph import stored_tensors
from converters.paths import BUNDLE
from converters.recipes.reading import read_recipe
from edgeface.bundle import Network, NetworkFile, open_bundle
from edgeface.types import F32

SMALLEST = float(np.finfo(np.float32).tiny)
FILES = [
    (network, file)
    for network in open_bundle(BUNDLE).manifest.networks
    for files in network.files.values()
    for file in files
]
SHIPPED = [pytest.param(network, file, id=file.path) for network, file in FILES]
FLOAT_ONNX = [
    pytest.param(network, file, id=file.path)
    for network, file in FILES
    if file.runtime == "onnx" and file.precision != "int8"
]


def smallest(values: F32) -> float:
    """Least magnitude that is not zero; infinite where there is none."""
    magnitudes = np.abs(values[values != 0])
    return float(magnitudes.min(initial=np.inf))


def test_small_values_of_a_module_become_zero_and_others_stay() -> None:
    module = torch.nn.BatchNorm1d(4)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([1e-20, -1e-30, 2e-15, -3.0]))
        module.running_mean.copy_(torch.tensor([0.0, 1e-16, 1.0, -1e-40]))
    clear_module(module)
    assert module.weight.tolist() == pytest.approx([0, 0, 2e-15, -3.0], rel=1e-6, abs=0)
    assert module.running_mean.tolist() == [0, 0, 1, 0]
    assert module.num_batches_tracked.dtype == torch.int64


def test_small_values_of_an_onnx_file_become_zero_and_integers_stay() -> None:
    tensors = [
        numpy_helper.from_array(np.array([1e-20, 0.5, -1e-38], np.float32), "w"),
        numpy_helper.from_array(np.array([1, 0, 2], np.int64), "shape"),
    ]
    graph = helper.make_graph([], "g", [], [], tensors)
    cleared = clear_onnx(helper.make_model(graph))
    assert [numpy_helper.to_array(t).tolist() for t in cleared.graph.initializer] == [[0, 0.5, 0], [1, 0, 2]]


def test_small_values_of_constants_and_of_inner_graphs_become_zero() -> None:
    small = numpy_helper.from_array(np.array([1e-20, 0.5], np.float32), "small")
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=small)], "inner", [], [], [small])
    nodes = [
        helper.make_node("Constant", [], ["w"], value=small),
        helper.make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=inner),
    ]
    model = clear_onnx(helper.make_model(helper.make_graph(nodes, "g", [], [])))
    stored = [numpy_helper.to_array(tensor).tolist() for tensor in stored_tensors(model.graph)]
    assert stored == 5 * [[0, 0.5]]


def test_a_tflite_file_without_small_values_keeps_its_bytes() -> None:
    data = (BUNDLE / "yunet.fp32.tflite").read_bytes()
    assert clear_tflite(data) == data


def test_small_values_of_a_tflite_file_become_zero_in_place(small_file: Callable[[str, str], Path]) -> None:
    plain = small_file("fp32", "tflite").read_bytes()
    name, stored = max(read_buffers(plain).items(), key=lambda pair: pair[1].size)
    values = np.where(np.abs(stored) < np.quantile(np.abs(stored), 0.01), np.float32(0), stored)
    data = plain.replace(stored.tobytes(), values.tobytes())
    spoilt = plain.replace(stored.tobytes(), np.where(values == 0, np.float32(1e-25), values).tobytes())
    assert spoilt != data
    cleared = clear_tflite(spoilt)
    assert cleared == data
    np.testing.assert_array_equal(read_buffers(cleared)[name], values)


def test_a_channel_of_tiny_values_gets_no_tiny_scale() -> None:
    whole, scales = quantize_per_channel(np.array([[1.27, -0.5], [1e-14, 5e-15], [0, 0]], np.float32), 0)
    assert whole.tolist() == [[127, -50], [0, 0], [0, 0]]
    assert scales.tolist() == pytest.approx([0.01, 1, 1])


def test_an_imported_file_is_cleared_and_answers_as_before(tmp_path: Path) -> None:
    recipe = write_tiny(tmp_path)
    model = onnx.load(tmp_path / "made.onnx")
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights[weights == 0] = 1e-22
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))
    onnx.save(model, tmp_path / "made.onnx")
    made = Maker("tiny", read_recipe(str(recipe)), products=tmp_path / "made").file("onnx", "fp32")
    stored = [numpy_helper.to_array(t) for t in onnx.load(made).graph.initializer if t.data_type == TensorProto.FLOAT]
    assert min(smallest(values) for values in stored) >= LEAST


@pytest.mark.parametrize(("network", "file"), SHIPPED)
def test_no_shipped_file_stores_such_a_value(network: Network, file: NetworkFile) -> None:
    data = (BUNDLE / file.path).read_bytes()
    if file.runtime == "litert":
        stored = read_buffers(data)
    else:
        model = onnx.load_from_string(data)
        stored = {
            tensor.name: numpy_helper.to_array(tensor)
            for tensor in stored_tensors(model.graph)
            if tensor.data_type == TensorProto.FLOAT
        }
    assert {name: least for name, values in stored.items() if (least := smallest(values)) < LEAST} == {}


@pytest.mark.parametrize(("network", "file"), FLOAT_ONNX)
def test_no_product_in_a_shipped_network_is_denormal(network: Network, file: NetworkFile) -> None:
    """Weights times what meets them in the self-test: small values may also be made inside, layer after layer."""
    path = BUNDLE / file.path
    fed = feeds(read_recipe(), network, file)
    values = {**onnx_tensors(path, fed), **fed}
    model = onnx.load(path)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    checked = 0
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        met = values[node.input[0]]
        weights = stored[node.input[1]] if node.input[1] in stored else values[node.input[1]]
        product = smallest(met) * smallest(weights)
        assert product >= SMALLEST, f"{node.name}: {smallest(met):g} times {smallest(weights):g}"
        checked += 1
    assert checked > 5
