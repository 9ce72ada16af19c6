"""Weights out of an ONNX file: whatever its graph holds as a constant, by name; the graph itself is not run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto

from converters.checkpoints.widen import widen
from converters.formats.errors import CheckpointError
from converters.formats.onnx_data import read_model
from converters.formats.onnx_graph import constants
from edgeface.errors import first_line
from edgeface.types import F32


def read_constants(
    data: bytes, name: str = "the file", companions: Mapping[str, bytes] | None = None
) -> dict[str, F32]:
    """Floating-point constants by name, as float32 in their own shape.

    A constant that a quantizer stored in fewer bits (behind DequantizeLinear or Cast) stands under the name of the
    widened weight.

    Raises
    ------
    CheckpointError : not an ONNX file, or a file beside it that holds its values is missing (``companions``, by name)
    """
    try:
        graph = read_model(data, name, companions or {}).graph
        stored = constants(graph)
        _widen_all(graph, stored)
    except CheckpointError:
        raise
    except Exception as error:  # protobuf's and numpy_helper's errors have no base in common
        words = first_line(error)
        raise CheckpointError(
            f"{name} is no ONNX file that can be read: {words}", fix="bring a whole file with its values inside"
        ) from None
    return {key: np.asarray(array, np.float32) for key, array in stored.items() if array.dtype.kind == "f"}


def _widen_all(graph: GraphProto, stored: dict[str, Any]) -> None:
    """Replace what feeds a DequantizeLinear or Cast by what comes out of it, unless something else reads it too."""
    readers: dict[str, int] = {}
    for node in graph.node:
        for value in node.input:
            readers[value] = readers.get(value, 0) + 1
    for node in graph.node:
        inputs = [value for value in node.input if value]
        if node.op_type not in {"DequantizeLinear", "Cast"} or not all(value in stored for value in inputs):
            continue
        arrays = [stored[value] for value in inputs]
        stored[node.output[0]] = _dequantized(node, *arrays) if node.op_type == "DequantizeLinear" else arrays[0]
        for value in inputs:
            readers[value] -= 1
            if not readers[value]:
                del stored[value]


def _dequantized(node: NodeProto, values: Any, scales: Any, zeros: Any = None) -> F32:
    given = {attribute.name: attribute.i for attribute in node.attribute}
    if given.get("block_size"):
        raise ValueError(f"{node.output[0]} is quantized in blocks")
    return widen(values, scales, zeros, given.get("axis", 1))
