"""TFLite files without waste: tensors named as their layers are, and each set of scales stored once.

The exporter names a tensor by all classes and places that it comes from, in every signature anew: 430 KB of
RetinaFace's 2.2 MB. The quantizer stores the scales of a layer's weights once per signature. What a file computes does
not depend on either.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer.utils import tfl_flatbuffer_utils

from converters.export.layers import NUMBER, torch_path

ALIGNMENT = 16
"""Of a buffer's data, by the format's description (schema.fbs, ``force_align``)."""
IDENTIFIER = b"TFL3"
SPARE_BYTES = 4096
"""Room that spares the builder growing, which copies everything."""


def compact(path: Path) -> None:
    """Rewrite a TFLite file in place; it then takes less room and answers the same.

    Names that the exporter made become ``layer@number``, numbered through all signatures because the quantizer tells
    tensors apart by name; others stay. Data that no tensor points to are left out.
    """
    model = tfl_flatbuffer_utils.read_model(str(path))
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    known: dict[str, _Scales] = {}
    for number, tensor in enumerate(tensors):
        name = tensor.name.decode()
        layer = torch_path(name)
        if layer != name:
            tensor.name = f"{layer}{NUMBER}{number}".encode()
        if tensor.quantization is not None:
            scales = _Scales(tensor.quantization)
            tensor.quantization = known.setdefault(scales.key, scales)
    used = {part.buffer for part in (*tensors, *(model.metadata or ()))}
    for number, buffer in enumerate(model.buffers):
        if buffer.data is not None:
            # Of large files the data come as bytes, which the generated code would write one by one, unaligned.
            buffer.data = np.frombuffer(buffer.data, np.uint8) if number in used else None
    builder = _Builder(path.stat().st_size + SPARE_BYTES)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    path.write_bytes(builder.Output())


class _Scales(schema.QuantizationParametersT):  # type: ignore[misc]
    """Quantization parameters that several tensors may point to: written where they are first met."""

    def __init__(self, found: schema.QuantizationParametersT) -> None:
        super().__init__()
        self.__dict__.update(vars(found))
        values = {name: None if part is None else np.asarray(part).tolist() for name, part in vars(found).items()}
        self.key = repr(sorted(values.items()))
        self._offset: int | None = None

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - the generated code's name
        if self._offset is None:
            self._offset = super().Pack(builder)
        return self._offset


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Aligns the bytes of buffers as the format asks; the generated code does not."""

    def CreateNumpyVector(self, x: npt.NDArray[Any]) -> int:  # noqa: N802 - the library's name
        create: Callable[[npt.NDArray[Any]], int] = super().CreateNumpyVector
        if x.dtype.itemsize == 1:
            # The vector's length, four bytes, goes right before its data: what Prep leaves is aligned behind those.
            self.Prep(ALIGNMENT, x.size)
        return create(x)
