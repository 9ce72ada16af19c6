"""TFLite files of older converters, brought to what the quantizer can work on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from converters.paths import DEFAULT_SIGNATURE


@contextmanager
def quantizable(plain: Path) -> Iterator[Path]:
    """The file itself, or a copy that the quantizer can work on: with a signature, and with weights in float32.

    Older converters wrote no signature; it is called as the device calls a file without one, its inputs and outputs as
    their tensors. They wrote operators by a field of old, of which the quantizer knows nothing: to it all are ADD.
    Float16 weights stand behind a DEQUANTIZE, which the quantizer takes for an activation and leaves.
    """
    model = flatbuffer_utils.read_model(str(plain))
    changed = _renew(model) + _sign(model) + _widen(model)
    if not changed:
        yield plain
        return
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / plain.name
        flatbuffer_utils.write_model(model, str(copy))
        yield copy


def _renew(model: schema.ModelT) -> int:
    """Name operators by today's field; how many were not."""
    old = [code for code in model.operatorCodes if code.builtinCode < code.deprecatedBuiltinCode]
    for code in old:
        code.builtinCode = code.deprecatedBuiltinCode
    return len(old)


def _sign(model: schema.ModelT) -> int:
    """Give a file without signatures one; how many were added."""
    if model.signatureDefs:
        return 0
    graph = model.subgraphs[0]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = DEFAULT_SIGNATURE.encode(), 0
    signature.inputs, signature.outputs = (
        [_named(graph, int(number)) for number in numbers] for numbers in (graph.inputs, graph.outputs)
    )
    model.signatureDefs = [signature]
    return 1


def _widen(model: schema.ModelT) -> int:
    """Put float32 constants in the place of float16 ones behind DEQUANTIZE; how many there were."""
    codes = [code.builtinCode for code in model.operatorCodes]
    count = 0
    for number, graph in enumerate(model.subgraphs):
        gone: set[int] = set()
        for place, operator in enumerate(graph.operators):
            if codes[operator.opcodeIndex] != schema.BuiltinOperator.DEQUANTIZE:
                continue
            narrow = graph.tensors[operator.inputs[0]]
            held = model.buffers[narrow.buffer].data
            if narrow.type == schema.TensorType.FLOAT16 and held is not None:
                buffer = schema.BufferT()
                buffer.data = np.frombuffer(held, np.float16).astype(np.float32).view(np.uint8)
                graph.tensors[operator.outputs[0]].buffer = len(model.buffers)
                model.buffers.append(buffer)
                gone.add(place)
        halves = {int(graph.operators[place].inputs[0]) for place in gone}
        graph.operators = [operator for place, operator in enumerate(graph.operators) if place not in gone]
        read = {int(one) for operator in graph.operators for one in operator.inputs} | set(map(int, graph.outputs))
        _drop(model, number, halves - read)
        count += len(gone)
    return count


def _drop(model: schema.ModelT, number: int, gone: set[int]) -> None:
    """Take tensors that nothing reads out of a graph."""
    graph = model.subgraphs[number]
    kept = [place for place in range(len(graph.tensors)) if place not in gone]
    moved = {-1: -1, **{old: new for new, old in enumerate(kept)}}
    graph.tensors = [graph.tensors[place] for place in kept]
    graph.inputs, graph.outputs = ([moved[int(one)] for one in ends] for ends in (graph.inputs, graph.outputs))
    for operator in graph.operators:
        operator.inputs = [moved[int(one)] for one in operator.inputs]
        operator.outputs = [moved[int(one)] for one in operator.outputs]
        if operator.intermediates is not None:
            operator.intermediates = [moved[int(one)] for one in operator.intermediates]
    for signature in model.signatureDefs:
        if signature.subgraphIndex == number:
            for entry in (*signature.inputs, *signature.outputs):
                entry.tensorIndex = moved[int(entry.tensorIndex)]


def _named(graph: schema.SubGraphT, number: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = graph.tensors[number].name, number
    return entry
