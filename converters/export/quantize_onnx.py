"""ONNX int8 by post-training quantization: QDQ, unsigned activations, signed weights per channel."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import TensorsData, create_calibrator, save_tensors_data
from onnxruntime.quantization.shape_inference import quant_pre_process

from converters.export.layers import behind_convolutions, group, matching, onnx_operators
from converters.export.pools import pools_to_convolutions
from converters.export.ranges import Method, Tensors, lacking
from converters.export.to_onnx import IR_VERSION, strip
from edgeface.types import F32


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Iterator[F32], name: str, empty: Mapping[str, Sequence[int]]) -> None:
        self._batches = batches
        self._name = name
        self._empty = empty

    def get_next(self) -> dict[str, F32] | None:
        """Next inputs, or None."""
        batch = next(self._batches, None)
        if batch is None:
            return None
        memory = {name: np.zeros((len(batch), *shape), np.float32) for name, shape in self._empty.items()}
        return {self._name: batch, **memory}


def prepared_onnx(model: ModelProto) -> ModelProto:
    """The variant that is calibrated and quantized: shapes inferred, batch norm and constants folded."""
    with tempfile.TemporaryDirectory() as scratch:
        plain, ready = (Path(scratch) / name for name in ("plain.onnx", "ready.onnx"))
        onnx.save(model, plain)
        quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
        return onnx.load(ready)


def calibrate_onnx(model: ModelProto, batches: Iterable[F32], method: Method) -> dict[str, tuple[float, float]]:
    """Range of every tensor over inputs in the model's layout; a memory is empty, what reads it stays float anyway.

    ``average`` is the mean over the samples of each one's least and largest value, ``minmax`` the extremes.
    """
    with tempfile.TemporaryDirectory() as scratch:
        ready = Path(scratch) / "ready.onnx"
        onnx.save(prepared_onnx(model), ready)
        calibrator = create_calibrator(
            ready,
            augmented_model_path=str(Path(scratch) / "augmented.onnx"),
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"moving_average": method == "average"},
        )
        picture, *memory = model.graph.input
        empty = {one.name: [each.dim_value for each in one.type.tensor_type.shape.dim[1:]] for one in memory}
        calibrator.collect_data(_Reader(iter(batches), picture.name, empty))
        found = calibrator.compute_data()
    return {name: (_number(found[name].lowest), _number(found[name].highest)) for name in found}


def quantize_onnx(
    model: ModelProto, ranges: Tensors, keep: Sequence[str] = (), *, name: str = "the network"
) -> ModelProto:
    """Quantize a network.

    Parameters
    ----------
    model : fp32 variant
    ranges : by tensor, from `calibrate_onnx`
    keep : patterns of layers (`converters.export.layers`) that stay in fp32
    name : what errors call it

    Returns
    -------
    The int8 variant; its softmax stays in fp32, because steps of 1/256 would ruin a mean over a distribution, and so
    does of a network with a memory all that `behind_convolutions` finds.

    Raises
    ------
    UsageError : a pattern that matches no layer
    EdgefaceError : a tensor has no range; a network with a memory has no convolution
    """
    ready = prepared_onnx(model)
    operators = onnx_operators(ready)
    layers = group(operators)
    left = [node.name for node in ready.graph.node if node.op_type == "Softmax"]
    left += [name for layer in matching(layers, keep) for name in layers[layer]]
    if len(model.graph.input) > 1:
        left += behind_convolutions(operators)
    with tempfile.TemporaryDirectory() as scratch:
        source, out, cache = (Path(scratch) / name for name in ("ready.onnx", "int8.onnx", "ranges.json"))
        onnx.save(ready, source)
        save_tensors_data(_tensors_data(ranges), cache)
        try:
            quantize_static(
                str(source),
                str(out),
                None,
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=left,
                calibrate_method=CalibrationMethod.MinMax,
                calibration_cache_path=str(cache),
            )
        except (KeyError, ValueError) as error:
            raise lacking(name, str(error)) from None
        quantized = onnx.load(out)
    quantized.ir_version = min(quantized.ir_version, IR_VERSION)
    del quantized.graph.value_info[:]
    pools_to_convolutions(quantized)
    strip(quantized)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


def _number(value: npt.NDArray[np.float32]) -> float:
    return float(np.asarray(value).reshape(-1)[0])


def _tensors_data(ranges: Tensors) -> TensorsData:
    ends = {name: (np.array(low, np.float32), np.array(high, np.float32)) for name, (low, high) in ranges.items()}
    return TensorsData(CalibrationMethod.MinMax, ends)
