"""Average pools of int8 files as depthwise convolutions: the same answers, and only where both sides are quantized."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from converters.export.pools import pools_to_convolutions
from converters.export.quantize_onnx import calibrate_onnx, quantize_onnx
from converters.export.to_onnx import export_onnx
from edgeface.types import F32

STEP = 0.03


def graph_of(channels: int, side: int, **pool: object) -> ModelProto:
    """Quantize, pool, quantize again: what stands around a pool in an int8 file."""
    scale = numpy_helper.from_array(np.array(STEP, np.float32), "scale")
    zero = numpy_helper.from_array(np.array(7, np.uint8), "zero")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("AveragePool", ["d"], ["p"], name="pool", **{"kernel_shape": [2, 2], **pool}),
        helper.make_node("QuantizeLinear", ["p", "scale", "zero"], ["pq"]),
        helper.make_node("DequantizeLinear", ["pq", "scale", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pool",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", channels, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [scale, zero],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def answer(model: ModelProto, x: F32, *, fused: bool = True) -> F32:
    options = onnxruntime.SessionOptions()
    if not fused:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: F32 = session.run(None, {session.get_inputs()[0].name: x})[0]
    return found


def kinds(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("side", "pool"),
    [(8, {"strides": [2, 2]}), (9, {"strides": [2, 2]}), (8, {}), (9, {"kernel_shape": [3, 3], "strides": [3, 3]})],
    ids=["halved", "odd", "every pixel", "3x3"],
)
def test_a_quantized_pool_answers_as_before(side: int, pool: dict[str, object], batch: int) -> None:
    x = np.random.default_rng(3).uniform(-0.2, 7.4, (batch, 16, side, side)).astype(np.float32)
    before = graph_of(16, side, **pool)
    after = pools_to_convolutions(graph_of(16, side, **pool))
    assert "AveragePool" not in kinds(after)
    assert kinds(after).count("Conv") == 1
    # Of four values with one scale every fourth mean lies halfway between two steps: either is right.
    apart = np.abs(answer(after, x) - answer(before, x)) / STEP
    assert apart.max() < 1.01
    assert (apart > 0.5).mean() < 0.3
    del before.graph.node[-2:]
    before.graph.output[0].name = "p"
    assert np.abs(answer(after, x) - answer(before, x)).max() < 0.501 * STEP


@pytest.mark.parametrize(
    "pool",
    [{"pads": [0, 0, 1, 1]}, {"auto_pad": "SAME_UPPER"}, {"ceil_mode": 1, "strides": [2, 2]}],
    ids=["padded", "padded by name", "rounded up"],
)
def test_a_pool_whose_windows_leave_the_picture_stays(pool: dict[str, object]) -> None:
    assert pools_to_convolutions(graph_of(4, 9, **pool)) == graph_of(4, 9, **pool)


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_pool_with_a_float_side_stays(side: str) -> None:
    model = graph_of(4, 8)
    if side == "before":
        model.graph.node[2].input[0] = "x"
    else:
        model.graph.node.append(helper.make_node("Relu", ["p"], ["z"]))
    assert "Conv" not in kinds(pools_to_convolutions(model))


class Halved(nn.Module):
    """A residual stage that halves its picture by the mean, as the networks that ship have it."""

    outputs = ("y",)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(nn.functional.avg_pool2d(torch.relu(self.first(x)), 2))
        return found


def test_int8_files_have_no_average_pool_left() -> None:
    torch.manual_seed(1)
    model = export_onnx(Halved().eval(), (3, 16, 16), Halved.outputs)
    dice = np.random.default_rng(1)
    pictures = [dice.uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32) for _ in range(8)]
    assert "AveragePool" in kinds(model)
    whole = quantize_onnx(model, calibrate_onnx(model, pictures, "minmax"))
    assert "AveragePool" not in kinds(whole)
    expected = answer(model, pictures[0])
    # Not fused into integer kernels: without VNNI those of the other convolutions saturate, 0.12 off.
    assert np.abs(answer(whole, pictures[0], fused=False) - expected).max() < 0.05 * np.abs(expected).max()
    kept = quantize_onnx(model, calibrate_onnx(model, pictures, "minmax"), keep=("first", "last"))
    assert "Conv" in kinds(kept)
