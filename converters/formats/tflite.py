"""TFLite files read: the object form of one, its operators and its constants; what is stored, in place."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.formats.errors import CheckpointError

IDENTIFIER = b"TFL3"


def _names(enum: type) -> dict[int, str]:
    return {value: key for key, value in vars(enum).items() if isinstance(value, int)}


OPERATORS = _names(schema.BuiltinOperator)
TYPES = _names(schema.TensorType)


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


def stored_floats(data: bytearray) -> Iterator[np.ndarray[Any, np.dtype[np.float32]]]:
    """Values of each float32 tensor that is stored in a TFLite file, flat: views, so that they can be changed there."""
    model = schema.Model.GetRootAs(data, 0)
    for place in range(model.SubgraphsLength()):
        graph = model.Subgraphs(place)
        for number in range(graph.TensorsLength()):
            tensor = graph.Tensors(number)
            stored = model.Buffers(tensor.Buffer())
            if tensor.Type() == schema.TensorType.FLOAT32 and stored.DataLength():
                yield stored.DataAsNumpy().view("<f4")


def operator_names(model: Any, subgraph: int = 0) -> list[str]:
    """Name of each operator of a graph, in its order; those of somebody's own by the name they gave."""
    names = []
    for code in model.operatorCodes:
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        custom = (code.customCode or b"").decode("utf-8", "replace")
        names.append(f"custom {custom}" if custom else OPERATORS.get(number, f"operator {number}"))
    return [names[operator.opcodeIndex] for operator in model.subgraphs[subgraph].operators]


def is_constant(model: Any, tensor: Any) -> bool:
    """Whether a tensor is stored in the file (``ModelT``, ``TensorT``), not computed."""
    return model.buffers[tensor.buffer].data is not None or tensor.sparsity is not None
