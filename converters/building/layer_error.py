"""Which layer of a smaller file is off: every tensor inside held against the fp32 file's tensor of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.bundle import Closed
from edgeface.config import RuntimeName
from edgeface.types import F32

ENDINGS = ("_DequantizeLinear_Output", "_dequantized")
"""What quantizers put behind the name of a tensor that they bring back to float."""


class Layer(Closed, frozen=True, kw_only=True):
    """One tensor inside, and the power of its fp32 values over that of the error, in decibels."""

    name: str
    decibels: float


def layers_by_error(plain: Path, small: Path, runtime: RuntimeName, feeds: Mapping[str, F32]) -> list[Layer]:
    """Tensors that both files have, the worst first.

    Parameters
    ----------
    plain, small : the fp32 file and the one made from it
    feeds : inputs by the files' own names (TFLite: those of the first signature)
    """
    read = onnx_tensors if runtime == "onnx" else tflite_tensors
    expected, got = (read(path, feeds) for path in (plain, small))
    found = []
    for name, values in got.items():
        if any(f"{name}{ending}" in got for ending in ENDINGS):
            continue  # a ReLU is done by the quantization behind it
        plain_name = name
        for ending in ENDINGS:
            plain_name = plain_name.removesuffix(ending)
        reference = expected.get(plain_name)
        if reference is not None and reference.shape == values.shape and reference.size > 1:
            found.append(Layer(name=plain_name, decibels=decibels(reference, values)))
    unique = {layer.name: layer for layer in sorted(found, key=lambda layer: -layer.decibels)}
    return sorted(unique.values(), key=lambda layer: layer.decibels)


def decibels(expected: F32, got: F32) -> float:
    """Signal over noise; 200 for equal values."""
    noise = float(np.square(expected.astype(np.float64) - got.astype(np.float64)).mean())
    power = float(np.square(expected.astype(np.float64)).mean())
    return round(10 * float(np.log10(max(power, 1e-30) / max(noise, power * 1e-20, 1e-30))), 1)


def onnx_tensors(path: Path, feeds: Mapping[str, F32]) -> dict[str, F32]:
    """Every float tensor between the nodes of an ONNX file, by name."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    known = {value.name for value in model.graph.output}
    inner = [name for node in model.graph.node for name in node.output if name and name not in known]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    options = onnxruntime.SessionOptions()
    # Fused nodes have no tensors between them.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, dict(feeds))
    return {n: v for n, v in zip(names, values, strict=True) if isinstance(v, np.ndarray) and v.dtype == np.float32}


def constants(data: bytes) -> set[str]:
    """Names of the tensors of a TFLite file's first graph that are stored in it."""
    from converters.formats.tflite import is_constant, parse

    model = parse(data)
    return {tensor.name.decode() for tensor in model.subgraphs[0].tensors if is_constant(model, tensor)}


def tflite_tensors(path: Path, feeds: Mapping[str, F32]) -> dict[str, F32]:
    """Every tensor that a TFLite file's first graph computes, as float; whole numbers are brought back by their scales.

    Constants are left out: they are the weights themselves, and a kernel may have left its own order of them there.
    """
    from ai_edge_litert.interpreter import Interpreter

    fixed = constants(path.read_bytes())
    # An interpreter of its own says which tensor a signature's input is: its runner holds on to the memory.
    asked = Interpreter(str(path))
    key = next(iter(asked.get_signature_list()), None)
    inputs: dict[str, Any] = {}
    if key is not None:
        inputs = {name: found["name"] for name, found in asked.get_signature_runner(key).get_input_details().items()}
    interpreter = Interpreter(str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        ours = next((name for name, inner in inputs.items() if inner == detail["name"]), detail["name"])
        interpreter.set_tensor(detail["index"], feeds[ours])
    interpreter.invoke()
    found: dict[str, F32] = {}
    for detail in interpreter.get_tensor_details():
        if detail["name"] in fixed:
            continue
        try:
            values = interpreter.get_tensor(detail["index"])
        except ValueError:
            continue  # scratch space of a kernel
        scale, zero = detail["quantization"]
        if values.dtype == np.float32:
            found[detail["name"]] = values
        elif scale:
            found[detail["name"]] = ((values.astype(np.float32) - zero) * scale).astype(np.float32)
    return found
