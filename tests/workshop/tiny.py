"""A network of 1,536 numbers that nobody trained, as an ONNX file with its recipe: it converts in seconds."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

RECIPE = """
task = "gender"
title = "A made network"
paper = "none"
licence = "CC0-1.0"
training_data = "none"
limits = "Nothing."
files = { onnx = ["fp32", "int8w"] }
measured_with = ["yunet"]

[source]
registry = "file"
path = "made.onnx"

[input]
color = "rgb"
mean = [127.5, 127.5, 127.5]
scale = 0.01
height = 16
width = 16

[input.crop]
kind = "square"

[head]
kind = "categorical"
output = "probabilities"
labels = ["female", "male"]

[variants.turned]
head.labels = ["male", "female"]
"""


def write_tiny(folder: Path) -> Path:
    """Write ``made.onnx`` and ``tiny.toml``, its recipe, whose path is returned."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, (768, 2), [((i * 7) % 13 - 6) / 500 for i in range(1536)])
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["said"]),
        helper.make_node("Softmax", ["said"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ("n", 3, 16, 16))],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ("n", 2))],
        [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "made.onnx")
    recipe = folder / "tiny.toml"
    recipe.write_text(RECIPE, "utf-8")
    return recipe
