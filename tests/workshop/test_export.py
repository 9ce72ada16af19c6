"""The export steps on small networks of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from converters.export.to_onnx import export_onnx, strip
from converters.export.weights import fp16_weights, int8_weights, quantize_per_channel


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(11)
        self.conv = nn.Conv2d(3, 24, 3, stride=2, padding=1)
        self.dense = nn.Linear(24, 30)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.dense(torch.relu(self.conv(x)).mean((2, 3))),)


@pytest.fixture(scope="module")
def small() -> tuple[nn.Module, onnx.ModelProto]:
    module = Small().eval()
    return module, export_onnx(module, (3, 32, 32), ["answer"], multiple_of=None)


def run(model: onnx.ModelProto, x: np.ndarray, **session: str) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    for key, value in session.items():
        options.add_session_config_entry(f"session.{key}", value)
    network = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (answer,) = network.run(None, {"input": x})
    return np.asarray(answer)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_any_batch_runs_and_is_equal(small: tuple[nn.Module, onnx.ModelProto], batch: int) -> None:
    module, model = small
    x = np.random.default_rng(1).normal(size=(batch, 3, 32, 32)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose(run(model, x), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "share", "allowed"),
    [pytest.param(int8_weights, 0.55, 0.02, id="int8w"), pytest.param(fp16_weights, 0.7, 0.001, id="fp16w")],
)
def test_smaller_weights_give_nearly_the_same(
    small: tuple[nn.Module, onnx.ModelProto], make: object, share: float, allowed: float
) -> None:
    _, model = small
    smaller = make(model)  # type: ignore[operator]
    assert smaller.ByteSize() < share * model.ByteSize()
    x = np.random.default_rng(2).normal(size=(4, 3, 32, 32)).astype(np.float32)
    plain, other = run(model, x), run(smaller, x, disable_quant_qdq="1")
    assert np.abs(plain - other).max() <= allowed * np.abs(plain).max()
    assert not any(name.name.endswith((".int8", ".fp16")) for name in model.graph.initializer), "the source changed"


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=st.floats(-8, 8, width=32)),
    st.data(),
)
def test_int8_per_channel_is_off_by_half_a_step_at_most(array: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, array.ndim - 1))
    whole, scales = quantize_per_channel(array, axis)
    shape = [1] * array.ndim
    shape[axis] = -1
    assert whole.shape == array.shape
    assert scales.shape == (array.shape[axis],)
    assert (np.abs(whole * scales.reshape(shape) - array) <= scales.reshape(shape) * 0.5001 + 1e-7).all()


def test_strip_takes_every_trace(small: tuple[nn.Module, onnx.ModelProto]) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(small[1])
    for part in (model, model.graph, model.graph.node[0], model.graph.input[0], model.graph.initializer[0]):
        part.doc_string = "File /home/somebody/net.py, line 3"
        part.metadata_props.add(key="stack", value="/home/somebody/net.py")
    strip(model)
    assert b"somebody" not in model.SerializeToString()
    assert model.graph.input[0].name == "input"


def test_telemetry_is_off_before_onnxruntime_is_imported() -> None:
    code = "import os, sys; import converters; print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    root = Path(__file__).parents[2]
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["1", "False"]
