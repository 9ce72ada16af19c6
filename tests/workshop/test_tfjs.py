"""Weight manifests of TensorFlow.js, alone and inside a graph."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pins import FACE_API, source

from converters.checkpoints.reading import read_tensors
from converters.formats.errors import CheckpointError

KERNEL = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
PARTS: list[tuple[dict[str, Any], bytes, np.ndarray | None]] = [
    ({"name": "conv/kernel", "shape": [3, 4], "dtype": "float32"}, KERNEL.astype("<f4").tobytes(), KERNEL),
    (
        {
            "name": "eight",
            "shape": [3],
            "dtype": "float32",
            "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1},
        },
        bytes([0, 1, 255]),
        np.array([-1, -0.5, 126.5], np.float32),
    ),
    (
        {"name": "wide", "shape": [2], "dtype": "float32", "quantization": {"dtype": "uint16", "scale": 2, "min": 3}},
        np.array([0, 65535], "<u2").tobytes(),
        np.array([3, 131073], np.float32),
    ),
    (
        {"name": "half", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16"}},
        np.array([0.5, -2], "<f2").tobytes(),
        np.array([0.5, -2], np.float32),
    ),
    ({"name": "scalar", "shape": [], "dtype": "float32"}, np.float32(7).tobytes(), np.float32(7)),
    ({"name": "shape", "shape": [2], "dtype": "int32"}, np.array([1, -1], "<i4").tobytes(), None),
    ({"name": "flag", "shape": [1], "dtype": "bool"}, b"\1", None),
]
BLOB = b"".join(blob for _, blob, _ in PARTS)


def manifest(paths: list[str], **changes: Any) -> list[dict[str, Any]]:
    return [{"paths": paths, "weights": [part | changes.get(part["name"], {}) for part, _, _ in PARTS]}]


def graph() -> dict[str, Any]:
    """A made graph model: a topology that is never looked at beside the same weights."""
    node = {"name": "x", "op": "Placeholder", "attr": {"dtype": {"type": "DT_FLOAT"}}}
    return {"format": "graph-model", "modelTopology": {"node": [node]}, "weightsManifest": manifest(["model.bin"])}


@pytest.mark.parametrize(
    "held", [pytest.param(manifest(["model.bin"]), id="manifest"), pytest.param(graph(), id="graph")]
)
def test_every_way_of_storing_a_tensor_is_read(held: object) -> None:
    tensors = read_tensors(json.dumps(held).encode(), "package/model.json", {"package/model.bin": BLOB})
    expected = {part["name"]: array for part, _, array in PARTS if array is not None}
    assert set(tensors) == set(expected)
    for name, array in expected.items():
        assert tensors[name].dtype == np.float32
        np.testing.assert_array_equal(tensors[name], array)


@given(st.lists(st.integers(0, len(BLOB)), max_size=4))
def test_shards_are_one_file_wherever_it_was_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(BLOB)]
    shards = {f"shard{n}": BLOB[a:b] for n, (a, b) in enumerate(pairwise(edges))}
    tensors = read_tensors(json.dumps(manifest(list(shards))).encode(), "model.json", shards)
    np.testing.assert_array_equal(tensors["conv/kernel"], KERNEL)
    assert tensors["scalar"] == 7


@pytest.mark.parametrize(
    ("data", "blob", "words"),
    [
        pytest.param(json.dumps(manifest(["other.bin"])), BLOB, "needs other.bin, which is not there", id="no shard"),
        pytest.param(json.dumps(manifest(["model.bin"])), BLOB[:-30], "ends after the .bin file does", id="cut off"),
        pytest.param(json.dumps(manifest(["model.bin"])), BLOB + b"x", "bytes and the manifest", id="too long"),
        pytest.param(
            json.dumps(manifest(["model.bin"], flag={"dtype": "complex64"})), BLOB, "unknown type complex64", id="type"
        ),
        pytest.param("{}", BLOB, "is no tfjs weight manifest", id="another JSON"),
        pytest.param('{"weightsManifest": 3}', BLOB, "lists no groups", id="no list"),
        pytest.param("no JSON", BLOB, "is no tfjs weight manifest", id="no JSON"),
    ],
)
def test_what_is_no_whole_manifest_is_refused_in_one_line(data: str, blob: bytes, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as raised:
        read_tensors(data.encode(), "model.json", {"model.bin": blob})
    assert "\n" not in str(raised.value)


def test_a_real_package_gives_every_weight() -> None:
    data, companions = source(FACE_API)
    tensors = read_tensors(data, FACE_API.path, companions)
    assert sum(array.size for array in tensors.values()) == 421_731
    assert tensors["entry_flow/conv_in/filters"].shape == (3, 3, 3, 32)
    assert all(np.isfinite(array).all() for array in tensors.values())
    assert all(np.ptp(array) > 0 for name, array in tensors.items() if "filter" in name)
