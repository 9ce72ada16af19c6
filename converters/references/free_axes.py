"""Sides of an ONNX file that its exporter fixed, made free; each is proved by running it, or stays as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, ValueInfoProto, numpy_helper

from converters.formats.errors import ImportedNetworkError
from converters.formats.onnx_graph import CHANNELS, constants, real_inputs, sides
from converters.formats.onnx_run import open_session, run, same
from converters.inspection.facts import error_text
from edgeface.types import F32


def free_batch(model: ModelProto, fed: Mapping[str, Any], expected: list[F32]) -> ModelProto:
    """Name the first side of every input ``batch``; the model itself where its graph needs the number.

    Two batches in one call must give what each gives alone, and one row what it gave among others. Graphs often fail
    that only because a Reshape writes the number out: those take it from their input then.

    Parameters
    ----------
    fed : an input of the model as it is
    expected : its outputs for that
    """
    values = [value for value in real_inputs(model.graph) if sides(value)]
    if not values or not all(array.ndim for array in expected):
        return model
    other = {name: np.flip(array, axis=-1) if array.ndim else array for name, array in fed.items()}
    twice = {name: np.concatenate([array, other[name]]) if array.ndim else array for name, array in fed.items()}
    first = {name: array[:1] if array.ndim else array for name, array in fed.items()}
    second = run(open_session(model), other)
    both = [np.concatenate(pair) for pair in zip(expected, second, strict=True)]
    for change in (_as_it_is, _reshapes_by_rest, _reshapes_by_input):
        changed = _renamed(change(model, sides(values[0])[0]), {0: "batch"}, expected)
        if _answers(changed, twice, both) and _answers(changed, first, [array[:1] for array in expected]):
            return changed
    return model


def _answers(model: ModelProto, fed: Mapping[str, Any], expected: list[F32]) -> bool:
    try:
        return same(expected, run(open_session(model), fed))
    except Exception:  # ONNX Runtime's errors have no base of their own, and here any means no
        return False


def free_size(
    model: ModelProto, fed: Mapping[str, Any], expected: list[F32], multiple_of: int, name: str
) -> ModelProto:
    """Name height and width of the one input that is a picture; they may be any multiples of a number then.

    Raises
    ------
    PassThroughError : the graph does not run at another size, or answers otherwise at its own
    """
    (value, *others) = real_inputs(model.graph)
    shape = sides(value)
    channel = next((axis for axis in (1, 3) if len(shape) == 4 and shape[axis] in CHANNELS), None)
    if others or channel is None:
        raise ImportedNetworkError(f"{name} has no single picture as its input", fix="give its size in the recipe")
    row = 2 if channel == 1 else 1
    freed = _renamed(model, {row: "height", row + 1: "width"}, expected)
    other = list(fed[value.name].shape)
    other[row : row + 2] = [3 * multiple_of, 5 * multiple_of]
    try:
        session = open_session(freed)
        run(session, {value.name: np.zeros(other, fed[value.name].dtype)})
        kept = same(expected, run(session, fed))
    except Exception as error:  # ONNX Runtime's errors have no base of their own
        words = f"{name} runs at its own size only: {error_text(error)}"
        raise ImportedNetworkError(words, fix="give that size in the recipe") from None
    if not kept:
        raise ImportedNetworkError(f"{name} answers otherwise with a free size", fix="give its own size in the recipe")
    return freed


def _as_it_is(model: ModelProto, _: int | str) -> ModelProto:
    return model


def _reshapes_by_rest(model: ModelProto, batch: int | str) -> ModelProto:
    """Reshapes that write the batch out, and no other unknown side, find it from the number of values."""
    return _with_reshapes(model, batch, -1, unknown=False)


def _reshapes_by_input(model: ModelProto, batch: int | str) -> ModelProto:
    """Reshapes that write the batch out take it from their input."""
    return _with_reshapes(_reshapes_by_rest(model, batch), batch, 0, unknown=True)


def _with_reshapes(model: ModelProto, batch: int | str, side: int, *, unknown: bool) -> ModelProto:
    changed = _copy(model)
    held = constants(changed.graph)
    for node in changed.graph.node:
        shape = held.get(node.input[1]) if node.op_type == "Reshape" else None
        if shape is None or not shape.size or shape[0] != batch or (not unknown and -1 in shape):
            continue
        # A shape of its own: others may share the old one.
        name = f"{node.output[0]}.shape"
        changed.graph.initializer.append(numpy_helper.from_array(np.asarray([side, *shape[1:]], np.int64), name))
        node.input[1] = name
    _forget_unused(changed.graph)
    return changed


def _forget_unused(graph: GraphProto) -> None:
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    for node in [node for node in graph.node if node.op_type == "Constant" and node.output[0] not in used]:
        graph.node.remove(node)


def _renamed(model: ModelProto, names: Mapping[int, str], expected: list[F32]) -> ModelProto:
    """Copy of a model whose inputs have these sides free; the shapes that follow from them are worked out anew."""
    changed = _copy(model)
    for value in real_inputs(changed.graph):
        _name_sides(value, {axis: name for axis, name in names.items() if axis < len(sides(value))})
    del changed.graph.value_info[:]
    for value in changed.graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(changed, data_prop=True)
    del changed.graph.output[:]
    changed.graph.output.extend(inferred.graph.output)
    for value, array in zip(changed.graph.output, expected, strict=True):
        if len(sides(value)) != array.ndim:  # it cannot be told, and a file must say at least how many sides there are
            value.type.tensor_type.shape.Clear()
            for _ in array.shape:
                value.type.tensor_type.shape.dim.add()
        if 0 in names:
            _name_sides(value, {0: names[0]})
    return changed


def _name_sides(value: ValueInfoProto, names: Mapping[int, str]) -> None:
    for axis, name in names.items():
        dimension = value.type.tensor_type.shape.dim[axis]
        dimension.Clear()
        dimension.dim_param = name


def _copy(model: ModelProto) -> ModelProto:
    other = ModelProto()
    other.CopyFrom(model)
    return other
