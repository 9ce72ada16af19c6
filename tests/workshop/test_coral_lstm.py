"""CORAL-LSTM: the window and the step are one network, in torch and in both runtimes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from modules import run, seeded
from torch import Tensor, nn

from converters.building.quiet import silence
from converters.checkpoints.keymap import load_weights
from converters.export.to_onnx import export_onnx
from converters.export.to_tflite import export_tflite
from converters.networks.coral_lstm import CoralLstmStep, CoralLstmWindow
from converters.references.torch_module import new_state
from edgeface.bundle import Signature

FRAMES = 20


def lively(module: Any) -> Any:
    """The same network with layers that remember: torch's first weights forget nearly at once."""
    with torch.no_grad():
        for weight in module.lstm.parameters():
            weight.mul_(4)
        module.coral.fc.weight.mul_(8)
    return module


@pytest.fixture(scope="module")
def faces() -> Tensor:
    """Windows of two faces: the pictures drift, so that every frame differs."""
    drift = torch.linspace(0, 1, FRAMES)[None, :, None, None, None]
    ends = torch.rand(2, 2, 1, 3, 120, 120, generator=torch.Generator().manual_seed(5))
    return ends[0] * drift + ends[1] * (1 - drift)


def frame_by_frame(step: Callable[..., Any], states: Mapping[str, tuple[int, ...]], faces: Tensor) -> list[Any]:
    """Answers of a step to a window's faces, memory handed on."""
    memory = [np.zeros((len(faces), *size), np.float32) for size in states.values()]
    answers = []
    for frame in range(faces.shape[1]):
        answer, *memory = step(faces[:, frame].numpy(), *memory)
        answers.append(answer)
    return answers


class TestCoralLstm:
    """Window and step from the same weights."""

    OPTIONS: Mapping[str, Any] = {"backbone": "compact", "width": 0.5}

    @pytest.fixture(scope="class")
    def step(self) -> CoralLstmStep:
        step: CoralLstmStep = lively(seeded("coral_lstm", **self.OPTIONS))
        return step

    @pytest.fixture(scope="class")
    def expected(self, step: CoralLstmStep, faces: Tensor) -> np.ndarray:
        """What the window says."""
        window = seeded("coral_lstm", form="window", **self.OPTIONS)
        window.load_state_dict(step.state_dict())
        return np.asarray(run(window, faces)[0])

    @pytest.mark.parametrize("layers", [1, 2, 3])
    def test_twenty_steps_are_one_window(self, layers: int, faces: Tensor) -> None:
        window = lively(seeded("coral_lstm", form="window", layers=layers, **self.OPTIONS))
        step = seeded("coral_lstm", layers=layers, **self.OPTIONS)
        step.load_state_dict(window.state_dict())
        answers = frame_by_frame(self.in_torch(step), step.states, faces)
        np.testing.assert_allclose(answers[-1], run(window, faces)[0].numpy(), atol=1e-5)
        assert np.abs(answers[-1] - answers[0]).max() > 0.01, "nothing was remembered"

    def test_a_window_of_features_answers_as_one_of_faces(self, faces: Tensor) -> None:
        window = seeded("coral_lstm", form="window", **self.OPTIONS)
        assert isinstance(window, CoralLstmWindow)
        with torch.no_grad():
            features = torch.stack([window.coral.feature(faces[:, frame]) for frame in range(FRAMES)], dim=1)
            torch.testing.assert_close(window.remember(features), window(faces)[0])

    def test_the_step_as_onnx_gives_what_the_window_says(
        self, step: CoralLstmStep, expected: np.ndarray, faces: Tensor
    ) -> None:
        names = [*step.outputs, *map(new_state, step.states)]
        with silence():
            model = export_onnx(step, (3, 120, 120), names, states=step.states)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        inputs = [value.name for value in session.get_inputs()]
        assert inputs == ["input", *step.states]
        answers = frame_by_frame(
            lambda *arrays: session.run(names, dict(zip(inputs, arrays, strict=True))), step.states, faces
        )
        np.testing.assert_allclose(answers[-1], expected, atol=1e-5)

    def test_the_step_as_tflite_gives_what_the_window_says(
        self, step: CoralLstmStep, expected: np.ndarray, faces: Tensor, tmp_path: Path
    ) -> None:
        path = tmp_path / "step.tflite"
        with silence():
            export_tflite(
                step, (3, 120, 120), [Signature(key="b2", batch=2, width=120, height=120)], path, states=step.states
            )
        runner = Interpreter(str(path)).get_signature_runner("b2")

        def call(face: np.ndarray, *memory: np.ndarray) -> list[np.ndarray]:
            arrays = (np.ascontiguousarray(face.transpose(0, 2, 3, 1)), *memory)
            found = runner(**{f"args_{number}": array for number, array in enumerate(arrays)})
            return [found[f"output_{number}"] for number in range(len(found))]

        np.testing.assert_allclose(frame_by_frame(call, step.states, faces)[-1], expected, atol=1e-5)

    def test_the_window_as_onnx_keeps_its_layers(
        self, step: CoralLstmStep, expected: np.ndarray, faces: Tensor
    ) -> None:
        window = seeded("coral_lstm", form="window", **self.OPTIONS)
        window.load_state_dict(step.state_dict())
        with silence():
            model = export_onnx(window, tuple(faces.shape[1:]), window.outputs)
        assert sum(node.op_type == "LSTM" for node in model.graph.node) == window.layers
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(session.run(None, {"input": faces.numpy()})[0], expected, atol=1e-5)

    @pytest.mark.parametrize("form", ["step", "window"])
    @pytest.mark.parametrize("lstm", ["", "lstm.", "rnn."])
    @pytest.mark.parametrize("coral", ["", "coral."])
    def test_a_checkpoint_of_layers_and_backbone_loads_into_both(self, form: str, lstm: str, coral: str) -> None:
        module = seeded("coral_lstm", form=form, layers=1, **self.OPTIONS)
        rng = np.random.default_rng(2)
        ours = {
            name: rng.random(tuple(value.shape), np.float32)
            for name, value in module.state_dict().items()
            if value.is_floating_point()
        }
        theirs = {name.replace("lstm.", lstm).replace("coral.", coral): value for name, value in ours.items()}
        assert f"{lstm}weight_ih_l0" in theirs
        load_weights(module, "coral_lstm", "torch", theirs)
        for name, value in ours.items():
            assert np.array_equal(module.state_dict()[name].numpy(), value), name

    @staticmethod
    def in_torch(step: nn.Module) -> Callable[..., list[np.ndarray]]:
        return lambda *arrays: [answer.numpy() for answer in run(step, *map(torch.from_numpy, arrays))]
