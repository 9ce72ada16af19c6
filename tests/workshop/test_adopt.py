"""Imported files are adopted: brought to what devices run, or refused with the operator's name."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from converters.export import onnx2tf
from converters.export.to_onnx import IR_VERSION, OPSET
from converters.formats.errors import CheckpointError, ImportedNetworkError
from converters.formats.onnx_graph import opset_of, sides
from converters.formats.tflite import parse
from converters.references.adopt import adopt_onnx, adopt_tflite
from edgeface.bundle import NetworkFile, Signature
from edgeface.errors import EdgefaceError
from edgeface.runtime.litert import LiteRtRunner

RNG = np.random.default_rng(3)
KERNEL = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
DENSE = RNG.normal(size=(4 * 6 * 6, 5)).astype(np.float32)
FIXTURES = Path(__file__).parents[1] / "fixtures"


def model(
    nodes: Sequence[NodeProto],
    *arrays: tuple[str, np.ndarray],
    opset: int = 13,
    ir: int = 7,
    shape: Sequence[int | str] = (1, 3, 8, 8),
    out: Sequence[int | str | None] | None = None,
    listed: bool = False,
) -> ModelProto:
    """A network ``x`` -> ``y``; ``listed`` puts the weights among the inputs as old exporters did."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    if listed:
        inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in arrays]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, out or [None] * 2)
    held = [numpy_helper.from_array(array, name) for name, array in arrays]
    graph = helper.make_graph(list(nodes), "g", inputs, [output], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


CONV = helper.make_node("Conv", ["x", "k"], ["c"])
FREE_CONV = helper.make_node("Conv", ["x", "k"], ["y"])
MATMUL = helper.make_node("MatMul", ["f", "d"], ["y"])


def reshaped(*shape: int) -> ModelProto:
    nodes = [CONV, helper.make_node("Reshape", ["c", "s"], ["f"]), MATMUL]
    return model(nodes, ("k", KERNEL), ("d", DENSE), ("s", np.array(shape, np.int64)))


def upsampled() -> ModelProto:
    up = helper.make_node("Upsample", ["c"], ["y"], mode="nearest", scales=[1.0, 1.0, 2.0, 2.0])
    return model([CONV, up], ("k", KERNEL), opset=7, ir=3, out=[1, 4, 12, 12], listed=True)


def fixed_by_its_graph() -> ModelProto:
    nodes = [CONV, helper.make_node("Flatten", ["c"], ["f"]), helper.make_node("Concat", ["f", "one"], ["y"], axis=1)]
    return model(nodes, ("k", KERNEL), ("one", np.ones((1, 2), np.float32)))


def mixing_its_rows() -> ModelProto:
    """It runs with any batch, but each row's answer depends on the others."""
    mean = helper.make_node("ReduceMean", ["f"], ["m"], axes=[0])
    return model(
        [CONV, helper.make_node("Flatten", ["c"], ["f"]), mean, helper.make_node("Sub", ["f", "m"], ["y"])],
        ("k", KERNEL),
    )


@pytest.mark.parametrize(
    ("original", "shape"),
    [
        pytest.param(reshaped(1, -1), ("batch", 3, 8, 8), id="a reshape to 1 and the rest"),
        pytest.param(reshaped(1, 144), ("batch", 3, 8, 8), id="a reshape with every side written out"),
        pytest.param(reshaped(-1, 144), ("batch", 3, 8, 8), id="a reshape that is free already"),
        pytest.param(upsampled(), ("batch", 3, 8, 8), id="opset 7, weights listed as inputs, Upsample"),
        pytest.param(
            model([FREE_CONV], ("k", KERNEL), opset=21, ir=11, out=[1, 4, 6, 6]),
            ("batch", 3, 8, 8),
            id="opset 21, IR 11",
        ),
        pytest.param(
            model([FREE_CONV], ("k", KERNEL), shape=(5, 3, 8, 8), out=[5, 4, 6, 6]), ("batch", 3, 8, 8), id="batch of 5"
        ),
        pytest.param(
            model([FREE_CONV], ("k", KERNEL), shape=("N", 3, 8, 8), out=["N", 4, 6, 6]), ("batch", 3, 8, 8), id="free"
        ),
        pytest.param(fixed_by_its_graph(), (1, 3, 8, 8), id="a constant of one row keeps the batch at one"),
        pytest.param(mixing_its_rows(), (1, 3, 8, 8), id="a graph that mixes the rows of a batch"),
    ],
)
def test_a_file_is_brought_to_our_opset_with_a_free_batch(original: ModelProto, shape: tuple[int | str, ...]) -> None:
    adopted = adopt_onnx(original.SerializeToString())
    assert opset_of(adopted) == OPSET
    assert 4 <= adopted.ir_version <= IR_VERSION
    onnx.checker.check_model(adopted, full_check=True)
    assert [(value.name, sides(value)) for value in adopted.graph.input] == [("x", shape)]
    assert sides(adopted.graph.output[0])[0] == shape[0]
    rows = sides(original.graph.input[0])[0]
    count = rows if isinstance(rows, int) else 1
    x = RNG.normal(size=(count, 3, 8, 8)).astype(np.float32)
    before = answers(original, x)
    np.testing.assert_allclose(answers(adopted, x), before, atol=1e-4)
    if shape[0] == "batch":
        more = np.concatenate([x, x[:, :, ::-1]])
        np.testing.assert_allclose(answers(adopted, more)[:count], before, atol=1e-4)


def answers(network: ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def test_metadata_are_taken_out() -> None:
    original = model([FREE_CONV], ("k", KERNEL), opset=18, out=[1, 4, 6, 6])
    original.doc_string = "exported in /home/somebody/net.py"
    original.graph.node[0].metadata_props.add(key="stack", value="/home/somebody/net.py")
    assert b"somebody" not in adopt_onnx(original.SerializeToString()).SerializeToString()


def test_a_picture_of_any_size_where_the_graph_allows_it() -> None:
    original = model([FREE_CONV], ("k", KERNEL), out=[1, 4, 6, 6])
    adopted = adopt_onnx(original.SerializeToString(), multiple_of=4)
    assert sides(adopted.graph.input[0]) == ("batch", 3, "height", "width")
    assert answers(adopted, np.zeros((2, 3, 12, 20), np.float32)).shape == (2, 4, 10, 18)


def foreign() -> ModelProto:
    made = model([helper.make_node("Polish", ["x"], ["y"], domain="com.acme")], out=[1, 3, 8, 8])
    made.opset_import.append(helper.make_opsetid("com.acme", 1))
    return made


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(foreign().SerializeToString(), "net uses com.acme.Polish, an operator that is not", id="foreign"),
        pytest.param(
            model([helper.make_node("Polish", ["x"], ["y"])], out=[1, 3, 8, 8]).SerializeToString(),
            "net uses the operator Polish, which opset 13 does not have",
            id="unknown",
        ),
        pytest.param(
            model([helper.make_node("Gelu", ["x"], ["y"])], opset=20, ir=9, out=[1, 3, 8, 8]).SerializeToString(),
            "net uses the operator Gelu, which opset 18 does not have; export it with opset 18",
            id="newer than ours",
        ),
        pytest.param(b"", "net is an ONNX file without operators", id="empty"),
        pytest.param(b"no onnx at all", "net is no ONNX file", id="noise"),
        pytest.param(reshaped(1, -1).SerializeToString()[:-200], "net is no", id="cut off"),
        pytest.param(reshaped(2, 7).SerializeToString(), "net does not", id="sizes that do not fit"),
    ],
)
def test_what_cannot_pass_is_refused_in_one_line(data: bytes, words: str) -> None:
    with pytest.raises(EdgefaceError, match=words) as raised:
        adopt_onnx(data, "net")
    assert "\n" not in str(raised.value)


def test_a_graph_of_one_size_says_so() -> None:
    with pytest.raises(ImportedNetworkError, match="net runs at its own size only: .*; give that size in the recipe"):
        adopt_onnx(reshaped(1, -1).SerializeToString(), "net", multiple_of=32)


def without_signatures(data: bytes) -> bytes:
    """The same TFLite file as older converters wrote it."""
    held = parse(data)
    held.signatureDefs = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(held.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def entry(data: bytes, key: str = "b1", **names: Any) -> NetworkFile:
    return NetworkFile(
        runtime="litert", precision="fp32", path="x", bytes=len(data), sha256="0" * 64, layout="NHWC",
        signatures=(Signature(key=key, batch=1, width=8, height=8),), **names,
    )  # fmt: skip


def test_a_tflite_file_without_signatures_runs_like_one_with_them() -> None:
    data = (FIXTURES / "answers.tflite").read_bytes()
    plain = without_signatures(data)
    facts, bare = adopt_tflite(data), adopt_tflite(plain)
    assert facts.signatures
    assert not bare.signatures
    inside = facts.signatures["b1"]
    named = {value.name: value.name for value in inside["outputs"]}
    placed = dict(zip(named, (value.name for value in bare.outputs), strict=True))
    x = RNG.uniform(size=(1, 8, 8, 1)).astype(np.float32)
    got = LiteRtRunner(plain, entry(plain, input=bare.inputs[0].name, outputs=placed), threads=1).run(x)
    expected = LiteRtRunner(data, entry(data, input=inside["inputs"][0].name, outputs=named), threads=1).run(x)
    assert sorted(array.tobytes() for array in got.values()) == sorted(array.tobytes() for array in expected.values())


@pytest.mark.parametrize(
    "data", [pytest.param(b"TFL3 but nothing else", id="noise"), pytest.param(b"\0\0\0\0TFL3" + bytes(50), id="hollow")]
)
def test_what_is_no_tflite_file_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError, match="net is no TFLite file"):
        adopt_tflite(data, "net")


PROGRAM = """#!/bin/sh
while [ $# -gt 0 ]; do case "$1" in -o) out="$2";; -i) grep -q . "$2" || exit 9;; esac; shift; done
{}
"""
WRITES = 'mkdir -p "$out" && printf made > "$out/network_float32.tflite"'


@pytest.fixture
def onnx2tf_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a stand-in for onnx2tf on the path."""
    monkeypatch.delenv(onnx2tf.PYTHON, raising=False)

    def install(does: str) -> None:
        program = tmp_path / "bin" / "onnx2tf"
        program.parent.mkdir()
        program.write_text(PROGRAM.format(does))
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return install


def test_the_other_runtime_comes_from_onnx2tf_in_its_own_environment(tmp_path: Path, onnx2tf_program: Any) -> None:
    onnx2tf_program(WRITES)
    onnx2tf.convert(reshaped(1, -1), tmp_path / "net.tflite")
    assert (tmp_path / "net.tflite").read_bytes() == b"made"


@pytest.mark.parametrize(
    ("does", "words"),
    [
        pytest.param("echo 1 >&2; echo 'no operator: Foo' >&2; exit 1", "onnx2tf failed: no operator: Foo", id="fails"),
        pytest.param("true", "onnx2tf wrote no fp32 file", id="writes nothing"),
    ],
)
def test_what_onnx2tf_cannot_do_is_one_line(tmp_path: Path, onnx2tf_program: Any, does: str, words: str) -> None:
    onnx2tf_program(does)
    with pytest.raises(EdgefaceError, match=words):
        onnx2tf.convert(reshaped(1, -1), tmp_path / "net.tflite")
    assert not (tmp_path / "net.tflite").exists()


def test_without_onnx2tf_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(onnx2tf.PYTHON, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgefaceError, match="TFLite file is not made, because onnx2tf is not installed; python3.12"):
        onnx2tf.convert(reshaped(1, -1), tmp_path / "net.tflite")
    monkeypatch.setenv(onnx2tf.PYTHON, str(tmp_path / "python"))
    with pytest.raises(EdgefaceError, match="names .*python, which is not there"):
        onnx2tf.convert(reshaped(1, -1), tmp_path / "net.tflite")


@pytest.mark.skipif(not os.environ.get(onnx2tf.PYTHON), reason="EDGEFACE_ONNX2TF names no environment with onnx2tf")
def test_the_real_onnx2tf_gives_the_same_answers(tmp_path: Path) -> None:
    adopted = adopt_onnx(reshaped(1, -1).SerializeToString())
    onnx2tf.convert(adopted, tmp_path / "net.tflite")
    data = (tmp_path / "net.tflite").read_bytes()
    facts = adopt_tflite(data)
    x = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)
    key = next(iter(facts.signatures), "b1")
    runner = LiteRtRunner(data, entry(data, key, input="x", outputs={"y": "y"}), threads=1)
    np.testing.assert_allclose(runner.run(x.transpose(0, 2, 3, 1).copy())["y"], answers(adopted, x), atol=1e-4)
