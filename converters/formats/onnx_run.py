"""ONNX files run on noise: what the workshop compares two of them by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from converters.formats.onnx_graph import example_shape, real_inputs
from edgeface.types import F32

TOLERANCE = 1e-4
"""Largest difference to the file as it came, as a share of its largest output."""


def sample(model: ModelProto, *, seed: int = 0) -> dict[str, Any]:
    """Noise for everything that is fed, free sides filled in: floats from -1 to 1, whole numbers 0 or 1.

    The noise of an input depends on its place and shape, not on the other inputs.
    """
    arrays = {}
    for place, value in enumerate(real_inputs(model.graph)):
        kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        noise = np.random.default_rng([seed, place]).uniform(-1, 1, example_shape(value))
        arrays[value.name] = (noise if np.issubdtype(kind, np.floating) else noise > 0).astype(kind)
    return arrays


def run(session: Any, fed: Mapping[str, Any]) -> list[F32]:
    """Outputs of an ONNX Runtime session in their order."""
    return list(session.run(None, dict(fed)))


def open_session(model: ModelProto) -> Any:
    """ONNX Runtime's session of a model, one thread, silent."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def same(expected: list[F32], got: list[F32], *, tolerance: float = TOLERANCE) -> bool:
    """Whether outputs agree in number, shape, and in value within a share of the largest."""
    if [array.shape for array in expected] != [array.shape for array in got]:
        return False
    pairs = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(expected, got, strict=True)]
    return all(np.abs(a - b).max(initial=0) <= tolerance * max(1.0, np.abs(a).max(initial=0)) for a, b in pairs)
