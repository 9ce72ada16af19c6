"""Weights out of an ONNX file: its initialisers by name; the graph is written anew as a torch module."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx.numpy_helper

from edgeface.types import F32


def read_initializers(data: bytes) -> Mapping[str, F32]:
    """Floating-point initialisers by name, as float32 in their own shape."""
    model = onnx.load_from_string(data)
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return {name: array.astype(np.float32) for name, array in arrays.items() if array.dtype.kind == "f"}
