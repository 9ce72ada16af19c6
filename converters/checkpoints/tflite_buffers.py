"""Weights out of a TFLite file: its constant tensors by name; the graph itself is not run."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.checkpoints.widen import widen
from converters.formats.errors import CheckpointError
from converters.formats.tflite import parse
from edgeface.types import F32

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
