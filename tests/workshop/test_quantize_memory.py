"""Networks with a memory in int8: the convolutions alone, so that nothing drifts from call to call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from modules import run, seeded
from onnx import ModelProto
from torch import Tensor, nn

from converters.export.layers import tflite_operators
from converters.export.quantize_onnx import calibrate_onnx, quantize_onnx
from converters.export.quantize_tflite import calibrate_tflite, quantize_tflite
from converters.export.ranges import rounded
from converters.export.to_onnx import export_onnx
from converters.export.to_tflite import export_tflite
from converters.references.torch_module import new_state
from edgeface.bundle import Signature
from edgeface.errors import EdgefaceError
from edgeface.types import F32

SIDE = 32
KINDS = (("lstm", 2), ("gru", 1), ("mean", 1))
SIGNATURES = (Signature(key="b1", batch=1, width=SIDE, height=SIDE),)
Call = Callable[..., list[F32]]


@dataclass(frozen=True)
class Made:
    """A network with a memory, and its int8 files."""

    step: Any
    onnx: ModelProto
    tflite: Path


def faces(count: int, seed: int) -> F32:
    """Smooth made pictures, channel-first, from -1 to 1: one face in changing light."""
    dice = np.random.default_rng(seed)
    face = dice.normal(size=(1, 3, 4, 4)).repeat(SIDE // 4, 2).repeat(SIDE // 4, 3)
    light = dice.uniform(0.5, 1.5, (count, 1, 1, 1))
    return np.clip(0.5 * face * light + dice.normal(0, 0.05, (count, 3, SIDE, SIDE)), -1, 1).astype(np.float32)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    cell, layers = request.param
    heads = {"age": {"kind": "softmax", "length": 11}, "gender": {"kind": "softmax", "length": 2}}
    options = {"width": 4, "heads": heads}
    step = seeded("over_time", backbone="dense_residual", options=options, remembers="age", cell=cell, layers=layers)
    with torch.no_grad():
        for weight in step.layers.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())))
    folder = tmp_path_factory.mktemp(cell)
    names = [*step.outputs, *map(new_state, step.states)]
    shown = [face[None] for seed in range(12) for face in faces(1, seed)]
    plain, path, small = export_onnx(step, (3, SIDE, SIDE), names, states=step.states), folder / "a", folder / "b"
    export_tflite(step, (3, SIDE, SIDE), SIGNATURES, path, states=step.states)
    model = quantize_onnx(plain, rounded(calibrate_onnx(plain, shown, "minmax")))
    given = {"b1": [np.ascontiguousarray(face.transpose(0, 2, 3, 1)) for face in shown]}
    ranges = {key: rounded(tensors) for key, tensors in calibrate_tflite(path, given, "minmax").items()}
    quantize_tflite(path, ranges, small)
    return Made(step, model, small)


def in_onnx(made: Made) -> Call:
    session = onnxruntime.InferenceSession(made.onnx.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def in_litert(made: Made) -> Call:
    runner = Interpreter(str(made.tflite)).get_signature_runner("b1")

    def call(face: F32, *memory: F32) -> list[F32]:
        given = {f"args_{number}": array for number, array in enumerate((face.transpose(0, 2, 3, 1), *memory))}
        found: Mapping[str, F32] = runner(**given)
        return [found[f"output_{number}"] for number in range(len(found))]

    return call


@pytest.mark.parametrize("runtime", [in_onnx, in_litert])
def test_it_answers_like_float_and_does_not_drift(made: Made, runtime: Callable[[Made], Call]) -> None:
    call = runtime(made)
    memory = [np.zeros((1, *shape), np.float32) for shape in made.step.states.values()]
    plain = [torch.from_numpy(one) for one in memory]
    off = []
    for face in faces(60, seed=99):
        age, _, *memory = call(face[None], *memory)
        expected, _, *plain = run(made.step, torch.from_numpy(face[None]), *plain)
        off.append(float(np.abs(age - expected.numpy()).max()))
        assert all(one.dtype == np.float32 for one in memory)
    assert max(off) < 0.02, "of probabilities"
    assert max(off[-20:]) < 2 * max(*off[:20], 0.002), "no more after sixty frames than after twenty"


@pytest.mark.parametrize("runtime", [in_onnx, in_litert])
def test_its_memory_is_kept_to_the_last_digit(made: Made, runtime: Callable[[Made], Call]) -> None:
    """A memory that is far too small for an int8 step comes back changed by as much as float changes it."""
    call, face = runtime(made), faces(1, seed=99)
    memory = [np.full((1, *shape), 0.5, np.float32) for shape in made.step.states.values()]
    before = call(face, *memory)[len(made.step.outputs) :]
    memory[0] = memory[0] + np.float32(1e-5)
    after = call(face, *memory)[len(made.step.outputs) :]
    assert max(float(np.abs(b - a).max()) for a, b in zip(before, after, strict=True)) > 0
    assert max(float(np.abs(b - a).max()) for a, b in zip(before, after, strict=True)) < 1e-4


def test_convolutions_are_int8_and_what_follows_them_is_float(made: Made) -> None:
    made_by = {name: node.op_type for node in made.onnx.graph.node for name in node.output}
    reads = {
        kind: {made_by.get(name) for node in made.onnx.graph.node if node.op_type in kinds for name in node.input[:2]}
        for kind, kinds in (("convolution", ("Conv",)), ("dense", ("Gemm", "MatMul")))
    }
    assert reads["convolution"] == {"DequantizeLinear"}
    assert "DequantizeLinear" not in reads["dense"]
    (operators,) = tflite_operators(made.tflite)
    types = {one["name"]: one["dtype"] for one in Interpreter(str(made.tflite)).get_tensor_details()}
    assert {types[one.name] for one in operators if one.kind == "CONV_2D"} == {np.int8}
    assert {types[one.name] for one in operators if one.kind == "FULLY_CONNECTED"} == {np.float32}


class Dense(nn.Module):
    """A memory and nothing that int8 could be good for."""

    outputs = ("answer",)
    states = {"h": (4,)}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        new = self.layer(x.flatten(1)) + h
        return new.softmax(1), new


def test_without_a_convolution_there_is_nothing_to_gain(tmp_path: Path) -> None:
    module = Dense().eval()
    model = export_onnx(module, (3, 2, 2), ("answer", "h_next"), states=module.states)
    with pytest.raises(EdgefaceError, match="keeps nothing for int8"):
        quantize_onnx(model, rounded(calibrate_onnx(model, [np.zeros((1, 3, 2, 2), np.float32)], "minmax")))
    onnx.checker.check_model(model)
