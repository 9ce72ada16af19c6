"""A network file that takes pictures, run as it came by its own runtime, whatever its layout, batch and number type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from converters.inspection.facts import error_text
from edgeface.errors import UsageError
from edgeface.runtime.litert import dequantized, quantized
from edgeface.types import F32

CHANNELS = (1, 3)


class _Engine(Protocol):
    """One input and named outputs in a runtime; ``shape`` has None where a side is free."""

    @property
    def shape(self) -> Sequence[int | None]: ...

    def run(self, array: F32) -> dict[str, F32]: ...


class PictureFile:
    """A file with one 4-D input; rows of a batch are pictures.

    Attributes
    ----------
    channels : 1 or 3
    size : (height, width), None where any goes

    Raises
    ------
    UsageError : it takes something else, or its runtime does not run it
    """

    def __init__(self, data: bytes, name: str) -> None:
        try:
            self._engine: _Engine = _Onnx(data) if name.lower().endswith(".onnx") else _LiteRt(data)
        except UsageError:
            raise
        except Exception as error:  # the runtimes' errors have no base in common
            raise UsageError(f"{name} does not run: {error_text(error)}", fix="export it again") from None
        shape = self._engine.shape
        if len(shape) != 4 or not {shape[1], shape[3]} & set(CHANNELS):
            raise UsageError(f"{name} takes {list(shape)}, not one picture", fix="bring a file with one 4-D input")
        self._last = shape[1] not in CHANNELS
        self._batch = shape[0]
        self._name = name
        self.channels: int = (shape[3] if self._last else shape[1]) or 0
        height, width = shape[1:3] if self._last else shape[2:]
        self.size = (height, width) if height and width else None

    def run(self, tensor: F32) -> dict[str, F32]:
        """Outputs in float32 for float32 (N, C, H, W), in the batches that the file takes; UsageError if it cannot."""
        each = self._batch or len(tensor)
        parts = []
        try:
            for start in range(0, len(tensor), each):
                rows = np.minimum(np.arange(start, start + each), len(tensor) - 1)
                batch = tensor[rows].transpose(0, 2, 3, 1) if self._last else tensor[rows]
                parts.append(self._engine.run(np.ascontiguousarray(batch)))
        except Exception as error:
            raise UsageError(f"{self._name} does not run: {error_text(error)}", fix="export it again") from None
        return {name: np.concatenate([part[name] for part in parts])[: len(tensor)] for name in parts[0]}


class _Onnx:
    def __init__(self, data: bytes) -> None:
        import onnx

        from converters.formats.onnx_run import open_session

        self._session = open_session(onnx.load_from_string(data))
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise UsageError(f"it takes {', '.join(one.name for one in inputs)}", fix="bring a file with one input")
        self._name = inputs[0].name
        self._detail = {"dtype": _numpy_type(inputs[0].type), "quantization": (0.0, 0)}
        self.shape: Sequence[int | None] = [
            side if isinstance(side, int) and side > 0 else None for side in inputs[0].shape
        ]

    def run(self, array: F32) -> dict[str, F32]:
        names = [output.name for output in self._session.get_outputs()]
        values = self._session.run(names, {self._name: quantized(array, self._detail)})
        return {name: np.asarray(value, np.float32) for name, value in zip(names, values, strict=True)}


def _numpy_type(described: str) -> Any:
    """``tensor(float16)`` and so on as numpy's type."""
    kind = described.removeprefix("tensor(").removesuffix(")")
    return np.dtype({"float": "float32", "double": "float64"}.get(kind, kind))


class _LiteRt:
    def __init__(self, data: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=data, num_threads=1)
        details = self._interpreter.get_input_details()
        if len(details) != 1:
            raise UsageError(f"it takes {', '.join(one['name'] for one in details)}", fix="bring a file with one input")
        (self._detail,) = details
        free = self._detail.get("shape_signature", self._detail["shape"])
        self.shape: Sequence[int | None] = [int(side) if side > 0 else None for side in free]

    def run(self, array: F32) -> dict[str, F32]:
        index = self._detail["index"]
        if tuple(self._detail["shape"]) != array.shape:
            self._interpreter.resize_tensor_input(index, array.shape)
        self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(index, quantized(array, self._detail))
        self._interpreter.invoke()
        found: Mapping[str, Any] = {one["name"]: one for one in self._interpreter.get_output_details()}
        return {
            name: dequantized(self._interpreter.get_tensor(one["index"]), one).copy() for name, one in found.items()
        }
