"""Makes tests/fixtures/endless.onnx and greedy.onnx: networks of one face and two shares that no device may wait for.

Run it to make them anew: `python tests/workshop/hostile.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FIXTURES = Path(__file__).parents[1] / "fixtures"


def endless() -> onnx.ModelProto:
    """Loop 2**62 times."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["goes"]), helper.make_node("Add", ["x", "x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, []),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["start"], keepdims=0),
        helper.make_node("Loop", ["trips", "yes", "start"], ["end"], body=body),
    ]
    return _model(nodes, [("trips", np.array(2**62)), ("yes", np.array(True))])


def greedy() -> onnx.ModelProto:
    """Ask for ten gigabytes."""
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["start"], keepdims=0),
        helper.make_node("Expand", ["start", "many"], ["big"]),
        helper.make_node("ReduceMin", ["big"], ["end"], keepdims=0),
    ]
    return _model(nodes, [("many", np.array([2_500_000_000]))])


def _model(nodes: list[onnx.NodeProto], constants: list[tuple[str, np.ndarray]]) -> onnx.ModelProto:
    nodes = [
        *nodes,
        helper.make_node("Mul", ["end", "nothing"], ["zero"]),
        helper.make_node("Add", ["shares", "zero"], ["gender"]),
    ]
    constants = [*constants, ("nothing", np.array(0, np.float32)), ("shares", np.array([[0.4, 0.6]], np.float32))]
    graph = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("gender", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(array, name) for name, array in constants],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    for make in (endless, greedy):
        (FIXTURES / f"{make.__name__}.onnx").write_bytes(make().SerializeToString())
