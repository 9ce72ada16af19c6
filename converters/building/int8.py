"""The int8 variant of a network: committed ranges in, a file out. No pictures are needed."""

from __future__ import annotations

from pathlib import Path

from converters.export.ranges import ANY_SHAPE, network_of, read_ranges
from converters.recipes.schema import Quantize
from edgeface.config import RuntimeName
from edgeface.files import write_atomic


def make_int8(plain: Path, runtime: RuntimeName, how: Quantize, ranges: Path, path: Path) -> None:
    """Quantize one fp32 file.

    Parameters
    ----------
    plain, path : fp32 file to read (equalised where ``how`` says so), int8 file to write
    ranges : ``NAME.ranges.json``

    Raises
    ------
    EdgefaceError : in one line: no ranges, ranges of another recipe, or a memory without a convolution
    UsageError : a pattern of ``how.keep`` that matches no layer
    """
    measured = read_ranges(ranges, runtime, how.calibration, equalise=how.equalise)
    if runtime == "onnx":
        import onnx  # loaded where it is needed: `--help` needs none of it

        from converters.export.quantize_onnx import quantize_onnx

        quantized = quantize_onnx(onnx.load(plain), measured.graphs[ANY_SHAPE], how.keep, name=network_of(ranges))
        write_atomic(path, quantized.SerializeToString(deterministic=True))
        return
    from converters.export.quantize_tflite import quantize_tflite

    quantize_tflite(plain, measured.graphs, path, how.keep)
