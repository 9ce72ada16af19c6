"""Inputs and outputs of an ONNX file made float32, which is what a device feeds and reads.

float16 and float64 are cast. Whole numbers that a scale stands for (behind DequantizeLinear, before QuantizeLinear) are
quantized and widened by that scale. Other whole numbers are taken for pixels 0 to 255: rounded, then cast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from converters.formats.errors import ImportedNetworkError
from converters.formats.onnx_graph import all_nodes, constants, real_inputs, type_name
from edgeface.types import F32

_WIDE = frozenset({TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16})
_WHOLE = frozenset({TensorProto.UINT8, TensorProto.UINT16, TensorProto.INT32, TensorProto.INT64})
_SMALL = frozenset({TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16})


class End(NamedTuple):
    """One input or output that was no float32: its scale and zero point (1 and 0 where it has none)."""

    scale: float
    zero: int
    pixels: bool

    def real(self, array: npt.NDArray[Any]) -> F32:
        """Return its values in float32."""
        wide: F32 = (array.astype(np.float32) - np.float32(self.zero)) * np.float32(self.scale)
        return wide


def make_float(model: ModelProto, name: str) -> dict[str, End]:
    """Give every input and output of a model type float32, in place; the ends that were changed, by name.

    Raises
    ------
    ImportedNetworkError : an end is of a type that no pixels go into (text, truth values, numbers without a scale)
    """
    changed = {}
    for value in real_inputs(model.graph):
        if value.type.tensor_type.elem_type != TensorProto.FLOAT:
            changed[value.name] = _input(model, value, name)
    for value in model.graph.output:
        if value.type.tensor_type.elem_type != TensorProto.FLOAT:
            changed[value.name] = _output(model, value)
    return changed


def real(arrays: Sequence[npt.NDArray[Any]], names: Sequence[str], ends: Mapping[str, End]) -> list[F32]:
    """Arrays by the names of their ends, in float32."""
    plain = End(1.0, 0, pixels=False)
    return [ends.get(name, plain).real(array) for name, array in zip(names, arrays, strict=True)]


def _input(model: ModelProto, value: ValueInfoProto, name: str) -> End:
    kind, outside = value.type.tensor_type.elem_type, value.name
    readers = [node for node in all_nodes(model.graph) if outside in node.input]
    inside = f"{outside}_inside"
    scale = _scale(model, readers, "DequantizeLinear", outside) if kind in _SMALL else None
    if scale is not None:
        nodes = [helper.make_node("QuantizeLinear", [outside, *scale.names], [inside])]
    elif kind in _WIDE:
        nodes = [helper.make_node("Cast", [outside], [inside], to=kind)]
    elif kind in _WHOLE:
        nodes = _pixels(model, outside, inside, kind)
    else:
        raise ImportedNetworkError(
            f"{name} takes {type_name(kind)} in {outside}, and says no scale for it",
            fix="export it with float32 or uint8 pixels",
        )
    for node in readers:
        node.input[:] = [inside if one == outside else one for one in node.input]
    for place, node in enumerate(nodes):
        model.graph.node.insert(place, node)
    value.type.tensor_type.elem_type = TensorProto.FLOAT
    return End(1.0, 0, pixels=kind not in _WIDE) if scale is None else End(scale.scale, scale.zero, pixels=False)


def _pixels(model: ModelProto, outside: str, inside: str, kind: int) -> list[NodeProto]:
    for end, number in (("least", 0.0), ("most", 255.0)):
        tensor = onnx.numpy_helper.from_array(np.array(number, np.float32), f"{outside}_{end}")
        model.graph.initializer.append(tensor)
    steps = [f"{outside}_rounded", f"{outside}_clipped"]
    return [
        helper.make_node("Round", [outside], [steps[0]]),
        helper.make_node("Clip", [steps[0], f"{outside}_least", f"{outside}_most"], [steps[1]]),
        helper.make_node("Cast", [steps[1]], [inside], to=kind),
    ]


def _output(model: ModelProto, value: ValueInfoProto) -> End:
    outside = value.name
    inside = f"{outside}_inside"
    makers = [node for node in model.graph.node if outside in node.output]
    scale = _scale(model, makers, "QuantizeLinear", outside)
    for node in all_nodes(model.graph):
        node.input[:] = [inside if one == outside else one for one in node.input]
    for node in makers:
        node.output[:] = [inside if one == outside else one for one in node.output]
    if scale is not None:
        model.graph.node.append(helper.make_node("DequantizeLinear", [inside, *scale.names], [outside]))
    else:
        model.graph.node.append(helper.make_node("Cast", [inside], [outside], to=TensorProto.FLOAT))
    value.type.tensor_type.elem_type = TensorProto.FLOAT
    return End(1.0, 0, pixels=False) if scale is None else End(scale.scale, scale.zero, pixels=False)


class _Scale(NamedTuple):
    names: list[str]
    scale: float
    zero: int


def _scale(model: ModelProto, nodes: Sequence[NodeProto], operator: str, end: str) -> _Scale | None:
    """One scale and zero point with which all these nodes stand at an end, or None."""
    if not nodes or any(node.op_type != operator for node in nodes):
        return None
    first = nodes[0]
    if operator == "DequantizeLinear" and any(node.input[0] != end for node in nodes):
        return None
    held = constants(model.graph)
    names = [one for one in first.input[1:] if one]
    if any(name not in held or held[name].size != 1 for name in names):
        return None
    if any([one for one in node.input[1:] if one] != names for node in nodes) or len(names) < 2:
        return None  # without a zero point its type would be a guess
    return _Scale(names, float(held[names[0]].item()), int(held[names[1]].item()))
