"""ONNX int8 by plain post-training quantization: QDQ, unsigned activations, signed weights per channel."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from converters.export.to_onnx import IR_VERSION, strip
from converters.recipe import Calibration
from edgeface.types import F32


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Iterator[F32]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, F32] | None:
        """Next input, or None."""
        batch = next(self._batches, None)
        return None if batch is None else {"input": batch}


def quantize_onnx(
    model: ModelProto, batches: Iterator[F32] | None, calibration: Calibration, ranges: Path
) -> ModelProto:
    """Quantize a network.

    Parameters
    ----------
    model : fp32 form
    batches : inputs in the model's layout, or None where ``ranges`` exists already
    calibration : how ranges are gathered: moving average over the samples, or least and largest
    ranges : file of the ranges; read if it exists, written otherwise, so that a rebuild needs no data

    Returns
    -------
    The int8 form; its softmax stays in fp32, because steps of 1/256 would ruin a mean over a distribution.
    """
    with tempfile.TemporaryDirectory() as scratch:
        plain, ready, out = (Path(scratch) / name for name in ("plain.onnx", "ready.onnx", "int8.onnx"))
        onnx.save(model, plain)
        quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
        softmax = [node.name for node in onnx.load(ready).graph.node if node.op_type == "Softmax"]
        quantize_static(
            str(ready),
            str(out),
            None if batches is None else _Reader(batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=softmax,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"CalibMovingAverage": calibration == "average", "CalibMovingAverageConstant": 0.05},
            calibration_cache_path=str(ranges),
        )
        quantized = onnx.load(out)
    quantized.ir_version = min(quantized.ir_version, IR_VERSION)
    del quantized.graph.value_info[:]
    strip(quantized)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized
