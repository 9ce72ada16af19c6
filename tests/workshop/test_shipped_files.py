"""Every file of the bundle against the source network it was made from, at every size that a device may ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer.utils import tfl_flatbuffer_utils

from converters.building.parity import difference, picture, prepared_shapes
from converters.export.to_onnx import IR_VERSION, OPSET
from converters.paths import BUNDLE, ROOT
from converters.recipes.reading import read_recipe
from converters.references.torch_module import TorchReference
from edgeface.bundle import Network, NetworkFile, open_bundle
from edgeface.runtime import Runner, load_network, to_tensor

Load = Callable[[str], TorchReference]
RECIPE = read_recipe()
ODD_SIZES = ((32, 32), (1024, 32), (96, 672), (1024, 768))
FP32_TOLERANCE = 2e-5
"""Largest difference as a share of an output's largest value; float sums in another order."""


def files() -> Iterator[tuple[Network, NetworkFile]]:
    for network in open_bundle(BUNDLE).manifest.networks:
        for kind in network.files.values():
            for file in kind:
                yield network, file


FILES = [pytest.param(n, f, id=f.path) for n, f in files()]
ATTRIBUTE_FILES = [pytest.param(n, f, id=f.path) for n, f in files() if n.task != "detect"]
ONNX_FILES = [pytest.param(n, f, id=f.path) for n, f in files() if f.runtime == "onnx"]
TFLITE_FILES = [pytest.param(n, f, id=f.path) for n, f in files() if f.runtime == "litert"]


def shapes(network: Network, file: NetworkFile) -> list[tuple[int, int, int]]:
    """Batch, height, width of every shape that a device prepares, and odd ones where they are free."""
    found = list(prepared_shapes(RECIPE, network, file))
    if file.runtime == "onnx":
        free = [(1, height, width) for width, height in ODD_SIZES] + [(3, 64, 96)]
        found += free if network.task == "detect" else [(3, *found[0][1:])]
    return found


def pictures(network: Network, shape: tuple[int, int, int]) -> np.ndarray:
    return picture(RECIPE.networks[network.name], RECIPE, shape)


@cache
def runner(path: str) -> Runner:
    network, file = next((n, f) for n, f in files() if f.path == path)
    return load_network(open_bundle(BUNDLE), network, file.runtime, precision=file.precision, threads=2)


@pytest.mark.parametrize(("network", "file"), FILES)
def test_parity_with_the_source_at_every_shape(network: Network, file: NetworkFile, source_network: Load) -> None:
    reference = source_network(RECIPE.argument(network.name))
    allowed = FP32_TOLERANCE if file.precision == "fp32" else file.tolerance
    for shape in shapes(network, file):
        pixels = pictures(network, shape)
        expected = reference.run(to_tensor(pixels, network.input, "NCHW"))
        got = runner(file.path).run(np.ascontiguousarray(to_tensor(pixels, network.input, file.layout)))
        assert set(got) == set(reference.outputs)
        for name in reference.outputs:
            off = difference(got[name], expected[name], file.precision)
            assert off <= allowed, f"{name} at {shape} is off by {off:.6f}"


@pytest.mark.parametrize(("network", "file"), ATTRIBUTE_FILES)
def test_one_face_gets_the_same_answer_in_every_batch(network: Network, file: NetworkFile) -> None:
    """Signatures share their weights and biases: none may be left with another's."""
    eight = to_tensor(
        pictures(network, (8, network.input.height or 0, network.input.width or 0)), network.input, file.layout
    )
    for output in file.outputs:
        answers = [
            np.concatenate(
                [runner(file.path).run(np.ascontiguousarray(eight[i : i + n]))[output] for i in range(0, 8, n)]
            )
            for n in file.batches
        ]
        for other in answers[1:]:
            np.testing.assert_allclose(other, answers[0], atol=2e-5)
        assert np.ptp(answers[0], axis=0).max() > 0.01, "answers do not vary"


@pytest.mark.parametrize(("network", "file"), ONNX_FILES)
def test_onnx_files_are_plain(network: Network, file: NetworkFile) -> None:
    """Opset and IR for the oldest runtime, named free sizes, and nothing of the workstation in them."""
    data = (BUNDLE / file.path).read_bytes()
    model = onnx.load_from_string(data)
    assert model.ir_version <= IR_VERSION
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    sizes = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    if network.task == "detect":
        assert sizes == ["batch", 3, "height", "width"]
    else:
        assert sizes == ["batch", RECIPE.networks[network.name].channels, network.input.height, network.input.width]
    assert not model.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    for word in (str(ROOT).encode(), str(Path.home()).encode(), b"/usr/", b"site-packages", b".py"):
        assert word not in data
    assert Counter(node.op_type for node in model.graph.node)["PRelu"] == 0


@pytest.mark.parametrize(("network", "file"), TFLITE_FILES)
def test_tflite_files_are_plain(network: Network, file: NetworkFile) -> None:
    data = (BUNDLE / file.path).read_bytes()
    for word in (str(ROOT).encode(), str(Path.home()).encode(), b"/usr/", b"site-packages", b".py"):
        assert word not in data
    for operators in tflite_operators(file.path):
        count = Counter(operators)
        assert count["PRELU"] == 0
        assert count["TRANSPOSE"] <= 1, "the layout is channel-last throughout (one before a spatial mean is free)"
        if file.precision == "fp32":
            assert count["DEQUANTIZE"] + count["QUANTIZE"] == 0
        if file.precision == "int8":
            softmax = count["SOFTMAX"]
            outputs = len(file.outputs)
            # One at each end, and around a softmax that stays in float; more would be islands of float.
            assert count["DEQUANTIZE"] <= max(outputs, softmax)
            assert count["QUANTIZE"] <= 1 + count["CONCATENATION"] * 3


def tflite_operators(path: str) -> list[list[str]]:
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    model = tfl_flatbuffer_utils.read_model(str(BUNDLE / path))
    codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    return [[codes[operator.opcodeIndex] for operator in graph.operators] for graph in model.subgraphs]
