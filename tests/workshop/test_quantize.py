"""int8 from ranges alone: whole, mixed, the same bytes anywhere, every signature by itself."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from onnx import ModelProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as fn

from converters.building.int8 import make_int8
from converters.export.layers import onnx_layers, tflite_layers, tflite_operators, torch_path
from converters.export.quantize_onnx import calibrate_onnx, prepared_onnx, quantize_onnx
from converters.export.quantize_tflite import calibrate_tflite, quantize_tflite
from converters.export.ranges import ANY_SHAPE, Measured, Pictures, RangesFile, rounded, write_ranges
from converters.export.tflite_weights import shrink_weights
from converters.export.to_onnx import export_onnx
from converters.export.to_tflite import export_tflite
from converters.export.weights import int8_weights
from converters.recipes.schema import Quantize
from edgeface.bundle import Signature
from edgeface.errors import EdgefaceError, UsageError
from edgeface.types import F32

SIGNATURES = (
    Signature(key="w32h32", batch=1, width=32, height=32),
    Signature(key="w96h32", batch=1, width=96, height=32),
)
SAMPLES = 24


class Small(nn.Module):
    """A stem, a depthwise and a pointwise layer with LeakyReLU, two heads that are joined, and a softmax."""

    outputs = ("boxes", "scores")

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.1))
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.LeakyReLU(0.1), nn.Conv2d(8, 16, 1))
        self.head = nn.Conv2d(16, 4, 1)
        self.score = nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = fn.relu(self.deep(self.stem(x)))
        boxes, scores = (layer(x).permute(0, 2, 3, 1).flatten(1, 2) for layer in (self.head, self.score))
        return boxes, fn.softmax(scores, dim=-1)


@dataclass(frozen=True)
class Made:
    """The small network in both runtimes with its ranges."""

    model: ModelProto
    tflite: Path
    onnx_ranges: Mapping[str, tuple[float, float]]
    tflite_ranges: Mapping[str, Mapping[str, tuple[float, float]]]


def inputs(width: int, height: int = 32) -> list[F32]:
    """Made samples, channel-last."""
    dice = np.random.default_rng(width)
    return [dice.uniform(-2, 2, (1, height, width, 3)).astype(np.float32) for _ in range(SAMPLES)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    torch.manual_seed(4)
    network = Small().eval()
    path = tmp_path_factory.mktemp("small") / "small.fp32.tflite"
    model = export_onnx(network, (3, 32, 32), network.outputs, multiple_of=32)
    export_tflite(network, (3, 32, 32), SIGNATURES, path)
    batches = {entry.key: inputs(entry.width or 0) for entry in SIGNATURES}
    first = [np.ascontiguousarray(x.transpose(0, 3, 1, 2)) for x in (*batches["w32h32"], *batches["w96h32"])]
    return Made(
        model=model,
        tflite=path,
        onnx_ranges=rounded(calibrate_onnx(model, first, "minmax")),
        tflite_ranges={k: rounded(v) for k, v in calibrate_tflite(path, batches, "minmax").items()},
    )


def run_tflite(path: Path, key: str, x: F32) -> list[F32]:
    runner = Interpreter(str(path)).get_signature_runner(key)
    return [array for _, array in sorted(runner(args_0=x).items())]


def session(model: ModelProto, **options: str) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    for key, value in options.items():
        settings.add_session_config_entry(f"session.{key}", value)
    return onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])


def run_onnx(model: ModelProto, x: F32, **options: str) -> list[F32]:
    result: list[F32] = session(model, **options).run(None, {"input": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})
    return result


def off(got: list[F32], expected: list[F32]) -> float:
    """Largest difference as a share of an output's largest value."""
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(got, expected, strict=True))


def kinds(path: Path) -> list[Counter[str]]:
    return [Counter(operator.kind for operator in graph) for graph in tflite_operators(path)]


def test_layers_bear_the_names_of_the_torch_module(made: Made) -> None:
    named = {"stem.0", "deep.0", "deep.2", "head", "score"}
    assert named <= set(onnx_layers(prepared_onnx(made.model)))
    for layers in tflite_layers(made.tflite):
        assert named <= set(layers)


@pytest.mark.parametrize(
    ("tensor", "path"),
    [
        (
            "litert_torch.W/x.RetinaFace_wrapped/x.Body_body/torch.nn.Sequential_stage1/torch.nn.Conv2d_0;5",
            "body.stage1.0",
        ),
        ("litert_torch.W/x.Small_wrapped;3", "network"),
        ("litert_torch.W/x.N_wrapped/a.Conv2d_conv5X5_1;4;litert_torch.W/x.N_wrapped/a.Norm_norm;1", "norm"),
        ("litert_torch.convert.Wrapper;7", "network"),
        ("body.stage1.0@512", "body.stage1.0"),
        ("model/conv2d/Conv2D", "model/conv2d/Conv2D"),
        ("me@home", "me@home"),
        ("@12", "@12"),
        ("w32h32_args_0", "w32h32_args_0"),
    ],
)
def test_names_in_tflite_files_are_read(tensor: str, path: str) -> None:
    assert torch_path(tensor) == path


def test_a_whole_int8_file_has_no_stray_float(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "int8.tflite"
    quantize_tflite(made.tflite, made.tflite_ranges, path)
    for count in kinds(path):
        assert count["DEQUANTIZE"] <= 2, "one at each end of the softmax and the output"
        assert count["QUANTIZE"] == 1
        assert count["LEAKY_RELU"] == 2
    quantized = quantize_onnx(made.model, made.onnx_ranges)
    held = {node.input[0] for node in quantized.graph.node if node.op_type == "DequantizeLinear"}
    for node in quantized.graph.node:
        if node.op_type in ("Conv", "LeakyRelu"):
            source = next(n for n in quantized.graph.node if node.input[0] in n.output)
            assert source.op_type == "DequantizeLinear", f"{node.name} computes in float"
    assert len(held) > 10


@pytest.mark.parametrize("entry", SIGNATURES, ids=lambda entry: entry.key)
def test_every_signature_answers_like_fp32(made: Made, tmp_path: Path, entry: Signature) -> None:
    path = tmp_path / "int8.tflite"
    quantize_tflite(made.tflite, made.tflite_ranges, path)
    for x in inputs(entry.width or 0)[:4]:
        expected = run_tflite(made.tflite, entry.key, x)
        assert 1e-5 < off(run_tflite(path, entry.key, x), expected) < 0.1


@pytest.mark.parametrize("options", [{}, {"x64quantprecision": "1"}], ids=["plain", "precise"])
@pytest.mark.parametrize("keep", [(), ("^head$",)], ids=["whole", "mixed"])
def test_onnx_answers_like_fp32_with_and_without_the_option(
    made: Made, options: dict[str, str], keep: tuple[str, ...]
) -> None:
    quantized = quantize_onnx(made.model, made.onnx_ranges, keep)
    for x in (*inputs(32)[:3], *inputs(96)[:3]):
        # Without the option, sums of unsigned times signed overflow on x86 that has no VNNI.
        allowed = 0.05 if options else 0.25
        assert 1e-5 < off(run_onnx(quantized, x, **options), run_onnx(made.model, x)) < allowed


def test_layers_that_are_kept_stay_float(made: Made, tmp_path: Path) -> None:
    whole, mixed = tmp_path / "whole.tflite", tmp_path / "mixed.tflite"
    quantize_tflite(made.tflite, made.tflite_ranges, whole)
    quantize_tflite(made.tflite, made.tflite_ranges, mixed, ["^stem\\.0$"])
    for before, after in zip(kinds(whole), kinds(mixed), strict=True):
        assert after["QUANTIZE"] == 1, "the stem reads the float picture, what follows is quantized once"
        assert after["DEQUANTIZE"] == before["DEQUANTIZE"]
    quantized = quantize_onnx(made.model, made.onnx_ranges, ["^stem\\.0$"])
    stored = {tensor.name: tensor.data_type for tensor in quantized.graph.initializer}
    assert stored["stem.0.weight"] == onnx.TensorProto.FLOAT
    assert stored["deep.0.weight_quantized"] == onnx.TensorProto.INT8


def test_a_pattern_that_matches_nothing_names_layers(made: Made, tmp_path: Path) -> None:
    for quantize in (
        lambda: quantize_onnx(made.model, made.onnx_ranges, ["^stam"]),
        lambda: quantize_tflite(made.tflite, made.tflite_ranges, tmp_path / "x.tflite", ["^stam"]),
    ):
        with pytest.raises(UsageError, match=r"keep pattern '\^stam' matches no layer; layers are: .*stem\.0"):
            quantize()


def test_the_same_ranges_give_the_same_bytes_in_any_folder(made: Made, tmp_path: Path) -> None:
    hashes = set()
    for folder in ("one", "another/deeper"):
        path = tmp_path / folder / "small.int8.tflite"
        path.parent.mkdir(parents=True)
        source = path.with_name("small.fp32.tflite")
        source.write_bytes(made.tflite.read_bytes())
        quantize_tflite(source, made.tflite_ranges, path, ["^head$"])
        model = quantize_onnx(made.model, made.onnx_ranges, ["^head$"]).SerializeToString(deterministic=True)
        for data in (path.read_bytes(), model):
            assert str(tmp_path).encode() not in data
            assert b"site-packages" not in data
        hashes.add((hashlib.sha256(path.read_bytes()).hexdigest(), hashlib.sha256(model).hexdigest()))
    assert len(hashes) == 1


def test_a_signature_without_pictures_is_refused(made: Made) -> None:
    with pytest.raises(EdgefaceError, match="signature w96h32 of small.fp32.tflite has no pictures"):
        calibrate_tflite(made.tflite, {"w32h32": inputs(32)[:2]}, "average")


def test_ranges_of_another_network_say_so(made: Made, tmp_path: Path) -> None:
    short = {key: dict(list(tensors.items())[3:]) for key, tensors in made.tflite_ranges.items()}
    with pytest.raises(EdgefaceError, match="ranges of small lack .*converters calibrate small"):
        quantize_tflite(made.tflite, short, tmp_path / "x.tflite")
    assert not (tmp_path / "x.tflite").exists()
    with pytest.raises(EdgefaceError, match="ranges of small lack tensor .*converters calibrate small"):
        quantize_onnx(made.model, dict(list(made.onnx_ranges.items())[3:]), name="small")


def test_average_and_extremes_differ_as_they_should(made: Made) -> None:
    batches = {entry.key: inputs(entry.width or 0)[:6] for entry in SIGNATURES}
    average = calibrate_tflite(made.tflite, batches, "average")
    for key, tensors in calibrate_tflite(made.tflite, batches, "minmax").items():
        assert set(tensors) == set(average[key])
        assert all(low <= average[key][name][0] + 1e-6 for name, (low, _) in tensors.items())
        assert all(high >= average[key][name][1] - 1e-6 for name, (_, high) in tensors.items())


def test_a_file_is_made_from_the_committed_ranges_alone(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "small.ranges.json"
    runtimes = {
        "onnx": Measured(method="minmax", graphs={ANY_SHAPE: dict(made.onnx_ranges)}),
        "litert": Measured(method="minmax", graphs={key: dict(t) for key, t in made.tflite_ranges.items()}),
    }
    pictures = Pictures(set="made", count=SAMPLES, seed=0, sha256="0")
    write_ranges(path, RangesFile(network="small", pictures=pictures, runtimes=runtimes))  # type: ignore[arg-type]
    plain = tmp_path / "small.fp32.onnx"
    onnx.save(made.model, plain)
    make_int8(plain, "onnx", Quantize(calibration="minmax"), path, tmp_path / "small.int8.onnx")
    make_int8(made.tflite, "litert", Quantize(calibration="minmax"), path, tmp_path / "small.int8.tflite")
    assert (tmp_path / "small.int8.onnx").stat().st_size < plain.stat().st_size * 3
    with pytest.raises(EdgefaceError, match="has no calibrated ranges"):
        make_int8(plain, "onnx", Quantize(), tmp_path / "none.ranges.json", tmp_path / "none.onnx")
    assert not (tmp_path / "none.onnx").exists()


def recurrent() -> ModelProto:
    """A dense layer, an LSTM and a dense layer, of 32 channels each."""
    dice = np.random.default_rng(3)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(dice.normal(0, 0.3, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("MatMul", ["input", "before.weight"], ["dense"], "first"),
        helper.make_node("LSTM", ["dense", "memory.weight", "back"], ["steps"], "memory", hidden_size=32),
        helper.make_node("Squeeze", ["steps", "axis"], ["flat"], "squeeze"),
        helper.make_node("MatMul", ["flat", "after.weight"], ["answer"], "last"),
    ]
    constants = [
        weights("before.weight", 32, 32), weights("memory.weight", 1, 128, 32), weights("back", 1, 128, 32),
        weights("after.weight", 32, 32), numpy_helper.from_array(np.array([1], np.int64), "axis"),
    ]  # fmt: skip
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [5, 1, 32]) for name in ("input", "answer")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_int8_weights_reach_recurrent_layers_and_spare_the_kept_ones() -> None:
    model = recurrent()
    smaller = int8_weights(model, ["^after$"])
    kinds_of = {tensor.name: tensor.data_type for tensor in smaller.graph.initializer}
    for name in ("before.weight", "memory.weight", "back"):
        assert kinds_of[f"{name}.int8"] == onnx.TensorProto.INT8
    assert kinds_of["after.weight.fp16"] == onnx.TensorProto.FLOAT16
    assert smaller.ByteSize() < 0.4 * model.ByteSize()
    x = np.random.default_rng(1).normal(size=(5, 1, 32)).astype(np.float32)
    for options in ({}, {"disable_quant_qdq": "1"}):
        expected, got = (session(one, **options).run(None, {"input": x})[0] for one in (model, smaller))
        assert 1e-6 < np.abs(got - expected).max() < 0.03 * np.abs(expected).max()


def test_kept_layers_become_float16_in_tflite(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "int8w.tflite"
    shrink_weights(made.tflite, "int8w", path, ["^deep\\.2$"])
    kinds_of = Counter(d["dtype"].__name__ for d in Interpreter(str(path)).get_tensor_details() if d["index"] >= 0)
    assert kinds_of["float16"] > 0
    assert kinds_of["int8"] > 0
    for entry in SIGNATURES:
        x = inputs(entry.width or 0)[0]
        assert off(run_tflite(path, entry.key, x), run_tflite(made.tflite, entry.key, x)) < 0.02
