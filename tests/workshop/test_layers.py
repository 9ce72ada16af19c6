"""Layers that networks share: their numbers, and what becomes of them in the exported files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as fn

from converters.export.to_onnx import export_onnx
from converters.export.to_tflite import export_tflite
from converters.formats.tflite import operator_names, parse
from converters.networks.layers import PReLU, SameConv2d, SameMaxPool2d, same_padding
from edgeface.bundle import Signature

SIDE = 18


class Small(nn.Module):
    """The layers one after another, on (N, 3, 18, 18); ``slopes`` of the PReLU."""

    def __init__(self, slopes: Sequence[float]) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv = SameConv2d(3, len(slopes), 3, 2)
        self.prelu = PReLU(len(slopes))
        self.prelu.weight.data = torch.tensor(slopes)
        self.pool = SameMaxPool2d(3, 2)
        self.dense = nn.Conv2d(len(slopes), 4, 5)
        self.last = PReLU(4, 0.1)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        x = self.pool(self.prelu(self.conv(x)))
        return (self.last(self.dense(x).flatten(1)),)


def tflite_operators(path: Path) -> list[str]:
    return operator_names(parse(path.read_bytes()))


def run_tflite(path: Path, x: np.ndarray) -> np.ndarray:
    signature = Interpreter(str(path), num_threads=1).get_signature_runner("b2")
    answer: np.ndarray = signature(args_0=np.ascontiguousarray(x.transpose(0, 2, 3, 1)))["output_0"]
    return answer


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, onnx.ModelProto, Path]:
    module = Small([0.25, -0.5, 1.0, 0.0]).eval()
    path = tmp_path_factory.mktemp("layers") / "small.tflite"
    export_tflite(module, (3, SIDE, SIDE), [Signature(key="b2", batch=2, width=SIDE, height=SIDE)], path)
    return module, export_onnx(module, (3, SIDE, SIDE), ["answer"]), path


def test_prelu_with_slopes_up_to_one_is_a_maximum_in_both_files(
    exported: tuple[nn.Module, onnx.ModelProto, Path],
) -> None:
    _, model, path = exported
    operators = tflite_operators(path)
    assert operators.count("MAXIMUM") == 2
    assert not {"RELU", "SUB", "PRELU", "NEG"} & set(operators)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Max") == 2
    assert not {"PRelu", "Relu", "Sub"} & set(kinds)


def test_no_pad_stands_before_the_pooling(exported: tuple[nn.Module, onnx.ModelProto, Path]) -> None:
    _, _, path = exported
    operators = tflite_operators(path)
    assert not {"PAD", "PADV2"} & set(operators[operators.index("CONV_2D") :])


def test_the_files_give_what_the_module_gives(exported: tuple[nn.Module, onnx.ModelProto, Path]) -> None:
    module, _, path = exported
    x = np.random.default_rng(2).normal(size=(2, 3, SIDE, SIDE)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose(run_tflite(path, x), expected, atol=1e-5)


def test_prelu_with_a_larger_slope_is_a_minimum() -> None:
    module = Small([0.25, 0.5, 1.5, 0.0]).eval()
    kinds = [node.op_type for node in export_onnx(module, (3, SIDE, SIDE), ["answer"]).graph.node]
    assert kinds.count("Max") == 1, "the one with slopes up to one"
    assert not {"PRelu", "Relu", "Sub"} & set(kinds)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 5)])
@pytest.mark.parametrize("slopes", [(0.25, -0.5, 1.0), (0.25, 1.5, -2.0)])
@pytest.mark.parametrize("training", [False, True])
def test_prelu_equals_torch(shape: tuple[int, ...], slopes: tuple[float, ...], training: bool) -> None:
    ours, theirs = PReLU(3), nn.PReLU(3)
    state = {"weight": torch.tensor(slopes)}
    for layer in (ours, theirs):
        layer.load_state_dict(state)
        layer.train(training)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-6, atol=1e-6)


def test_prelu_settles_its_form_when_weights_change() -> None:
    layer = PReLU(2).eval()
    layer.load_state_dict({"weight": torch.tensor([0.5, 3.0])})
    assert not layer.at_most_one
    layer.weight.data = torch.tensor([0.5, 1.0])
    assert layer.eval().at_most_one


@given(side=st.integers(1, 40), kernel=st.integers(1, 7), stride=st.integers(1, 3))
def test_same_padding_gives_the_rounded_up_side_with_the_end_first(side: int, kernel: int, stride: int) -> None:
    before, after = same_padding(side, kernel, stride)
    assert after - before in (0, 1)
    if before + after:
        assert (side + before + after - kernel) // stride + 1 == -(-side // stride)


@given(height=st.integers(4, 15), width=st.integers(4, 15), kernel=st.sampled_from([2, 3, 5]), stride=st.integers(1, 2))
def test_same_layers_equal_a_written_out_padding(height: int, width: int, kernel: int, stride: int) -> None:
    x = torch.randn(1, 2, height, width, generator=torch.Generator().manual_seed(3))
    rows, columns = same_padding(height, kernel, stride), same_padding(width, kernel, stride)
    conv = SameConv2d(2, 2, kernel, stride, groups=2)
    written = fn.conv2d(fn.pad(x, (*columns, *rows)), conv.weight, conv.bias, stride, groups=2)
    torch.testing.assert_close(conv(x), written)
    if (kernel, stride) == (2, 1):
        with pytest.raises(ValueError, match="cannot be padded"):
            SameMaxPool2d(kernel, stride)
        return
    pooled = fn.max_pool2d(fn.pad(x, (*columns, *rows), value=-torch.inf), kernel, stride)
    torch.testing.assert_close(SameMaxPool2d(kernel, stride)(x), pooled, rtol=0, atol=0)
