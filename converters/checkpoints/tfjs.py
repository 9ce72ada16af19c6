"""Weights of TensorFlow.js: a manifest of names and shapes (alone or inside a graph's JSON) and ``.bin`` files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from converters.formats.errors import CheckpointError
from edgeface.types import F32

TYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint16": "<u2", "uint8": "u1", "bool": "u1"}


def read_tfjs(data: bytes, name: str, companions: Mapping[str, bytes]) -> dict[str, F32]:
    """Floating-point tensors by the manifest's names.

    Values are little-endian, in the manifest's order, across the shards of a group as if they were one file. Those
    stored as uint8 or uint16 are ``value * scale + min``, those stored as float16 a plain cast.

    Parameters
    ----------
    data : a weight manifest, or a graph (``model.json``) that contains one
    companions : the shards, by name or path

    Raises
    ------
    CheckpointError : not a manifest, a shard is missing or has another length, or an unknown storage type
    """
    shards = {PurePosixPath(path).name: values for path, values in companions.items()}
    tensors: dict[str, F32] = {}
    try:
        for group in _groups(json.loads(data)):
            blob = b"".join(_shard(shards, path, name) for path in group["paths"])
            tensors.update(_unpack(group["weights"], blob))
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{name} is no tfjs weight manifest: {error}", fix="bring the .json beside its .bin"
        ) from None
    return tensors


def shard_names(data: bytes, name: str) -> list[str]:
    """Names of the ``.bin`` files that a manifest's values lie in; CheckpointError as `read_tfjs`."""
    try:
        return [PurePosixPath(path).name for group in _groups(json.loads(data)) for path in group["paths"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{name} is no tfjs weight manifest: {error}", fix="bring the .json beside its .bin"
        ) from None


def _groups(held: Any) -> Iterable[Mapping[str, Any]]:
    groups = held["weightsManifest"] if isinstance(held, dict) else held
    if not isinstance(groups, list):
        raise TypeError("it lists no groups of weights")
    return groups


def _shard(shards: Mapping[str, bytes], path: str, name: str) -> bytes:
    shard = shards.get(PurePosixPath(path).name)
    if shard is None:
        raise CheckpointError(f"{name} needs {path}, which is not there", fix="put it beside, or among the companions")
    return shard


def _unpack(weights: Iterable[Mapping[str, Any]], blob: bytes) -> dict[str, F32]:
    tensors: dict[str, F32] = {}
    at = 0
    for weight in weights:
        packed = weight.get("quantization", {})
        stored = TYPES.get(packed.get("dtype", weight["dtype"]))
        if stored is None:
            raise ValueError(f"{weight['name']} has the unknown type {packed.get('dtype', weight['dtype'])}")
        count = prod(weight["shape"])
        size = count * np.dtype(stored).itemsize
        if at + size > len(blob):
            raise ValueError(f"{weight['name']} ends after the .bin file does")
        values = np.frombuffer(blob, stored, count, at).reshape(weight["shape"])
        at += size
        if weight["dtype"] != "float32":
            continue
        # In double precision and rounded once, as tfjs itself does it.
        wide = values * float(packed["scale"]) + float(packed["min"]) if "scale" in packed else values
        tensors[weight["name"]] = wide.astype(np.float32)
    if at != len(blob):
        raise ValueError(f"the .bin file has {len(blob):,} bytes and the manifest {at:,}")
    return tensors
