"""A network file for either runtime described, and what to do where there is none."""

from __future__ import annotations

from pathlib import Path

from converters.checkpoints.reading import kind_of
from converters.inspection.facts import FileFacts
from edgeface.errors import UsageError

NETWORKS = ("onnx", "tflite")
"""Kinds of files (`converters.checkpoints.reading.KINDS`) that hold a network, not weights alone."""


def describe_network(data: bytes, name: str) -> FileFacts:
    """Everything that can be said of a network file; ``name`` says which kind it is.

    Raises
    ------
    CheckpointError : it cannot be read
    """
    if kind_of(name) == "onnx":
        from converters.inspection.onnx_file import describe_onnx  # each loads a runtime

        return describe_onnx(data, name)
    from converters.inspection.tflite_file import describe_tflite

    return describe_tflite(data, name)


def read_file(path: Path) -> bytes:
    """Bytes of a file that somebody named; UsageError if it cannot be opened."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", fix="give a file") from None
