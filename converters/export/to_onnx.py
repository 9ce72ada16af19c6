"""torch to ONNX: opset 18, free batch and, for detectors, free height and width; no trace of the workstation in it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import onnx
import torch
from onnx import ModelProto, ValueInfoProto
from torch import nn

OPSET = 18
IR_VERSION = 10
"""The newest that onnxruntime 1.23.2 reads, the last release for Python 3.10."""
MULTIPLE_OF = 32


def export_onnx(
    module: nn.Module, shape: tuple[int, int, int], outputs: Sequence[str], *, free_size: bool
) -> ModelProto:
    """Export a network.

    Parameters
    ----------
    module : takes float32 (N, C, H, W), gives a tuple of tensors whose first axis is N
    shape : C, H, W of the example; H and W hold for an attribute network
    outputs : their names
    free_size : height and width are free multiples of 32

    Returns
    -------
    A checked model with input ``input`` of (batch, C, H, W), the free dimensions named ``batch``, ``height``, ``width``
    so that a session can fix them.
    """
    channels, height, width = shape
    # A batch of one would be taken for a constant by torch.export.
    example = torch.zeros((2, channels, height, width))
    axes: dict[int, object] = {0: torch.export.Dim("batch")}
    if free_size:
        # The smallest example that is not a special case: torch.export also fixes what is one or equal by chance.
        example = torch.zeros((2, channels, 3 * MULTIPLE_OF, 5 * MULTIPLE_OF))
        axes |= {2: MULTIPLE_OF * torch.export.Dim("rows"), 3: MULTIPLE_OF * torch.export.Dim("columns")}
    program = torch.onnx.export(
        module,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=["input"],
        output_names=list(outputs),
        dynamic_shapes=(axes,),
        verbose=False,
    )
    buffer = io.BytesIO()
    program.save(buffer)
    model = onnx.load_from_string(buffer.getvalue())
    model.ir_version = min(model.ir_version, IR_VERSION)
    free = {0: "batch", 2: "height", 3: "width"} if free_size else {0: "batch"}
    _name_axes(model.graph.input[0], free)
    for output in model.graph.output:
        _name_axes(output, {0: "batch", 1: ""} if free_size else {0: "batch"})
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


def _name_axes(value: ValueInfoProto, names: dict[int, str]) -> None:
    for axis, name in names.items():
        dimension = value.type.tensor_type.shape.dim[axis]
        dimension.Clear()
        if name:
            dimension.dim_param = name
