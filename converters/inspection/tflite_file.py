"""A TFLite file described."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from converters.formats.tflite import TYPES, is_constant, operator_names, parse
from converters.inspection.facts import FileFacts, Value, error_text, format_precision, paths_in
from edgeface.types import F32

_WEIGHT_TYPES = {"float32", "float16", "int8", "uint8", "int4"}
_NO_LAYER = {"QUANTIZE", "DEQUANTIZE"}


def describe_tflite(data: bytes, name: str = "the file") -> FileFacts:
    """Everything that can be said of a TFLite file; operators, parameters and MACs are those of its main graph.

    Raises
    ------
    CheckpointError : not a TFLite file
    """
    model = parse(data, name)
    graph = model.subgraphs[0]
    operators = Counter(operator_names(model))
    constant = [tensor for tensor in graph.tensors if is_constant(model, tensor)]
    weights = _weights(constant)
    texts = {f"model: {entry.name.decode('utf-8', 'replace')}": _text(model, entry) for entry in model.metadata or []}
    texts["model: description"] = (model.description or b"").decode("utf-8", "replace")
    shape = tuple(int(side) for side in graph.tensors[graph.inputs[0]].shape)
    return FileFacts(
        kind="tflite",
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        producer=texts["model: description"],
        opset=model.version,
        inputs=_values(graph, graph.inputs),
        outputs=_values(graph, graph.outputs),
        signatures=_signatures(model),
        operators=dict(operators.most_common()),
        parameters=sum(weights.values()),
        weights=weights,
        macs=sum(_macs(graph, op, kind) for op, kind in zip(graph.operators, operator_names(model), strict=True)),
        macs_at=(shape,),
        quantization=format_precision(
            weights,
            whole_layers=_whole_layers(model),
            widened="DEQUANTIZE" in operators,
            per_channel=any(_scales(tensor) > 1 for tensor in constant),
        ),
        metadata=tuple(sorted(key for key, text in texts.items() if text)),
        paths=tuple(sorted(set().union(*(paths_in(text) for text in texts.values())))),
        runtimes={"litert": run_on_zeros(data)},
    )


def run_on_zeros(data: bytes) -> str:
    """``runs`` if LiteRT loads the file and answers zeros in every signature; else in one line why not."""
    try:
        _run(data, lambda _, detail: np.zeros(detail["shape"], detail["dtype"]))
    except (ValueError, RuntimeError, TypeError) as error:
        return f"does not run it: {error_text(error)}"
    return "runs"


def run_on_noise(data: bytes, *, seed: int) -> dict[str, dict[str, F32]]:
    """Outputs by signature (the empty name where a file has none) to floats from -1 to 1, whole numbers 0 or 1.

    The noise of an input depends on its place and shape, not on other signatures.
    """

    def noise(place: int, detail: Mapping[str, Any]) -> npt.NDArray[Any]:
        drawn = np.random.default_rng([seed, place]).uniform(-1, 1, detail["shape"])
        whole = not np.issubdtype(detail["dtype"], np.floating)
        return np.asarray(drawn > 0 if whole else drawn, detail["dtype"])

    return _run(data, noise)


def _run(data: bytes, feed: Callable[[int, Mapping[str, Any]], npt.NDArray[Any]]) -> dict[str, dict[str, F32]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    found = {}
    for key in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(key)
        details = runner.get_input_details()
        found[key] = dict(runner(**{name: feed(i, detail) for i, (name, detail) in enumerate(details.items())}))
    if not found:
        interpreter.allocate_tensors()
        for place, detail in enumerate(interpreter.get_input_details()):
            interpreter.set_tensor(detail["index"], feed(place, detail))
        interpreter.invoke()
        outputs = interpreter.get_output_details()
        found[""] = {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in outputs}
    return found


def _weights(constant: list[Any]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for tensor in constant:
        kind = TYPES[tensor.type].lower()
        if kind in _WEIGHT_TYPES or (kind == "int32" and _scales(tensor)):
            counted[kind] += prod(int(side) for side in tensor.shape) if tensor.shape is not None else 1
    return dict(counted.most_common())


def _scales(tensor: Any) -> int:
    given = tensor.quantization
    return 0 if given is None or given.scale is None else len(given.scale)


def _whole_layers(model: Any) -> bool:
    graph = model.subgraphs[0]
    whole = {schema.TensorType.INT8, schema.TensorType.UINT8, schema.TensorType.INT16}
    return any(
        graph.tensors[output].type in whole
        for operator, kind in zip(graph.operators, operator_names(model), strict=True)
        if kind not in _NO_LAYER
        for output in operator.outputs
    )


def _macs(graph: Any, operator: Any, kind: str) -> int:
    def shape(index: int) -> tuple[int, ...]:
        return tuple(int(side) for side in graph.tensors[index].shape)

    if kind in {"CONV_2D", "FULLY_CONNECTED"}:
        return prod(shape(operator.outputs[0])) * prod(shape(operator.inputs[1])[1:])
    if kind == "DEPTHWISE_CONV_2D":
        return prod(shape(operator.outputs[0])) * prod(shape(operator.inputs[1])[1:3])
    if kind == "TRANSPOSE_CONV":
        return prod(shape(operator.inputs[2])) * prod(shape(operator.inputs[1])[:3])
    if kind == "BATCH_MATMUL":
        return prod(shape(operator.outputs[0])) * shape(operator.inputs[0])[-1]
    return 0


def _signatures(model: Any) -> dict[str, dict[str, tuple[Value, ...]]]:
    found = {}
    for signature in model.signatureDefs or []:
        graph = model.subgraphs[signature.subgraphIndex]
        parts = {"inputs": signature.inputs or [], "outputs": signature.outputs or []}
        found[signature.signatureKey.decode()] = {
            part: tuple(_value(graph.tensors[entry.tensorIndex], entry.name) for entry in entries)
            for part, entries in parts.items()
        }
    return found


def _values(graph: Any, indices: Any) -> tuple[Value, ...]:
    return tuple(_value(graph.tensors[index], graph.tensors[index].name) for index in indices)


def _value(tensor: Any, name: bytes) -> Value:
    signature = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    given = tensor.quantization if _scales(tensor) else None
    return Value(
        name=name.decode("utf-8", "replace"),
        shape=tuple("?" if side < 0 else int(side) for side in (signature if signature is not None else ())),
        type=TYPES[tensor.type].lower(),
        scale=float(given.scale[0]) if given else None,
        zero=int(given.zeroPoint[0]) if given and given.zeroPoint is not None else None,
    )


def _text(model: Any, entry: Any) -> str:
    """Printable runs of a metadata buffer."""
    data = model.buffers[entry.buffer].data
    raw = b"" if data is None else np.asarray(data, np.uint8).tobytes()
    return " ".join(run.decode() for run in re.findall(rb"[ -~]{6,}", raw))
