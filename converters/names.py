"""Where the workshop keeps things, and what it calls them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from edgeface.bundle import FileRuntime, Precision

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / "models" / "default"
BUILD = Path(os.environ.get("EDGEFACE_BUILD") or ROOT / "build")
"""Everything that is made and not committed; the environment may say another place."""
PRODUCTS = BUILD / "networks"
RANGES = Path(__file__).parent / "recipes" / "ranges"
"""Ranges of int8 files, committed: with them a build needs no pictures."""
RESULTS = Path(__file__).parent / "results"
SUFFIX: Mapping[FileRuntime, str] = {"onnx": "onnx", "litert": "tflite", "opencv": "xml"}
DEFAULT_SIGNATURE = "serving_default"
"""What the one way to call a TFLite file is called where the file names none."""


def file_name(network: str, runtime: FileRuntime, precision: Precision) -> str:
    """Path of a network file in its bundle."""
    return f"{network}.{precision}.{SUFFIX[runtime]}"


def selftest_name(network: str) -> str:
    """Path of a self-test in its bundle."""
    return f"selftest/{network}.npz"


def ranges_path(network: str) -> Path:
    """Committed ranges of a network's int8 files."""
    return RANGES / f"{network}.ranges.json"
