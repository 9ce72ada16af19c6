"""TFLite files whose inputs and outputs are whole numbers, as LiteRT itself runs them."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.inspection.picture_file import PictureFile
from edgeface.bundle import NetworkFile, Signature
from edgeface.runtime.litert import LiteRtRunner

SHAPE = (1, 2, 2, 1)
TYPE = schema.TensorType
IN_SCALE, OUT_SCALE = 1 / 255, 1 / 128


def whole_numbers(*, signed: bool, signature: bool) -> bytes:
    """A TFLite file that widens its input and narrows it again, each by its own scale."""
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    kind, zeros = (TYPE.INT8, (-128, -128)) if signed else (TYPE.UINT8, (0, 0))
    graph = schema.SubGraphT()
    graph.tensors = [
        _tensor("image", kind, IN_SCALE, zeros[0]),
        _tensor("real", TYPE.FLOAT32),
        _tensor("answer", kind, OUT_SCALE, zeros[1]),
    ]
    graph.inputs, graph.outputs = [0], [2]
    graph.operators = [_operator(0, 0, 1), _operator(1, 1, 2)]
    model.subgraphs = [graph]
    model.operatorCodes = [_code("DEQUANTIZE"), _code("QUANTIZE")]
    if signature:
        model.signatureDefs = [schema.SignatureDefT()]
        model.signatureDefs[0].signatureKey = b"b1"
        model.signatureDefs[0].inputs, model.signatureDefs[0].outputs = [_entry("image", 0)], [_entry("answer", 2)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(name: str, kind: int, scale: float | None = None, zero: int = 0) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape, tensor.buffer = name.encode(), kind, list(SHAPE), 0
    if scale is not None:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero]
    return tensor


def _operator(code: int, source: int, target: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [source], [target]
    return operator


def _code(name: str) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = 2
    return code


def _entry(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), index
    return entry


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("signature", [True, False])
def test_a_device_feeds_and_reads_float32(signed: bool, signature: bool) -> None:
    data = whole_numbers(signed=signed, signature=signature)
    file = NetworkFile(
        runtime="litert",
        precision="fp32",
        path="w.tflite",
        bytes=len(data),
        sha256="0" * 64,
        layout="NHWC",
        input="image",
        outputs={"answer": "answer"},
        batches=(1,),
        signatures=(Signature(key="b1", batch=1, width=2, height=2),),
    )
    shown = np.array([0.0, 0.25, 0.5, 1.0], np.float32).reshape(SHAPE)
    answer = LiteRtRunner(data, file, threads=1).run(shown)["answer"]
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, shown, atol=0.51 * (IN_SCALE + OUT_SCALE))
    as_it_came = PictureFile(data, "w.tflite").run(shown.transpose(0, 3, 1, 2))["answer"]
    np.testing.assert_allclose(as_it_came, answer, atol=1e-6)
