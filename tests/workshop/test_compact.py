"""TFLite files are rewritten smaller: names of layers, scales once; they answer the same."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer.utils import tfl_flatbuffer_utils
from bundles import EXPRESSION

from converters.export.compact import compact
from converters.paths import BUNDLE

SHIPPED = sorted(BUNDLE.glob("*.tflite"))
INT8 = BUNDLE / f"{EXPRESSION}.int8.tflite"
LONG = "litert_torch.Wrapper/nets.Net_wrapped/torch.nn.modules.container.Sequential_{}/torch.nn.Conv2d_0;{}"


def wasteful(path: Path, name: str) -> schema.ModelT:
    """Write a file as the libraries do: every name and set of scales in full, data where it falls."""
    model = tfl_flatbuffer_utils.read_model(str(INT8))
    for number, tensor in enumerate(tensor for graph in model.subgraphs for tensor in graph.tensors):
        tensor.name = name.format(number // 4, number).encode()
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    return model


def answers(path: Path) -> dict[str, list[np.ndarray]]:
    runtime = Interpreter(str(path), num_threads=1)
    found = {}
    for key, parts in runtime.get_signature_list().items():
        run = runtime.get_signature_runner(key)
        shape = run.get_input_details()[parts["inputs"][0]]["shape"]
        pixels = np.random.default_rng(7).uniform(0, 255, shape).astype(np.float32)
        outputs = run(**{parts["inputs"][0]: pixels})
        found[key] = [outputs[name] for name in parts["outputs"]]
    return found


def test_a_file_shrinks_and_answers_the_same(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    wasteful(path, LONG)
    size, before = path.stat().st_size, answers(path)
    compact(path)
    # Seven of ten bytes are weights, which stay.
    assert path.stat().st_size < 0.93 * size
    after = answers(path)
    assert list(after) == list(before) == ["b1", "b4", "b8"]
    for key, outputs in before.items():
        for one, other in zip(outputs, after[key], strict=True):
            np.testing.assert_array_equal(one, other)


def test_tensors_bear_the_name_of_their_layer_and_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    wasteful(path, LONG)
    compact(path)
    graphs = tfl_flatbuffer_utils.read_model(str(path)).subgraphs
    names = [tensor.name.decode() for graph in graphs for tensor in graph.tensors]
    assert names[:6] == ["0.0@0", "0.0@1", "0.0@2", "0.0@3", "1.0@4", "1.0@5"]
    assert len(set(names)) == len(names)


def test_names_from_elsewhere_stay(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    model = wasteful(path, "model_{}/conv2d;{}")
    compact(path)
    graphs = tfl_flatbuffer_utils.read_model(str(path)).subgraphs
    assert [[t.name for t in graph.tensors] for graph in graphs] == [
        [t.name for t in graph.tensors] for graph in model.subgraphs
    ]


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda path: path.name)
def test_shipped_files_are_compact(shipped: Path, tmp_path: Path) -> None:
    copy = tmp_path / shipped.name
    copy.write_bytes(shipped.read_bytes())
    compact(copy)
    assert copy.read_bytes() == shipped.read_bytes()
    assert b"litert_torch" not in shipped.read_bytes()


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda path: path.name)
def test_weights_lie_where_the_format_asks(shipped: Path) -> None:
    data = np.frombuffer(shipped.read_bytes(), np.uint8)
    model = schema.Model.GetRootAs(data.data, 0)
    buffers = [model.Buffers(number) for number in range(model.BuffersLength())]
    places = [held.DataAsNumpy().ctypes.data - data.ctypes.data for held in buffers if held.DataLength()]
    assert all(0 < place < len(data) for place in places)
    assert places
    assert all(place % 16 == 0 for place in places)
