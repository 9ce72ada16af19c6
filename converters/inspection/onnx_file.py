"""An ONNX file described."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

from converters.formats.errors import CheckpointError
from converters.formats.onnx_data import whole_file
from converters.formats.onnx_graph import (
    OWN,
    all_nodes,
    constants,
    example_shape,
    opset_of,
    real_inputs,
    sides,
    type_name,
)
from converters.inspection.facts import FileFacts, Value, error_text, format_precision, paths_in

_WEIGHT_TYPES = {"float32", "float16", "float64", "int8", "uint8"}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def describe_onnx(data: bytes, name: str = "the file", companions: Mapping[str, bytes] | None = None) -> FileFacts:
    """Everything that can be said of an ONNX file.

    Parameters
    ----------
    companions : files beside it that hold its values, by name

    Raises
    ------
    CheckpointError : not an ONNX file, or a file with its values is missing
    """
    try:
        whole = whole_file(data, name, companions or {})
        model = onnx.load_from_string(whole)
        stored = constants(model.graph)
    except CheckpointError:
        raise
    except Exception as error:  # protobuf's and numpy_helper's errors have no base in common
        raise CheckpointError(f"{name} is no ONNX file: {error_text(error)}", fix="bring a whole .onnx file") from None
    nodes, fed = all_nodes(model.graph), real_inputs(model.graph)
    operators = Counter(node.op_type if node.domain in OWN else f"{node.domain}.{node.op_type}" for node in nodes)
    weights = _weights(nodes, stored)
    texts = _metadata(model, nodes)
    return FileFacts(
        kind="onnx",
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        opset=opset_of(model),
        ir=model.ir_version,
        inputs=tuple(map(_value, fed)),
        outputs=tuple(map(_value, model.graph.output)),
        operators=dict(operators.most_common()),
        parameters=sum(weights.values()),
        weights=weights,
        macs=count_macs(model),
        macs_at=tuple(map(example_shape, fed)),
        quantization=format_precision(
            weights,
            whole_layers=any(kind == "QuantizeLinear" or "Integer" in kind or "QLinear" in kind for kind in operators),
            widened=bool(operators["DequantizeLinear"] or operators["Cast"]),
            per_channel=any(
                node.op_type == "DequantizeLinear" and np.size(stored.get(node.input[1], 0)) > 1 for node in nodes
            ),
        ),
        metadata=tuple(sorted(texts)),
        paths=tuple(sorted(set().union(*(paths_in(text) for text in texts.values())))),
        runtimes={"onnxruntime": run_on_zeros(whole)},
    )


def run_on_zeros(data: bytes) -> str:
    """``runs`` if ONNX Runtime loads the file and answers an input of zeros; else in one line why not."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        session.run(None, zeros(onnx.load_from_string(data).graph))
    except Exception as error:  # ONNX Runtime's errors have no base of their own
        return f"does not run it: {error_text(error)}"
    return "runs"


def zeros(graph: GraphProto) -> dict[str, Any]:
    """An input of zeros for everything that is fed, free sides filled in."""
    types = {
        value.name: onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type) for value in graph.input
    }
    return {value.name: np.zeros(example_shape(value), types[value.name]) for value in real_inputs(graph)}


def count_macs(model: ModelProto) -> int | None:
    """Multiply-accumulates of one call, free sides filled in; None where a layer's shape cannot be told."""
    fixed = ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    for value in real_inputs(fixed.graph):
        for dimension, side in zip(value.type.tensor_type.shape.dim, example_shape(value), strict=True):
            dimension.dim_value = side
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        graph = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
        shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        for value in (*graph.input, *graph.output, *graph.value_info):
            if all(isinstance(side, int) for side in sides(value)):
                shapes[value.name] = tuple(map(int, sides(value)))
        return sum(_macs(node, shapes) for node in all_nodes(graph))
    except Exception:  # an operator of somebody's own, or a shape that only a run can tell
        return None


def _macs(node: NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    if node.op_type in {"Conv", "ConvInteger", "QLinearConv"}:
        kernel = node.input[3 if node.op_type == "QLinearConv" else 1]
        return prod(shapes[node.output[0]]) * prod(shapes[kernel][1:])
    if node.op_type == "ConvTranspose":
        return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])
    if node.op_type == "Gemm":
        return shapes[node.output[0]][0] * prod(shapes[node.input[1]])
    if node.op_type in {"MatMul", "MatMulInteger"}:
        return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    if node.op_type in _GATES:
        steps, batch, _ = shapes[node.input[0]]
        return steps * batch * (prod(shapes[node.input[1]]) + prod(shapes[node.input[2]]))
    return 0


def _weights(nodes: Iterable[NodeProto], stored: Mapping[str, Any]) -> dict[str, int]:
    """Values of the weights by the type they are stored in; scales, zero points and shapes are none."""
    settings = {name for n in nodes if n.op_type in {"DequantizeLinear", "QuantizeLinear"} for name in n.input[1:]}
    biases = {node.input[0] for node in nodes if node.op_type == "DequantizeLinear"}
    counted: Counter[str] = Counter()
    for name, array in stored.items():
        if name not in settings and (array.dtype.name in _WEIGHT_TYPES or name in biases):
            counted[array.dtype.name] += int(array.size)
    return dict(counted.most_common())


def _value(value: ValueInfoProto) -> Value:
    return Value(name=value.name, shape=sides(value), type=type_name(value.type.tensor_type.elem_type))


def _metadata(model: ModelProto, nodes: Iterable[NodeProto]) -> dict[str, str]:
    """Texts that say something about the file's making, by where they stand."""
    parts = {"model": [model], "graph": [model.graph], "nodes": nodes, "values": model.graph.value_info}
    texts: dict[str, str] = {}
    for place, holders in parts.items():
        for holder in holders:
            found = [(entry.key, entry.value) for entry in holder.metadata_props]
            found += [("doc_string", holder.doc_string)] if holder.doc_string else []
            for key, text in found:
                texts[f"{place}: {key}"] = f"{texts.get(f'{place}: {key}', '')} {text}"
    return texts
