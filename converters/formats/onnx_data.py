"""External data: values of an ONNX model that lie in files beside it, as exporters write them by default today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import PurePosixPath

import onnx
from onnx import GraphProto, ModelProto, TensorProto

from converters.formats.errors import CheckpointError

_MARK = b"location"
"""Key of every entry of external data: a file without it has none, and need not be parsed to know that."""


def external_files(data: bytes, name: str = "the file") -> list[str]:
    """Names of the files that hold values of an ONNX file, in their order; none of a file that is whole.

    Raises
    ------
    CheckpointError : it names a file outside its own folder
    """
    if _MARK not in data:
        return []
    try:
        model = onnx.load_from_string(data)
    except Exception:  # protobuf's errors; who reads the file itself says what is wrong with it
        return []
    return list(dict.fromkeys(_location(tensor, name) for tensor in _external(model)))


def read_model(data: bytes, name: str, companions: Mapping[str, bytes]) -> ModelProto:
    """Parse an ONNX file with all its values inside.

    Parameters
    ----------
    companions : by name, the files that `external_files` tells

    Raises
    ------
    CheckpointError : a file is missing or too short
    Exception : protobuf's, for what is no ONNX file
    """
    model: ModelProto = onnx.load_from_string(data)
    for tensor in _external(model):
        _bring_in(tensor, name, companions)
    return model


def whole_file(data: bytes, name: str, companions: Mapping[str, bytes]) -> bytes:
    """Bytes of the same model as one file; those of a file that is whole already are not touched."""
    if not external_files(data, name):
        return data
    whole: bytes = read_model(data, name, companions).SerializeToString(deterministic=True)
    return whole


def _bring_in(tensor: TensorProto, name: str, companions: Mapping[str, bytes]) -> None:
    location = _location(tensor, name)
    held = companions.get(location)
    if held is None:
        raise CheckpointError(f"{name} keeps its values in {location}, which is not there", fix="put it beside")
    entries = {entry.key: entry.value for entry in tensor.external_data}
    size = prod(tensor.dims) * _bits(tensor.data_type) // 8
    try:
        start, length = int(entries.get("offset") or 0), int(entries.get("length") or size)
    except ValueError:
        raise CheckpointError(
            f"{name} does not say where {tensor.name} lies in {location}", fix="export it again"
        ) from None
    part = held[start : start + length] if start >= 0 else b""
    if len(part) != length or length < size:
        raise CheckpointError(
            f"{location} ends before the values of {tensor.name} do", fix=f"bring the one that was written with {name}"
        )
    tensor.raw_data = part
    del tensor.external_data[:]
    tensor.data_location = TensorProto.DEFAULT


def _bits(kind: int) -> int:
    small = {TensorProto.INT4: 4, TensorProto.UINT4: 4}
    return small.get(kind) or 8 * int(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)


def _location(tensor: TensorProto, name: str) -> str:
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    path = PurePosixPath(location.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise CheckpointError(f"{name} keeps values outside its folder, in '{location}'", fix="do not use it")
    return str(path)


def _external(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor whose values lie elsewhere: stored ones, and those of Constant nodes."""
    graphs: list[GraphProto] = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs:
        graph = graphs.pop()
        nodes.extend(graph.node)
        yield from (tensor for tensor in graph.initializer if _is_external(tensor))
        while nodes:
            for attribute in nodes.pop().attribute:
                graphs.extend((*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])))
                tensors = (*attribute.tensors, *([attribute.t] if attribute.HasField("t") else []))
                yield from (tensor for tensor in tensors if _is_external(tensor))


def _is_external(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL)
