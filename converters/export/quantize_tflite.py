"""TFLite int8 by post-training quantization: every signature calibrated by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import qtyping, quantizer, recipe
from ai_edge_quantizer.utils import qsv_utils, tfl_flatbuffer_utils

from converters.export.compact import compact
from converters.export.layers import tflite_scopes, torch_path
from converters.export.older_tflite import quantizable
from converters.export.ranges import Method, Tensors, lacking, network_of
from edgeface.errors import EdgefaceError, first_line
from edgeface.types import F32

THREADS = 2
QSVS = dict[str, dict[str, npt.NDArray[np.float32]]]
"""By tensor: ``min`` and ``max``, as the quantizer gathers and takes them."""


def teach_leaky_relu() -> None:
    """Let the quantizer treat LeakyReLU like ReLU.

    The kernel takes int8 with its own scales; version 0.10.0 only lacks the entry, and would leave 38 islands of
    float in RetinaFace. A private table: the version is pinned, and a test counts the DEQUANTIZE that remain.
    """
    table = tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME
    taught = {**table, schema.BuiltinOperator.LEAKY_RELU: qtyping.TFLOperationName.RELU}
    tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME = type(table)(taught)


def calibrate_tflite(
    plain: Path, batches: Mapping[str, Iterable[F32]], method: Method
) -> dict[str, dict[str, tuple[float, float]]]:
    """Ranges by signature and tensor; a memory is empty, what reads it stays float anyway.

    Parameters
    ----------
    plain : fp32 file
    batches : by signature, channel-last inputs
    method : ``average`` (the library's moving average, 0.95 old and 0.05 new, in the order of the samples) or
        ``minmax`` (least and largest value)

    Raises
    ------
    EdgefaceError : a signature has no batches
    """
    found = {}
    with quantizable(plain) as path:
        work, activations = _quantizer(path), _activations(path)
        for key, inputs in signature_inputs(path).items():
            memory = _empty_memory(path, key, inputs[1:])
            samples = [{inputs[0]: batch, **memory} for batch in batches.get(key, ())]
            if not samples:
                raise EdgefaceError(
                    f"signature {key} of {plain.name} has no pictures to calibrate with", fix="give some"
                )
            gathered = _gathered(work, key, samples, method)
            names = activations[key]
            found[key] = {names[name]: _ends(values) for name, values in gathered.items() if name in names}
    return found


def quantize_tflite(plain: Path, ranges: Mapping[str, Tensors], path: Path, keep: Sequence[str] = ()) -> None:
    """Quantize a TFLite file; of a network with a memory all that `behind_convolutions` finds stays float.

    Parameters
    ----------
    plain, path : fp32 file to read, int8 file to write; inputs and outputs stay float32
    ranges : by signature and tensor, from `calibrate_tflite`; each tensor then takes the widest of all signatures
    keep : patterns of layers (`converters.export.layers`) that stay in fp32

    Raises
    ------
    UsageError : a pattern that matches no layer
    EdgefaceError : a tensor or signature has no range; a network with a memory has no convolution
    """
    with quantizable(plain) as whole:
        remembers = any(len(inputs) > 1 for inputs in signature_inputs(whole).values())
        work = _quantizer(whole, tflite_scopes(whole, keep, remembers=remembers))
        qsvs: QSVS = {}
        for key, names in _activations(whole).items():
            known = ranges.get(key, {})
            for name, short in names.items():
                if short in known:
                    low, high = known[short]
                    qsvs[name] = {"min": _scalar(low), "max": _scalar(high)}
        try:
            work.quantize(share_ranges(whole, qsvs)).export_model(str(path), overwrite=True)
        except (KeyError, ValueError) as error:
            raise lacking(network_of(plain), first_line(error)) from None
        except RuntimeError as error:
            if not qsvs:
                raise lacking(network_of(plain), "every tensor") from None
            raise EdgefaceError(
                f"the quantizer refuses {plain.name}: {first_line(error)}", fix='use "int8w" instead'
            ) from None
    compact(path)


def share_ranges(plain: Path, ranges: QSVS) -> QSVS:
    """Give a tensor the same range in every signature: the least and the largest of all.

    Signatures share their biases, whose integers depend on the scale of the layer's input: two ranges of one tensor
    would leave one signature with the other's biases. The signatures are one graph in several shapes, so their tensors
    stand in the same order.
    """
    graphs = [[tensor.name.decode() for tensor in graph.tensors] for graph in _model(plain).subgraphs]
    if len({len(names) for names in graphs}) != 1:
        raise EdgefaceError(
            f"the signatures of {plain.name} are not one graph in several shapes", fix="quantize them one by one"
        )
    shared = dict(ranges)
    for names in zip(*graphs, strict=True):
        found = [ranges[name] for name in names if ranges.get(name)]
        if len(found) < 2:
            continue
        widest = {
            "min": np.minimum.reduce([values["min"] for values in found]),
            "max": np.maximum.reduce([values["max"] for values in found]),
        }
        shared |= {name: {**ranges[name], **widest} for name in names if name in ranges}
    return shared


def _quantizer(plain: Path, kept: Sequence[str] = ()) -> quantizer.Quantizer:
    teach_leaky_relu()
    work = quantizer.Quantizer(str(plain))
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    names = qtyping.TFLOperationName
    for operation in (names.SOFTMAX, names.INPUT, names.OUTPUT):
        # Steps of 1/256 would ruin a mean over a distribution; and a device's tensors stay float at both ends.
        work.update_quantization_recipe(regex=".*", operation_name=operation, algorithm_key="no_quantize")
    for scope in kept:
        work.update_quantization_recipe(
            regex=scope,
            operation_name=names.ALL_SUPPORTED,
            algorithm_key="no_quantize",
        )
    return work


def _gathered(work: quantizer.Quantizer, key: str, samples: Sequence[Mapping[str, F32]], method: Method) -> QSVS:
    if method == "average":
        result: QSVS = work.calibrate({key: samples}, num_threads=THREADS)
        return result
    merged: QSVS = {}
    for sample in samples:
        for name, found in work.calibrate({key: [sample]}, num_threads=THREADS).items():
            merged[name] = qsv_utils.min_max_update(merged.get(name), found)
    return merged


def _activations(plain: Path) -> dict[str, dict[str, str]]:
    """By signature: its tensors that are no constants, each with a short name that is unique in the signature."""
    model = _model(plain)
    found = {}
    for key, number in _signature_graphs(plain).items():
        graph = model.subgraphs[number]
        names = [tensor.name.decode() for tensor in graph.tensors if model.buffers[tensor.buffer].data is None]
        short: dict[str, str] = {}
        for name in names:
            path = torch_path(name)
            same = sum(1 for other in short.values() if other.partition("#")[0] == path)
            short[name] = f"{path}#{same + 1}" if same else path
        found[key] = short
    return found


def signature_inputs(plain: Path) -> dict[str, list[str]]:
    """By signature, the names of its inputs."""
    return {key: list(parts["inputs"]) for key, parts in Interpreter(str(plain)).get_signature_list().items()}


def _empty_memory(plain: Path, key: str, names: Sequence[str]) -> dict[str, F32]:
    """Zeros for the further inputs of a signature."""
    details = Interpreter(str(plain)).get_signature_runner(key).get_input_details()
    return {name: np.zeros(details[name]["shape"], np.float32) for name in names}


def _signature_graphs(plain: Path) -> dict[str, int]:
    return {entry.signatureKey.decode(): entry.subgraphIndex for entry in _model(plain).signatureDefs or ()}


def _model(plain: Path) -> schema.ModelT:
    return tfl_flatbuffer_utils.read_model(str(plain))


def _ends(values: Mapping[str, npt.NDArray[np.float32]]) -> tuple[float, float]:
    return float(np.min(values["min"])), float(np.max(values["max"]))


def _scalar(value: float) -> npt.NDArray[np.float32]:
    return np.full((1, 1, 1, 1), value, np.float32)
