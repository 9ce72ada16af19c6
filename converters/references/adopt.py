"""Files that nobody wrote a torch module for: taken as they are, checked, and brought to what devices run.

An ONNX file is brought to our opset and file version, its batch is made free where the graph allows it, and each step
is held against the file as it came by running both. A TFLite file is not changed at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import onnx.version_converter
from onnx import ModelProto

from converters.checkpoints.keymap import expect_finite
from converters.checkpoints.tflite_buffers import read_buffers
from converters.export.to_onnx import IR_VERSION, OPSET, strip
from converters.formats.errors import CheckpointError, ImportedNetworkError
from converters.formats.onnx_graph import OWN, all_nodes, constants, opset_of, real_inputs
from converters.formats.onnx_run import open_session, run, same, sample
from converters.inspection.facts import FileFacts, error_text
from converters.inspection.tflite_file import describe_tflite
from converters.references.float_ends import make_float, real
from converters.references.free_axes import free_batch, free_size
from edgeface.types import F32

HALF = 1e-2
"""Of the same, where float16 is computed with: the runtime rounds between other layers then."""
_WITHDRAWN = frozenset({"Upsample", "Scatter"})
"""Operators of old opsets that the converter has a successor for."""


def adopt_onnx(
    data: bytes, name: str = "the file", *, multiple_of: int | None = None, scaled: bool = False
) -> ModelProto:
    """Bring an ONNX file to opset 18 and IR 10 or lower, float32 outside, with a free batch where that is possible.

    Parameters
    ----------
    data : the whole file
    name : what to call it in an error
    multiple_of : for a detector: height and width of its input are to be free multiples of this
    scaled : it is fed scaled pixels, which whole numbers cannot hold

    Returns
    -------
    A checked model without metadata. A side that could be freed is named ``batch``, ``height`` or ``width``; what could
    not keeps its number.

    Raises
    ------
    ImportedNetworkError : it is damaged, has an operator that is not ONNX's own or that the opset does not have, or
        answers otherwise than before
    """
    original = _parse(data, name)
    model = _to_opset(original, name)
    _list_only_what_is_fed(model)
    # From version 4 on weights need not be listed among the inputs.
    model.ir_version = min(max(model.ir_version, 4), IR_VERSION)
    strip(model)
    _check(model, name)
    fed = sample(model)
    expected = run(_session(original, name), fed)
    if not same(expected, run(_session(model, name), fed)):
        raise ImportedNetworkError(f"{name} answers otherwise in opset {OPSET}", fix=f"export it with opset {OPSET}")
    ends = make_float(model, name)
    if ends:
        fed = dict(zip(fed, real(list(fed.values()), list(fed), ends), strict=True))
        expected = real(expected, [output.name for output in model.graph.output], ends)
        _check(model, name)
        if not same(expected, run(_session(model, name), fed), tolerance=HALF):
            raise ImportedNetworkError(f"{name} answers otherwise in float32", fix="export it with float32 inputs")
    if scaled and any(end.pixels for end in ends.values()):
        raise whole_pixels(name)
    model = free_batch(model, fed, expected)
    return model if multiple_of is None else free_size(model, fed, expected, multiple_of, name)


def whole_pixels(name: str) -> ImportedNetworkError:
    """Say that a file wants its pixels as they are."""
    return ImportedNetworkError(
        f"{name} takes pixels 0 to 255 as whole numbers, and its recipe scales them",
        fix="set every mean to 0.0 and scale = 1.0 in its [input]",
    )


def adopt_tflite(data: bytes, name: str = "the file") -> FileFacts:
    """Describe a TFLite file that passes through unchanged: inputs, outputs, signatures, operators.

    Raises
    ------
    CheckpointError : it is no TFLite file
    ImportedNetworkError : LiteRT does not run it
    """
    facts = describe_tflite(data, name)
    expect_finite(_weights(data, name), name)
    answer = facts.runtimes["litert"]
    if answer != "runs":
        raise ImportedNetworkError(f"LiteRT {answer.replace('run it', f'run {name}', 1)}", fix="export it again")
    return facts


def _weights(data: bytes, name: str) -> dict[str, F32]:
    """Weights of a TFLite file, or none where they are stored in a way that only LiteRT reads (sparse)."""
    try:
        return read_buffers(data, name)
    except CheckpointError:
        return {}


def _session(model: ModelProto, name: str) -> Any:
    try:
        return open_session(model)
    except Exception as error:  # ONNX Runtime's errors have no base of their own
        words = f"{name} does not load in ONNX Runtime: {error_text(error)}"
        raise ImportedNetworkError(words, fix="export it with ONNX's own operators") from None


def _parse(data: bytes, name: str) -> ModelProto:
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf's errors
        raise ImportedNetworkError(f"{name} is no ONNX file: {error_text(error)}", fix="bring a whole file") from None
    if not model.graph.node:
        raise ImportedNetworkError(f"{name} is an ONNX file without operators", fix="bring a whole file")
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    for node in all_nodes(model.graph):
        if node.domain not in OWN:
            raise ImportedNetworkError(
                f"{name} uses {node.domain}.{node.op_type}, an operator that is not ONNX's own",
                fix="export it with ONNX's own operators",
            )
        _expect_known(node.op_type, opset_of(model), name)
        _expect_known(node.op_type, OPSET, name)
    # A lone infinity may be meant (a mask, the end of a Clip); a weight has more than one axis.
    stored = {key: array for key, array in constants(model.graph).items() if array.dtype.kind == "f"}
    expect_finite({key: array for key, array in stored.items() if array.ndim > 1 or np.isnan(array).any()}, name)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # the checker's errors
        raise ImportedNetworkError(f"{name} is not valid ONNX: {error_text(error)}", fix="export it again") from None
    return model


def _expect_known(operator: str, opset: int, name: str) -> None:
    # Some operators were withdrawn: Upsample is known to opset 9 only, and converted to its successor.
    if not onnx.defs.has(operator, "") or (operator not in _WITHDRAWN and not onnx.defs.has(operator, opset, "")):
        raise ImportedNetworkError(
            f"{name} uses the operator {operator}, which opset {opset} does not have",
            fix=f"export it with opset {OPSET}",
        )


def _to_opset(model: ModelProto, name: str) -> ModelProto:
    have = opset_of(model)
    convert: Callable[[ModelProto, int], ModelProto] = onnx.version_converter.convert_version
    try:
        changed = convert(model, OPSET)
    except Exception as error:  # RuntimeError, or whatever the converter's C++ raises
        raise ImportedNetworkError(
            f"{name} cannot be brought from opset {have} to {OPSET}: {error_text(error)}",
            fix=f"export it with opset {OPSET}",
        ) from None
    return changed


def _list_only_what_is_fed(model: ModelProto) -> None:
    fed = real_inputs(model.graph)
    del model.graph.input[:]
    model.graph.input.extend(fed)


def _check(model: ModelProto, name: str) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker's errors
        words = f"{name} does not hold in opset {OPSET} and IR {IR_VERSION}: {error_text(error)}"
        raise ImportedNetworkError(words, fix=f"export it with opset {OPSET}") from None
