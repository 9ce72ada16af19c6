"""Weights out of a TFLite file: its constant tensors by name; the graph itself is not run."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.checkpoints.errors import CheckpointError
from converters.checkpoints.widen import widen
from edgeface.types import F32

IDENTIFIER = b"TFL3"
_TYPES = {
    schema.TensorType.FLOAT32: "<f4",
    schema.TensorType.FLOAT16: "<f2",
    schema.TensorType.INT32: "<i4",
    schema.TensorType.INT16: "<i2",
    schema.TensorType.INT8: "i1",
    schema.TensorType.UINT8: "u1",
}


def read_buffers(data: bytes, name: str = "the file") -> dict[str, F32]:
    """Constant tensors of the main graph by name, as float32 in TFLite's own axes.

    float16 is widened; whole numbers with scales become ``(value - zero) * scale``, per channel where the file says so;
    whole numbers without scales (shapes, paddings) are left out.

    Raises
    ------
    CheckpointError : not a TFLite file, cut off, or a weight is stored sparse
    """
    model = parse(data, name)
    tensors: dict[str, F32] = {}
    for tensor in model.subgraphs[0].tensors:
        buffer = model.buffers[tensor.buffer].data
        stored = _TYPES.get(tensor.type)
        if buffer is None or stored is None:
            continue
        key = tensor.name.decode("utf-8", "replace")
        if tensor.sparsity is not None:
            raise CheckpointError(f"{name} stores {key} sparse", fix="bring the dense form of the file")
        shape = [] if tensor.shape is None else [int(side) for side in tensor.shape]
        try:
            values = np.frombuffer(np.asarray(buffer, np.uint8).tobytes(), stored).reshape(shape)
        except ValueError as error:
            raise CheckpointError(f"{name}: tensor {key}: {error}", fix="bring the whole file") from None
        if stored.endswith(("f4", "f2")):
            tensors[key] = values.astype(np.float32)
        elif tensor.quantization is not None and tensor.quantization.scale is not None:
            given = tensor.quantization
            tensors[key] = widen(values, given.scale, given.zeroPoint, given.quantizedDimension)
    return tensors


def parse(data: bytes, name: str = "the file") -> Any:
    """Object form of a TFLite file (``ModelT`` of LiteRT's schema), all buffers in it; CheckpointError for another."""
    if data[4:8] != IDENTIFIER:
        raise CheckpointError(f"{name} is no TFLite file", fix="bring a .tflite file")
    try:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        if not model.subgraphs:
            raise ValueError("it holds no graph")
        for buffer in model.buffers:
            _bring_in(buffer, data)
    except (struct.error, IndexError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{name} is no TFLite file that can be read: {error}", fix="bring the whole file"
        ) from None
    return model


def _bring_in(buffer: Any, data: bytes) -> None:
    """Large files keep their buffers behind the flatbuffer, by place and length: put such a one into its object."""
    if buffer.offset > 1:
        if buffer.offset + buffer.size > len(data):
            raise ValueError("a buffer lies outside the file")
        buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
