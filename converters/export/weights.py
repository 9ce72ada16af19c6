"""ONNX variants that keep the arithmetic in fp32 and store the weights smaller."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper
from onnx.helper import make_node

from converters.export.denormals import LEAST
from converters.export.layers import matching, onnx_layers
from edgeface.types import F32

LEAST_VALUES = 512
"""Smaller tensors (biases) stay as they are: their scales would eat the gain."""


def int8_weights(model: ModelProto, keep: Sequence[str] = ()) -> ModelProto:
    """Copy of a model whose large weights are int8 per output channel, behind DequantizeLinear.

    Those of layers (`converters.export.layers`) that a pattern of ``keep`` finds become float16 instead.

    Symmetric, 127 steps to the largest value of a channel. With ``session.disable_quant_qdq`` the session folds the
    weights back to fp32 when it loads, so the speed is that of fp32.
    """
    smaller = _copy(model)
    layers = onnx_layers(model) if keep else {}
    kept = {name for layer in matching(layers, keep) for name in layers[layer]}
    halved = {value for node in model.graph.node if node.name in kept for value in node.input}
    for tensor, axis in _large_weights(smaller):
        array = numpy_helper.to_array(tensor)
        if tensor.name in halved:
            _behind_cast(smaller, tensor)
            continue
        whole, scales = quantize_per_channel(array, axis)
        name = tensor.name
        smaller.graph.initializer.remove(tensor)
        smaller.graph.initializer.extend(
            [
                numpy_helper.from_array(whole, f"{name}.int8"),
                numpy_helper.from_array(scales, f"{name}.scale"),
                numpy_helper.from_array(np.zeros(scales.shape, np.int8), f"{name}.zero"),
            ]
        )
        inputs = [f"{name}.int8", f"{name}.scale", f"{name}.zero"]
        smaller.graph.node.insert(0, make_node("DequantizeLinear", inputs, [name], axis=axis))
    onnx.checker.check_model(smaller, full_check=True)
    return smaller


def fp16_weights(model: ModelProto) -> ModelProto:
    """Copy of a model whose large weights are float16 behind Cast, which a session folds when it loads."""
    smaller = _copy(model)
    for tensor, _ in _large_weights(smaller):
        _behind_cast(smaller, tensor)
    onnx.checker.check_model(smaller, full_check=True)
    return smaller


def quantize_per_channel(array: F32, axis: int) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.int8]], F32]:
    """Symmetric int8 values and one scale per slice of ``axis``; a slice of tiny values is zero, scale one."""
    rest = tuple(i for i in range(array.ndim) if i != axis)
    scales: F32 = (np.abs(array).max(axis=rest) / np.float32(127)).astype(np.float32)
    # The products of a smaller scale would be denormal.
    scales[scales < LEAST] = 1
    shape = [1] * array.ndim
    shape[axis] = -1
    whole = np.clip(np.rint(array / scales.reshape(shape)), -127, 127).astype(np.int8)
    return whole, scales


def _behind_cast(model: ModelProto, tensor: onnx.TensorProto) -> None:
    array, name = numpy_helper.to_array(tensor), tensor.name
    model.graph.initializer.remove(tensor)
    model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float16), f"{name}.fp16"))
    model.graph.node.insert(0, make_node("Cast", [f"{name}.fp16"], [name], to=onnx.TensorProto.FLOAT))


def _copy(model: ModelProto) -> ModelProto:
    other = ModelProto()
    other.CopyFrom(model)
    return other


def _large_weights(model: ModelProto) -> list[tuple[onnx.TensorProto, int]]:
    """Weights of convolutions, dense and recurrent layers, each with the axis of its output channels."""
    axes: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            axes[node.input[1]] = 0
        elif node.op_type == "Gemm":
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            axes[node.input[1]] = 0 if transposed else 1
        elif node.op_type == "MatMul":
            axes[node.input[1]] = 1
        elif node.op_type in ("LSTM", "GRU"):
            axes |= {node.input[1]: 1, node.input[2]: 1}
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in axes]
    return [(t, axes[t.name]) for t in tensors if int(np.prod(t.dims)) >= LEAST_VALUES]
