"""torch to ONNX: opset 18, free batch and, for detectors, free height and width; no trace of the workstation in it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence

import onnx
import torch
from onnx import ModelProto, ValueInfoProto
from torch import nn

OPSET = 18
IR_VERSION = 10
"""The newest that onnxruntime 1.23.2 reads, the last release for Python 3.10."""
INPUT = "input"
LEAST_SIDE = 12
"""Smallest side of networks of any size: the receptive field of MTCNN's first."""


def export_onnx(
    module: nn.Module,
    shape: tuple[int, ...],
    outputs: Sequence[str],
    *,
    multiple_of: int | None = None,
    states: Mapping[str, tuple[int, ...]] | None = None,
) -> ModelProto:
    """Export a network.

    Parameters
    ----------
    module : takes float32 (N, *shape), then its states, gives a tuple of tensors whose first axis is N
    shape : of one example: C, H, W, or more axes for a window of frames
    outputs : names of what it gives, new states included
    multiple_of : height and width are free multiples of this
    states : further inputs by name, shapes without batch

    Returns
    -------
    A checked model with input ``input`` of (batch, *shape), the free dimensions named ``batch``, ``height``, ``width``
    so that a session can fix them.
    """
    memory = states or {}
    # A batch of one would be taken for a constant by torch.export.
    example = [torch.zeros((2, *shape)), *(torch.zeros((2, *size)) for size in memory.values())]
    batch = torch.export.Dim("batch")
    axes: list[dict[int, object]] = [{0: batch} for _ in example]
    if multiple_of:
        # An example that is no special case: torch.export also fixes what is one, or equal by chance.
        sides = [max(3, -(-64 // multiple_of)) * multiple_of, max(5, -(-96 // multiple_of)) * multiple_of]
        example[0] = torch.zeros((2, shape[0], *sides))
        if multiple_of > 1:
            free = {2: multiple_of * torch.export.Dim("rows"), 3: multiple_of * torch.export.Dim("columns")}
        else:
            free = {2: torch.export.Dim("rows", min=LEAST_SIDE), 3: torch.export.Dim("columns", min=LEAST_SIDE)}
        axes[0] |= free
    program = torch.onnx.export(
        module,
        tuple(example),
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT, *memory],
        output_names=list(outputs),
        dynamic_shapes=tuple(axes),
        verbose=False,
    )
    buffer = io.BytesIO()
    program.save(buffer)
    model = onnx.load_from_string(buffer.getvalue())
    model.ir_version = min(model.ir_version, IR_VERSION)
    _name_axes(model.graph.input[0], {0: "batch", 2: "height", 3: "width"} if multiple_of else {0: "batch"})
    for value in model.graph.input[1:]:
        _name_axes(value, {0: "batch"})
    for output in model.graph.output:
        rest = range(1, len(output.type.tensor_type.shape.dim)) if multiple_of else range(0)
        _name_axes(output, {0: "batch", **dict.fromkeys(rest, "")}, only_free=True)
    del model.graph.value_info[:]
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def strip(model: ModelProto) -> None:
    """Take out metadata and doc strings: the exporter writes stack traces with absolute source paths there."""
    model.doc_string = ""
    del model.metadata_props[:]
    _strip_all([model.graph, *model.functions])
    for graph in (model.graph, *model.functions):
        _strip_all(graph.node)
        _strip_all(graph.value_info)
    for parts in (model.graph.input, model.graph.output, model.graph.initializer):
        _strip_all(parts)


def _strip_all(parts: Iterable[ModelProto]) -> None:
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]


def _name_axes(value: ValueInfoProto, names: Mapping[int, str], *, only_free: bool = False) -> None:
    """Name free axes; an empty name leaves an axis without one. ``only_free`` spares axes that have a number."""
    for axis, name in names.items():
        dimension = value.type.tensor_type.shape.dim[axis]
        if only_free and axis and dimension.HasField("dim_value"):
            continue
        dimension.Clear()
        if name:
            dimension.dim_param = name
