"""Layers of ONNX and TFLite files by name, so that a recipe can say which of them stay float.

A layer is an operator with weights (convolution, dense layer) and what follows it up to the next one or to a join:
activation, pooling, reshaping. Its name is that of its weights in the torch module: exact in ONNX
(``body.stage1.0.0``); in TFLite the exporter leaves out the names of module lists (``0.pw`` for ``stages.0.pw``) and
equal names are counted (``0.conv1x1``, ``0.conv1x1#2``). Joins (sum, concatenation) are layers of their own, named by
their operator and a number. All of it depends on the module and the pinned exporters alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto

from edgeface.errors import EdgefaceError, UsageError

WEIGHTED_ONNX = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU"})
WEIGHTED_TFLITE = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"})
CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"})
SHAPED = frozenset({"Reshape", "Slice", "Resize", "Expand", "Unsqueeze", "Squeeze", "Pad", "ReduceMean", "Transpose"})
"""ONNX operators of which only the first input is data."""
INPUT = "input"
NUMBER = "@"
"""Stands between a layer's name and a running number in the names of tensors (`converters.export.compact`)."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: its own name, its kind, the weights' name if it has any, and the data it reads and gives."""

    name: str
    kind: str
    weights: str | None
    reads: tuple[str, ...]
    gives: tuple[str, ...]


def onnx_layers(model: ModelProto) -> dict[str, list[str]]:
    """Layer to the names of its nodes, in order."""
    return group(onnx_operators(model))


def onnx_operators(model: ModelProto) -> list[Operator]:
    """Nodes of a model, each by its name."""
    constants = {tensor.name for tensor in model.graph.initializer}
    operators = []
    for node in model.graph.node:
        weights = None
        if node.op_type in WEIGHTED_ONNX and node.input[1] in constants:
            weights = re.sub(r"\.?weight$", "", node.input[1]) or node.name
        inputs = node.input[:1] if node.op_type in SHAPED else node.input
        reads = tuple(name for name in inputs if name and name not in constants)
        operators.append(Operator(node.name, node.op_type, weights, reads, tuple(node.output)))
    return operators


def tflite_layers(path: Path) -> list[dict[str, list[str]]]:
    """Of each signature: layer to the names of its operators' outputs, in order."""
    return [group(operators) for operators in tflite_operators(path)]


def tflite_scopes(path: Path, patterns: Sequence[str], *, remembers: bool = False) -> list[str]:
    """Patterns by which the quantizer knows every operator of the layers that ``patterns`` find, in all signatures.

    ``remembers``: and every operator that `behind_convolutions` finds.
    """
    names = []
    for operators in tflite_operators(path):
        layers = group(operators)
        names += [name for layer in matching(layers, patterns) for name in layers[layer]]
        names += behind_convolutions(operators) if remembers else []
    return [f"^{re.escape(name)};?$" for name in dict.fromkeys(names)]


def tflite_operators(path: Path) -> Iterator[list[Operator]]:
    """Operators of each signature; an operator's name is that of its output."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils

    kinds = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    model = tfl_flatbuffer_utils.read_model(str(path))
    codes = [kinds[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    for graph in model.subgraphs:
        names = [tensor.name.decode() for tensor in graph.tensors]
        fixed = {i for i, tensor in enumerate(graph.tensors) if model.buffers[tensor.buffer].data is not None}
        found = []
        for operator in graph.operators:
            kind = codes[operator.opcodeIndex]
            held = [i for i in operator.inputs if i in fixed]
            weights = torch_path(names[held[0]]) if kind in WEIGHTED_TFLITE and held else None
            reads = tuple(names[i] for i in operator.inputs if i >= 0 and i not in fixed)
            gives = tuple(names[i] for i in operator.outputs)
            found.append(Operator(gives[0], kind, weights, reads, gives))
        yield found


def torch_path(tensor: str) -> str:
    """Path of the torch module in a tensor's name: ``body.0`` of ``.../x.Body_body/torch.nn.Conv2d_0;5``.

    So it is of ``body.0@12``, which `converters.export.compact` makes of that. Of names that the converter joined (a
    weight times a batch norm) the last one is the layer's.
    """
    if "litert_torch" not in tensor:
        layer, _, number = tensor.rpartition(NUMBER)
        return layer if layer and number.isdecimal() else tensor
    last = [part for part in tensor.split(";") if "/" in part][-1:]
    parts = [part.rpartition(".")[2].partition("_") for place in last for part in place.split("/")]
    path = [name for _, _, name in parts if name]
    # The exporter's wrapper for channel-last input holds the network as `wrapped`.
    return ".".join(path[1:] if path[:1] == ["wrapped"] else path) or "network"


def group(operators: Sequence[Operator]) -> dict[str, list[str]]:
    """Layer to the names of its operators, in order."""
    owner: dict[str, str] = {}
    layers: dict[str, list[str]] = {}
    for operator in operators:
        owners = {owner.get(name, INPUT) for name in operator.reads}
        if operator.weights is not None:
            layer = _fresh(operator.weights, layers)
        elif len(owners) == 1:
            layer = owners.pop()
        else:
            layer = _fresh(operator.kind.lower(), layers)
        layers.setdefault(layer, []).append(operator.name)
        owner.update(dict.fromkeys(operator.gives, layer))
    return _paddings_moved(operators, layers)


def behind_convolutions(operators: Sequence[Operator]) -> list[str]:
    """Operators from which no convolution is reached, but for those of the last convolution's own layer.

    Of a network with a memory that is the memory, what reads it, and the heads: small, and all that a step of 1/256
    would make drift from call to call.

    Parameters
    ----------
    operators : in the order in which they run

    Raises
    ------
    EdgefaceError : there is no convolution, so that nothing would be left
    """
    if not any(operator.kind in CONVOLUTIONS for operator in operators):
        raise EdgefaceError(
            "a network with a memory and without a convolution keeps nothing for int8", fix='use "int8w" instead'
        )
    layers = group(operators)
    kinds = {operator.name: operator.kind for operator in operators}
    own = {name for names in layers.values() if CONVOLUTIONS & {kinds[name] for name in names} for name in names}
    read: set[str] = set()
    behind = []
    for operator in reversed(operators):
        if operator.kind in CONVOLUTIONS or read & set(operator.gives):
            read.update(operator.reads)
        elif operator.name not in own:
            behind.append(operator.name)
    return behind[::-1]


def matching(layers: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Layers that any pattern finds; UsageError for a pattern that finds none."""
    known = list(layers)
    for pattern in patterns:
        if not any(re.search(pattern, name) for name in known):
            shown = ", ".join(known[:6])
            raise UsageError(f"keep pattern '{pattern}' matches no layer", fix=f"layers are: {shown}, ...")
    return [name for name in known if any(re.search(pattern, name) for pattern in patterns)]


def _paddings_moved(operators: Sequence[Operator], layers: dict[str, list[str]]) -> dict[str, list[str]]:
    """A padding belongs to the layer that needs it: float before a float layer, int8 before an int8 one."""
    place = {name: layer for layer, names in layers.items() for name in names}
    for operator in operators:
        users = {place[other.name] for other in operators if set(operator.gives) & set(other.reads)}
        if operator.kind in ("PAD", "Pad") and operator.weights is None and len(users) == 1:
            layers[place[operator.name]].remove(operator.name)
            layers[users.pop()].insert(0, operator.name)
    return {layer: names for layer, names in layers.items() if names}


def _fresh(name: str, layers: dict[str, list[str]]) -> str:
    count = sum(1 for known in layers if known == name or known.startswith(f"{name}#"))
    return f"{name}#{count + 1}" if count else name
