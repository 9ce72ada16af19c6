"""The int8 variant of a network: committed ranges in, a file out. No pictures are needed."""

from __future__ import annotations

from pathlib import Path

from converters.export.ranges import ANY_SHAPE, network_of, read_ranges
from converters.recipes.schema import Quantize
from edgeface.config import RuntimeName
from edgeface.errors import EdgefaceError
from edgeface.files import write_atomic


def make_int8(plain: Path, runtime: RuntimeName, how: Quantize, ranges: Path, path: Path) -> None:
    """Quantize one fp32 file.

    Parameters
    ----------
    plain, path : fp32 file to read (equalised where ``how`` says so), int8 file to write
    ranges : ``NAME.ranges.json``

    Raises
    ------
    EdgefaceError : in one line: no ranges, ranges of another recipe, or a network with a memory
    UsageError : a pattern of ``how.keep`` that matches no layer
    """
    measured = read_ranges(ranges, runtime, how.calibration, equalise=how.equalise)
    if runtime == "onnx":
        import onnx  # loaded where it is needed: `--help` needs none of it

        from converters.export.quantize_onnx import quantize_onnx

        model = onnx.load(plain)
        refuse_memory(ranges, len(model.graph.input))
        quantized = quantize_onnx(model, measured.graphs[ANY_SHAPE], how.keep, name=network_of(ranges))
        write_atomic(path, quantized.SerializeToString(deterministic=True))
        return
    from converters.export.older_tflite import quantizable
    from converters.export.quantize_tflite import quantize_tflite, signature_inputs

    with quantizable(plain) as whole:
        refuse_memory(ranges, max(map(len, signature_inputs(whole).values())))
    quantize_tflite(plain, measured.graphs, path, how.keep)


def refuse_memory(ranges: Path, inputs: int) -> None:
    """Raise EdgefaceError for a network with more than the picture as input: its memory would drift in int8."""
    if inputs > 1:
        raise EdgefaceError(
            f"{network_of(ranges)} carries a memory from call to call, which int8 would let drift",
            fix='use "int8w" instead',
        )
