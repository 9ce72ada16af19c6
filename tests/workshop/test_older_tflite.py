"""TFLite files as older converters wrote them are quantized like new ones."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from conftest import SMALL
from tiny import write_tiny

from converters.building.maker import Maker
from converters.export.layers import tflite_layers, tflite_operators
from converters.export.older_tflite import quantizable
from converters.export.quantize_tflite import calibrate_tflite, quantize_tflite, signature_inputs
from converters.export.tflite_weights import shrink_weights
from converters.paths import DEFAULT_SIGNATURE
from converters.quantization.calibrate import tflite_ranges
from converters.recipes.reading import read_network, read_recipe
from converters.recipes.schema import Quantize
from edgeface.bundle import Signature

ENTRY = read_network(SMALL)[1]
SIDE, LABELS = ENTRY.input.width or 0, ENTRY.head.labels  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def pair(small_file: Callable[[str, str], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A file for one face, and the same without signature, with operators by the old field and weights in float16."""
    folder = tmp_path_factory.mktemp("older")
    model = flatbuffer_utils.read_model(str(small_file("fp32", "tflite")))
    model.subgraphs, model.signatureDefs = model.subgraphs[:1], model.signatureDefs[:1]
    graph = model.subgraphs[0]
    weights = [
        number
        for number, tensor in enumerate(graph.tensors)
        if tensor.type == schema.TensorType.FLOAT32 and model.buffers[tensor.buffer].data is not None
    ]
    halves = {}
    for number in weights:
        buffer = model.buffers[graph.tensors[number].buffer]
        halves[number] = np.frombuffer(buffer.data, np.float32).astype(np.float16)
        buffer.data = halves[number].astype(np.float32).view(np.uint8)
    flatbuffer_utils.write_model(model, str(folder / "new.tflite"))
    old = copy.deepcopy(model)
    graph, old.signatureDefs = old.subgraphs[0], None
    widen = schema.OperatorCodeT()
    widen.builtinCode = schema.BuiltinOperator.DEQUANTIZE
    old.operatorCodes.append(widen)
    for code in old.operatorCodes:
        code.deprecatedBuiltinCode, code.builtinCode = code.builtinCode, 0
    for number, half in halves.items():
        narrow, held, operator = schema.TensorT(), schema.BufferT(), schema.OperatorT()
        narrow.name, narrow.shape = graph.tensors[number].name + b"_half", graph.tensors[number].shape
        narrow.type, narrow.buffer = schema.TensorType.FLOAT16, len(old.buffers)
        held.data = half.view(np.uint8)
        old.buffers.append(held)
        graph.tensors[number].buffer = 0
        operator.opcodeIndex = len(old.operatorCodes) - 1
        operator.inputs, operator.outputs = [len(graph.tensors)], [number]
        graph.tensors.append(narrow)
        graph.operators.insert(0, operator)
    flatbuffer_utils.write_model(old, str(folder / "old.tflite"))
    return folder / "new.tflite", folder / "old.tflite"


def faces(count: int) -> list[np.ndarray]:
    dice = np.random.default_rng(5)
    return [dice.uniform(0, 255, (1, SIDE, SIDE, 1)).astype(np.float32) for _ in range(count)]


def answers(path: Path, x: np.ndarray) -> np.ndarray:
    runtime = Interpreter(str(path), num_threads=1)
    runtime.allocate_tensors()
    runtime.set_tensor(runtime.get_input_details()[0]["index"], x)
    runtime.invoke()
    return np.asarray(runtime.get_tensor(runtime.get_output_details()[0]["index"]))


def kinds(path: Path) -> Counter[str]:
    return Counter(operator.kind for operator in next(iter(tflite_operators(path))))


def test_both_answer_the_same(pair: tuple[Path, Path]) -> None:
    new, old = pair
    assert list(signature_inputs(old)) == []
    assert kinds(old)["DEQUANTIZE"] > 5
    np.testing.assert_allclose(answers(old, faces(1)[0]), answers(new, faces(1)[0]), atol=1e-5)


def test_a_new_file_is_taken_as_it_is(pair: tuple[Path, Path]) -> None:
    with quantizable(pair[0]) as path:
        assert path == pair[0]


def test_int8_of_an_older_file_is_int8_throughout(pair: tuple[Path, Path], tmp_path: Path) -> None:
    made = {}
    for plain in pair:
        (key,) = [*signature_inputs(plain)] or [DEFAULT_SIGNATURE]
        ranges = calibrate_tflite(plain, {key: faces(8)}, "minmax")
        made[plain] = tmp_path / f"{plain.stem}.int8.tflite"
        quantize_tflite(plain, ranges, made[plain])
    new, old = made.values()
    assert list(signature_inputs(old)) == [DEFAULT_SIGNATURE]
    assert kinds(old) == kinds(new)
    assert kinds(old)["DEQUANTIZE"] == 1, "at the end; more would be islands of float"
    assert abs(old.stat().st_size - new.stat().st_size) < 0.05 * new.stat().st_size
    for x in faces(3):
        np.testing.assert_allclose(answers(old, x), answers(new, x), atol=1e-6)


@pytest.mark.parametrize("precision", ["fp16w", "int8w"])
def test_smaller_weights_of_an_older_file(pair: tuple[Path, Path], precision: str, tmp_path: Path) -> None:
    sizes = []
    for plain in pair:
        path = tmp_path / f"{plain.stem}.tflite"
        shrink_weights(plain, precision, path)  # type: ignore[arg-type]
        sizes.append(path.stat().st_size)
        np.testing.assert_allclose(answers(path, faces(1)[0]), answers(plain, faces(1)[0]), atol=0.05)
    assert abs(sizes[1] - sizes[0]) < 0.05 * sizes[0]
    assert sizes[0] < 0.7 * pair[0].stat().st_size


def test_layers_of_an_older_file_may_stay_float(pair: tuple[Path, Path], tmp_path: Path) -> None:
    _, plain = pair
    with quantizable(plain) as whole:
        layers = list(tflite_layers(whole)[0])
    assert not any("dequantize" in layer for layer in layers)
    ranges = calibrate_tflite(plain, {DEFAULT_SIGNATURE: faces(8)}, "minmax")
    quantize_tflite(plain, ranges, tmp_path / "kept.tflite", [f"^{re.escape(layer)}$" for layer in layers[::2]])
    quantize_tflite(plain, ranges, tmp_path / "whole.tflite")
    assert (tmp_path / "kept.tflite").stat().st_size > (tmp_path / "whole.tflite").stat().st_size


def test_a_half_that_something_else_reads_stays(pair: tuple[Path, Path], tmp_path: Path) -> None:
    model = flatbuffer_utils.read_model(str(pair[1]))
    graph = model.subgraphs[0]
    half = next(n for n, tensor in enumerate(graph.tensors) if tensor.type == schema.TensorType.FLOAT16)
    graph.outputs = [*graph.outputs, half]
    flatbuffer_utils.write_model(model, str(tmp_path / "read.tflite"))
    with quantizable(tmp_path / "read.tflite") as whole:
        kept = flatbuffer_utils.read_model(str(whole)).subgraphs[0]
    assert [t.name for t in kept.tensors if t.type == schema.TensorType.FLOAT16] == [graph.tensors[half].name]
    assert kept.tensors[kept.outputs[-1]].name == graph.tensors[half].name


@pytest.mark.parametrize(("which", "key"), [(0, "b1"), (1, DEFAULT_SIGNATURE)])
def test_a_file_that_passes_through_is_calibrated_as_it_is_called(
    pair: tuple[Path, Path], which: int, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path / "build"))
    recipe = write_tiny(tmp_path)
    text = recipe.read_text("utf-8").replace("made.onnx", pair[which].name)
    text = text.replace('files = { onnx = ["fp32", "int8w"] }', 'files = { litert = ["fp32", "int8"] }')
    text = text.replace('color = "rgb"', 'color = "grey"').replace("[127.5, 127.5, 127.5]", "[127.5]")
    text = text.replace('"gender"', '"expression"').replace('["female", "male"]', str(list(LABELS)).replace("'", '"'))
    recipe.write_text(text.replace("= 16", f"= {SIDE}"), "utf-8")
    (tmp_path / pair[which].name).write_bytes(pair[which].read_bytes())
    maker = Maker("tiny", read_recipe(str(recipe)))
    asked = []

    class Made:
        def batches(self, signature: Signature) -> list[np.ndarray]:
            asked.append((signature.key, signature.batch, signature.width, signature.height))
            return faces(8)

    found = tflite_ranges(maker.file("litert", "fp32"), maker, Quantize(), Made())
    assert asked == [(key, 1, SIDE, SIDE)]
    assert list(found) == [key]
    assert len(found[key]) > 5
