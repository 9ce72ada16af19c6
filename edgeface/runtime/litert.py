"""LiteRT (or its predecessor tflite-runtime) behind the `Runner` interface."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgeface.bundle import NetworkFile
from edgeface.errors import BundleError, RuntimeMissingError
from edgeface.types import F32


def _interpreter_class() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError:
            raise RuntimeMissingError(
                "LiteRT is not installed",
                fix="pip install 'edgeface[litert]' or choose runtime.name = \"onnx\"",
            ) from None
    return Interpreter


Details = Mapping[str, Mapping[str, Any]]
"""By name what an interpreter says of its inputs or outputs: type, scale and zero point among it."""


def _signature_runner(interpreter: Any, key: str) -> Callable[..., Mapping[str, F32]]:
    """Call one signature with its inputs by name; the graph itself where the file has no signatures.

    Inputs and outputs of whole numbers are float32 outside, by their own scale and zero point.
    """
    if interpreter.get_signature_list():
        call = interpreter.get_signature_runner(key)
        inputs, outputs = call.get_input_details(), call.get_output_details()
    else:
        interpreter.allocate_tensors()
        inputs = {detail["name"]: detail for detail in interpreter.get_input_details()}
        outputs = {detail["name"]: detail for detail in interpreter.get_output_details()}
        call = _plain_call(interpreter, inputs, outputs)

    def run(**arrays: F32) -> Mapping[str, F32]:
        values = call(**{name: quantized(array, inputs[name]) for name, array in arrays.items()})
        return {name: dequantized(value, outputs[name]) for name, value in values.items()}

    return run


def _plain_call(interpreter: Any, inputs: Details, outputs: Details) -> Callable[..., Mapping[str, Any]]:
    def call(**arrays: Any) -> Mapping[str, Any]:
        for name, array in arrays.items():
            interpreter.set_tensor(inputs[name]["index"], array)
        interpreter.invoke()
        return {name: interpreter.get_tensor(detail["index"]) for name, detail in outputs.items()}

    return call


def quantized(array: F32, detail: Mapping[str, Any]) -> Any:
    """Float32 as an input wants it: as it is, or in whole numbers by its scale and zero point, if it has some."""
    kind = np.dtype(detail["dtype"])
    if kind == np.float32:
        return array
    if kind.kind == "f":
        return array.astype(kind)
    scale, zero = detail["quantization"]
    limits = np.iinfo(kind)
    return np.clip(np.rint(array / (scale or 1.0)) + zero, limits.min, limits.max).astype(kind)


def dequantized(value: Any, detail: Mapping[str, Any]) -> F32:
    """An output in float32, whole numbers by scale and zero point."""
    if value.dtype == np.float32:
        real: F32 = value
        return real
    scale, zero = detail["quantization"]
    wide: F32 = value.astype(np.float32)
    return (wide - np.float32(zero)) * np.float32(scale) if scale else wide


class LiteRtRunner:
    """One TFLite file; every prepared shape is a signature, and all share the weights.

    Files of older converters have no signatures: then the one shape of the graph itself is the prepared one.
    """

    def __init__(
        self,
        data: bytes,
        file: NetworkFile,
        *,
        threads: int,
    ) -> None:
        self._interpreter = _interpreter_class()(model_content=data, num_threads=threads)
        self._signatures = {(s.batch, s.height, s.width): s.key for s in file.signatures}
        self._runners: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.provider = "cpu"
        self.batches = tuple(sorted({s.batch for s in file.signatures}))
        self.sizes = tuple(sorted({(s.width, s.height) for s in file.signatures}))
        self.file = file

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
        """Outputs by the manifest's names; BundleError for a shape that was not prepared."""
        axes = batch.shape[:3] if self.file.layout == "NHWC" else (batch.shape[0], *batch.shape[2:])
        key = self._signatures.get(axes)
        if key is None:
            raise BundleError(f"no signature for batch, height, width {axes}", fix="use a prepared size")
        remembered = {self.file.inputs.get(name, name): array for name, array in states.items()}
        # An interpreter is one machine with one set of tensors: one call at a time.
        with self._lock:
            runner = self._runners.get(key)
            if runner is None:
                runner = self._runners[key] = _signature_runner(self._interpreter, key)
            values = runner(**{self.file.input: batch, **remembered})
        return {name: values[output] for name, output in self.file.outputs.items()}
