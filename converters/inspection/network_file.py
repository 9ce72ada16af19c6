"""A network file for either runtime described, and what to do where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from converters.checkpoints.elsewhere import of_folder
from converters.checkpoints.reading import kind_of
from converters.formats.errors import CheckpointError
from converters.inspection.facts import FileFacts
from edgeface.errors import UsageError

NETWORKS = ("onnx", "tflite")
"""Kinds of files (`converters.checkpoints.reading.KINDS`) that hold a network, not weights alone."""


def describe_network(data: bytes, name: str, companions: Mapping[str, bytes] | None = None) -> FileFacts:
    """Everything that can be said of a network file; ``name`` says which kind it is.

    ``companions`` are files beside it that hold its values, see `companions_of`.

    Raises
    ------
    CheckpointError : it cannot be read
    """
    if kind_of(name) == "onnx":
        from converters.inspection.onnx_file import describe_onnx  # each loads a runtime

        return describe_onnx(data, name, companions)
    from converters.inspection.tflite_file import describe_tflite

    return describe_tflite(data, name)


def read_file(path: Path) -> bytes:
    """Bytes of a file that somebody named; UsageError if it cannot be opened."""
    if path.is_dir():
        what, fix = of_folder(path)
        raise UsageError(f"{path} is {what}, not a file that is read here", fix=fix)
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", fix="give a file") from None


def companions_of(path: Path, data: bytes) -> Mapping[str, bytes]:
    """Files beside one that somebody named and that hold its values, by name: a tfjs manifest's, an ONNX file's.

    Raises
    ------
    CheckpointError : one of them is not there
    """
    found = {}
    for name in companion_names(path.name, data):
        try:
            found[name] = (path.parent / name).read_bytes()
        except OSError as error:
            raise CheckpointError(f"{path} needs {name} beside it: {error.strerror}", fix="put it there") from None
    return found


def companion_names(name: str, data: bytes) -> list[str]:
    """Names of the files that hold the values of a file, for kinds that keep them apart."""
    if kind_of(name) == "tfjs":
        from converters.checkpoints.tfjs import shard_names

        return shard_names(data, name)
    if kind_of(name) == "onnx":
        from converters.formats.onnx_data import external_files

        return external_files(data, name)
    return []
