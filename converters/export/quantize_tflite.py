"""TFLite int8 by plain post-training quantization: every signature calibrated by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import qtyping, quantizer, recipe
from ai_edge_quantizer.utils import qsv_utils, tfl_flatbuffer_utils

from converters.recipe import Calibration
from edgeface.types import F32

THREADS = 2
Ranges = dict[str, dict[str, npt.NDArray[np.float32]]]
"""By tensor: ``min`` and ``max``, as the quantizer gathers them."""


def teach_leaky_relu() -> None:
    """Let the quantizer treat LeakyReLU like ReLU.

    The kernel takes int8 with its own scales; version 0.10.0 only lacks the entry, and would leave 38 islands of
    float in RetinaFace. A private table: the version is pinned, and a test counts the DEQUANTIZE that remain.
    """
    table = tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME
    taught = {**table, schema.BuiltinOperator.LEAKY_RELU: qtyping.TFLOperationName.RELU}
    tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME = type(table)(taught)


def quantize_tflite(
    plain: Path, batches: Mapping[str, Iterator[F32]] | None, calibration: Calibration, ranges: Path, path: Path
) -> None:
    """Quantize a TFLite file.

    Parameters
    ----------
    plain, path : fp32 file to read, int8 file to write; inputs and outputs stay float32
    batches : by signature, channel-last inputs; or None where ``ranges`` exists already. Each signature is calibrated,
        then each tensor takes the widest range of all
    calibration : how ranges are gathered: the library's moving average, or least and largest
    ranges : file of the ranges; read if it exists, written otherwise
    """
    teach_leaky_relu()
    work = quantizer.Quantizer(str(plain))
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    names = qtyping.TFLOperationName
    for operation in (names.SOFTMAX, names.INPUT, names.OUTPUT):
        # Steps of 1/256 would ruin a mean over a distribution; and a device's tensors stay float at both ends.
        work.update_quantization_recipe(regex=".*", operation_name=operation, algorithm_key="no_quantize")
    if ranges.is_file():
        result = _from_json(ranges)
    else:
        if batches is None:
            raise ValueError(f"{ranges} is missing and there is no data to calibrate with")
        result = share_ranges(plain, _calibrate(work, batches, calibration))
        ranges.parent.mkdir(parents=True, exist_ok=True)
        ranges.write_text(_to_json(result), encoding="utf-8")
    work.quantize(result).export_model(str(path), overwrite=True)


def share_ranges(plain: Path, ranges: Ranges) -> Ranges:
    """Give a tensor the same range in every signature: the least and the largest of all.

    Signatures share their biases, whose integers depend on the scale of the layer's input: two ranges of one tensor
    would leave one signature with the other's biases. The signatures are one graph in several shapes, so their tensors
    stand in the same order.
    """
    graphs = [
        [tensor.name.decode() for tensor in graph.tensors]
        for graph in tfl_flatbuffer_utils.read_model(str(plain)).subgraphs
    ]
    if len({len(names) for names in graphs}) != 1:
        raise ValueError(f"the signatures of {plain.name} are not one graph in several shapes")
    shared = dict(ranges)
    for names in zip(*graphs, strict=True):
        found = [ranges[name] for name in names if ranges.get(name)]
        if len(found) < 2 or any(values["min"].shape != found[0]["min"].shape for values in found):
            continue
        widest = {
            "min": np.minimum.reduce([values["min"] for values in found]),
            "max": np.maximum.reduce([values["max"] for values in found]),
        }
        shared |= {name: {**ranges[name], **widest} for name in names if name in ranges}
    return shared


def _calibrate(work: quantizer.Quantizer, batches: Mapping[str, Iterator[F32]], calibration: Calibration) -> Ranges:
    data = {key: [{"args_0": batch} for batch in samples] for key, samples in batches.items()}
    if calibration == "average":
        result: Ranges = work.calibrate(data, num_threads=THREADS)
        return result
    merged: Ranges = {}
    for key, samples in data.items():
        for sample in samples:
            for name, found in work.calibrate({key: [sample]}, num_threads=THREADS).items():
                merged[name] = qsv_utils.min_max_update(merged.get(name), found)
    return merged


def _to_json(ranges: Ranges) -> str:
    plain = {
        name: {kind: np.asarray(value).tolist() for kind, value in values.items() if kind in ("min", "max")}
        for name, values in sorted(ranges.items())
    }
    return json.dumps(plain, separators=(",", ":"), sort_keys=True) + "\n"


def _from_json(path: Path) -> Ranges:
    stored = json.loads(path.read_text("utf-8"))
    return {
        name: {kind: np.array(value, np.float32) for kind, value in values.items()} for name, values in stored.items()
    }
