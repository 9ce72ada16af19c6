"""A source that runs is its own reference: the same weights in another graph are told apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, helper, numpy_helper
from torch import nn

from converters.building.maker import Maker
from converters.export.to_onnx import export_onnx
from converters.export.to_tflite import export_tflite
from converters.formats.errors import CheckpointError
from converters.inspection.any_file import examine
from converters.inspection.own_answers import hold_against_file
from converters.probing.opening import open_file
from converters.recipes.reading import read_recipe
from edgeface.bundle import Signature


class Two(nn.Module):
    """(N, 1, 16, 16) -> ``gender`` (N, 2) and ``affect`` (N, 2): outputs of one shape."""

    outputs = ("gender", "affect")

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.gender, self.affect = nn.Conv2d(1, 4, 3, 2), nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = torch.relu(self.conv(x)).mean((2, 3))
        return torch.softmax(self.gender(y), 1), torch.tanh(self.affect(y))


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return Two().eval()


@pytest.fixture(scope="module")
def model(module: nn.Module) -> ModelProto:
    return export_onnx(module, (1, 16, 16), module.outputs)


def leaky(model: ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type = "LeakyRelu"
            node.attribute.append(helper.make_attribute("alpha", 0.3))


def columns_swapped(model: ModelProto) -> None:
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array([1, 0]), "order"))
    graph.node.append(helper.make_node("Gather", ["gender", "order"], ["turned"], axis=1))
    graph.output[0].name = "turned"


def names_swapped(model: ModelProto) -> None:
    names = {"gender": "affect", "affect": "gender"}
    for node in model.graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]


def scaled_inside(model: ModelProto) -> None:
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.float32(1 / 255), "scale"))
    for node in graph.node:
        node.input[:] = ["small" if name == "input" else name for name in node.input]
    graph.node.insert(0, helper.make_node("Mul", ["input", "scale"], ["small"]))


@pytest.mark.parametrize("change", [leaky, columns_swapped, names_swapped, scaled_inside])
def test_another_graph_of_the_same_weights_does_not_fit(
    change: Callable[[ModelProto], None], module: nn.Module, model: ModelProto
) -> None:
    other = ModelProto()
    other.CopyFrom(model)
    change(other)
    onnx.checker.check_model(other)
    with pytest.raises(CheckpointError, match=r"does not fit two: .* answers otherwise .*; leave family .* out"):
        hold_against_file(module, other.SerializeToString(), "other.onnx", "two")


def test_the_same_graph_fits_whatever_its_outputs_are_called(module: nn.Module, model: ModelProto) -> None:
    hold_against_file(module, model.SerializeToString(), "same.onnx", "two")
    other = ModelProto()
    other.CopyFrom(model)
    names = {"gender": "537", "affect": "538"}
    for node in other.graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
    for output in other.graph.output:
        output.name = names[output.name]
    hold_against_file(module, other.SerializeToString(), "same.onnx", "two")


def test_a_file_that_does_not_run_says_nothing(module: nn.Module, model: ModelProto) -> None:
    other = ModelProto()
    other.CopyFrom(model)
    other.graph.node[0].domain = "com.example"
    hold_against_file(module, other.SerializeToString(), "other.onnx", "two")
    hold_against_file(module, b"", "other.pth", "two")


def test_a_tflite_is_held_against_too(module: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "two.tflite"
    export_tflite(module, (1, 16, 16), [Signature(key="b1", batch=1, width=16, height=16)], path)
    hold_against_file(module, path.read_bytes(), path.name, "two")
    torch.manual_seed(1)
    other = Two().eval()
    with torch.no_grad():
        other.gender.bias[0] += 1
    with pytest.raises(CheckpointError, match="answers otherwise"):
        hold_against_file(other, path.read_bytes(), path.name, "two")


RECIPE = """
family = "gender_v1"
task = "gender"
title = "Leaky"
paper = "none"
licence = "none"
training_data = "none"
limits = "none"
files = { onnx = ["fp32"] }
source = { registry = "file", path = "leaky.onnx" }
input = { color = "rgb", mean = [0, 0, 0], scale = 1.0, height = 32, width = 32, crop = { kind = "square" } }
head = { kind = "categorical", output = "probabilities", labels = ["female", "male"] }
"""


def test_inspect_build_and_probe_say_so(checkpoint: Callable[[str], bytes], tmp_path: Path) -> None:
    model = onnx.load_from_string(checkpoint("gender-v1"))
    (tmp_path / "plain.onnx").write_bytes(model.SerializeToString())
    leaky(model)
    path = tmp_path / "leaky.onnx"
    path.write_bytes(model.SerializeToString())
    assert examine(tmp_path / "plain.onnx")["fits"] == ("gender_v1",)
    found = examine(path)
    assert "fits" not in found
    assert "does not fit gender_v1" in found["nearest"]
    assert open_file(path).recipe.family is None
    assert open_file(tmp_path / "plain.onnx").recipe.family == "gender_v1"
    (tmp_path / "leaky.toml").write_text(RECIPE, "utf-8")
    with pytest.raises(CheckpointError, match="leaky.onnx does not fit gender_v1"):
        _ = Maker("leaky", read_recipe(str(tmp_path / "leaky.toml"))).reference
