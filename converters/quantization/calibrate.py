"""``calibrate``: look at training pictures once, and write the range of every tensor beside the recipes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from converters.building.maker import Maker
from converters.building.quiet import silence
from converters.export.ranges import ANY_SHAPE, Measured, RangesFile, rounded
from converters.paths import BUNDLE, DEFAULT_SIGNATURE
from converters.recipes.schema import Quantize
from edgeface.bundle import Signature
from edgeface.config import RuntimeName
from edgeface.errors import UsageError
from edgeface.types import F32

logger = logging.getLogger(__name__)


def quantized_runtimes(maker: Maker) -> list[RuntimeName]:
    """Runtimes in which a network has or tries an int8 variant; UsageError where there is none."""
    network = maker.network
    found: list[RuntimeName] = [
        runtime
        for runtime, precisions in network.files.items()
        if runtime != "opencv" and "int8" in (*precisions, *network.judged)
    ]
    if not found:
        raise UsageError(f"{maker.name} has no int8 file", fix="name int8 under files or try in its recipe")
    return found


def measure(
    maker: Maker, ways: dict[RuntimeName, Quantize], *, data: Path | None = None, pictures: Path | None = None
) -> RangesFile:
    """Ranges of one network in each runtime, rounded.

    Parameters
    ----------
    ways : by runtime, how its file will be quantized
    data, pictures : folder of the labelled data, or of own pictures
    """
    from converters.quantization.samples import Samples  # skimage and scipy take a second

    samples = Samples(maker.network, BUNDLE, data=data, pictures=pictures)
    runtimes: dict[RuntimeName, Measured] = {}
    for runtime, how in ways.items():
        plain = maker.file(runtime, "fp32", equalised=how.equalise)
        logger.info("%s: calibrating %s", maker.name, plain.name)
        graphs = _onnx(plain, maker, how, samples) if runtime == "onnx" else tflite_ranges(plain, maker, how, samples)
        runtimes[runtime] = Measured(
            method=how.calibration,
            equalise=how.equalise,
            graphs={key: rounded(tensors) for key, tensors in graphs.items()},
        )
    return RangesFile(network=maker.name, pictures=samples.described(), runtimes=runtimes)


def _onnx(plain: Path, maker: Maker, how: Quantize, samples: Any) -> dict[str, dict[str, tuple[float, float]]]:
    import onnx

    from converters.export.quantize_onnx import calibrate_onnx

    signatures = maker.signatures if maker.network.is_detector else maker.signatures[:1]

    def batches() -> Iterator[F32]:
        for signature in signatures:
            for batch in samples.batches(signature):
                yield np.ascontiguousarray(batch.transpose(0, 3, 1, 2))

    given = list(batches())
    with silence():
        return {ANY_SHAPE: calibrate_onnx(onnx.load(plain), given, how.calibration)}


def tflite_ranges(plain: Path, maker: Maker, how: Quantize, samples: Any) -> dict[str, dict[str, tuple[float, float]]]:
    """Ranges of a TFLite file by signature and tensor; ``samples`` gives the batches of a `Signature`."""
    from converters.export.quantize_tflite import calibrate_tflite

    given: dict[str, Sequence[F32]] = {entry.key: list(samples.batches(entry)) for entry in _signatures(plain, maker)}
    with silence():
        return calibrate_tflite(plain, given, how.calibration)


def _signatures(plain: Path, maker: Maker) -> Sequence[Signature]:
    """Ways to call a TFLite file: the recipe's of one that was exported here, else its own."""
    from converters.export.quantize_tflite import signature_inputs
    from converters.references.imported import ImportedReference, describe_imported

    if isinstance(maker.reference, ImportedReference):
        own = describe_imported(maker.name, maker.network, maker.prepared, "litert", plain)
        return tuple(own["signatures"])
    if signature_inputs(plain):
        return maker.signatures
    return (msgspec.structs.replace(maker.signatures[0], key=DEFAULT_SIGNATURE),)
