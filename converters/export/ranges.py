"""Ranges of a network's tensors, as `calibrate` measured them: a text file that `build` reads instead of pictures.

The ranges depend on the processor (float sums in another order), the int8 file that is made from them does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from converters.formats.json_files import write_json_rows
from edgeface.bundle import Closed
from edgeface.config import RuntimeName
from edgeface.errors import EdgefaceError

DIGITS = 4
"""Significant digits that are kept: finer than an int8 step by far, coarser than what kernels differ by."""
ANY_SHAPE = "any"
"""The one graph of an ONNX file, which serves every shape."""

Method = Literal["average", "minmax"]
Tensors = Mapping[str, tuple[float, float]]
"""By tensor: least and largest value."""


class Pictures(Closed, frozen=True, kw_only=True):
    """What was looked at: how many pictures, of which set, and the hash of their bytes in order."""

    set: str
    count: int
    seed: int
    sha256: str


class Measured(Closed, frozen=True, kw_only=True):
    """Ranges for one runtime: by graph (a TFLite signature, or ``any`` for ONNX) and tensor.

    ``equalise`` says whether the network was equalised first, ``method`` how samples were joined.
    """

    method: Method
    equalise: bool = False
    graphs: dict[str, dict[str, tuple[float, float]]]


class RangesFile(Closed, frozen=True, kw_only=True):
    """``NAME.ranges.json``."""

    network: str
    pictures: Pictures
    runtimes: dict[RuntimeName, Measured]


def rounded(tensors: Tensors) -> dict[str, tuple[float, float]]:
    """The same with four significant digits, in the order of their names."""
    return {name: (_round(low), _round(high)) for name, (low, high) in sorted(tensors.items())}


def write_ranges(path: Path, found: RangesFile) -> None:
    """Write the file, one tensor a line, so that a change can be read."""
    write_json_rows(path, found)


def read_ranges(path: Path, runtime: RuntimeName, method: Method, *, equalise: bool) -> Measured:
    """Ranges for one runtime.

    Raises
    ------
    EdgefaceError : there are none, or they were gathered another way than the recipe says
    """
    name = network_of(path)
    fix = f"run `python -m converters calibrate {name}` where the labelled data is"
    if not path.is_file():
        raise EdgefaceError(f"{name} has no calibrated ranges ({path.name})", fix=fix)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=RangesFile)
    except msgspec.DecodeError as error:
        raise EdgefaceError(f"{path.name} cannot be read: {error}", fix=fix) from None
    measured = found.runtimes.get(runtime)
    if measured is None:
        raise EdgefaceError(f"{path.name} has no ranges for {runtime}", fix=fix)
    if (measured.method, measured.equalise) != (method, equalise):
        raise EdgefaceError(
            f"{path.name} was calibrated for {runtime} with {_format_scheme(measured.method, measured.equalise)},"
            f" the recipe says {_format_scheme(method, equalise)}",
            fix=fix,
        )
    return measured


def network_of(path: Path) -> str:
    """Name of the network that a file of ranges or of the network itself is named after."""
    return path.name.partition(".")[0]


def lacking(name: str, missing: str) -> EdgefaceError:
    """The network has a tensor that the ranges do not know: it changed since they were measured."""
    return EdgefaceError(
        f"the ranges of {name} lack tensor {missing}: the network changed since",
        fix=f"run `python -m converters calibrate {name}` where the labelled data is",
    )


def _format_scheme(method: Method, equalise: bool) -> str:
    return f"calibration {method}{', equalised' if equalise else ''}"


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
