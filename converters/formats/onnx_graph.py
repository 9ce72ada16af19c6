"""Questions that several parts of the workshop ask of an ONNX graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

OWN = frozenset({"", "ai.onnx"})
"""Names of ONNX's own domain."""
CHANNELS = frozenset({1, 3})
"""Colour channels that a picture may have."""
FREE_SIDE = 64
"""What stands in for a free height or width where a number is needed."""
_INNER = {AttributeProto.GRAPH, AttributeProto.GRAPHS}


def all_nodes(graph: GraphProto) -> list[NodeProto]:
    """Nodes of a graph, and of the graphs inside its loops and branches."""
    nodes: list[NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        for inner in _inner_graphs(node):
            nodes.extend(all_nodes(inner))
    return nodes


def _inner_graphs(node: NodeProto) -> list[GraphProto]:
    inner = [attribute for attribute in node.attribute if attribute.type in _INNER]
    return [graph for a in inner for graph in (*a.graphs, *([a.g] if a.HasField("g") else []))]


def stored_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Initialisers, and what Constant nodes hold; those of the graphs inside loops and branches, too."""
    nodes = all_nodes(graph)
    for one in (graph, *(inner for node in nodes for inner in _inner_graphs(node))):
        yield from one.initializer
    for node in nodes:
        if node.op_type == "Constant":
            yield from (attribute.t for attribute in node.attribute if attribute.name == "value")


def opset_of(model: ModelProto) -> int:
    """Version of ONNX's own operators that a model asks for."""
    return max((entry.version for entry in model.opset_import if entry.domain in OWN), default=1)


def real_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """What is fed: old files list their weights among the inputs, too."""
    stored = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in stored]


def sides(value: ValueInfoProto) -> tuple[int | str, ...]:
    """Shape of an input or output; ``?`` or a name where a side is free."""
    dimensions = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in dimensions)


def example_shape(value: ValueInfoProto) -> tuple[int, ...]:
    """Shape with free sides filled in: batch 1, anything else `FREE_SIDE`."""
    shape = sides(value)
    return tuple(
        side if isinstance(side, int) and side > 0 else 1 if axis == 0 else FREE_SIDE for axis, side in enumerate(shape)
    )


def constants(graph: GraphProto) -> dict[str, Any]:
    """Arrays that a graph stores, as initialisers or Constant nodes, by name."""
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            held[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return held


def type_name(element: int) -> str:
    """``float32`` for ONNX's FLOAT and so on."""
    names = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.DOUBLE: "float64"}
    return names.get(element) or onnx.TensorProto.DataType.Name(element).lower()
