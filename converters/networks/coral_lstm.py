"""CORAL-LSTM: the age of a face over time, in two forms with the same weights.

The features of `coral`, frozen, go through one to three layers of Hochreiter, Schmidhuber: Long Short-Term Memory.
Neural Computation 9, 1997 (with forget gates: Gers, Schmidhuber, Cummins 2000), each as long as the feature, and the
answer is read from them as before: Cao, Mirjalili, Raschka: Rank Consistent Ordinal Regression. PRL 140, 2020, section
3. Trained on windows of 20 frames, 25 a second.

The step is what a device runs, in either runtime: it computes each frame's feature once and keeps ``h`` and ``c`` of
every layer. The window is what is trained and checked against: it computes all features of a window at once. Exported
to ONNX it keeps its layers (`LSTM`); TFLite would unroll it into hundreds of operators, so there the step serves alone.
Over the first window of a face both give the same; after that the step remembers what a sliding window forgets.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from converters.networks.coral import Coral
from converters.networks.recurrent import expect_layers, lstm_step


class CoralLstm(nn.Module):
    """What both forms share: ``coral``, and ``lstm`` with torch's names of its weights.

    Parameters
    ----------
    ranks, backbone, width : of `Coral`. With ``resnet34`` a layer has 33,570,816 parameters, with ``compact`` 132,096
    layers : of the LSTM, 1 to 3
    """

    outputs = ("probabilities",)

    def __init__(self, ranks: int = 99, backbone: str = "compact", width: float = 1.0, layers: int = 2) -> None:
        super().__init__()
        expect_layers(layers)
        self.layers = layers
        self.coral = Coral(ranks, backbone, width)
        self.lstm = nn.LSTM(self.coral.length, self.coral.length, layers, batch_first=True)


class CoralLstmWindow(CoralLstm):
    """From the faces of a window to the age at its end.

    Input: float32 (N, T, 3, 120, 120), oldest first, each as `Coral` takes it; T was 20 in training.

    Output: ``probabilities`` (N, ``ranks``), as of `Coral`, for the last face.
    """

    def forward(self, faces: Tensor) -> tuple[Tensor]:
        """Run; see the class."""
        features = self.coral.feature(faces.flatten(0, 1))
        return (self.remember(features.unflatten(0, (-1, faces.shape[1]))),)

    def remember(self, features: Tensor) -> Tensor:
        """Probabilities (N, ``ranks``) for windows of features (N, T, ``coral.length``)."""
        return self.coral.answer(self.lstm(features)[0][:, -1])


class CoralLstmStep(CoralLstm):
    """From one face and what is remembered to its age and what to remember.

    Input: float32 (N, 3, 120, 120), as `Coral` takes it, then ``h0``, ``c0``, ... of every layer, (N, ``coral.length``)
    each, zeros for a new face.

    Output: ``probabilities`` (N, ``ranks``), as of `Coral`, then the new ``h0``, ``c0``, ...
    """

    def __init__(self, ranks: int = 99, backbone: str = "compact", width: float = 1.0, layers: int = 2) -> None:
        super().__init__(ranks, backbone, width, layers)
        self.states = {f"{kind}{layer}": (self.coral.length,) for layer in range(layers) for kind in "hc"}

    def forward(
        self,
        face: Tensor,
        h0: Tensor,
        c0: Tensor,
        h1: Tensor | None = None,
        c1: Tensor | None = None,
        h2: Tensor | None = None,
        c2: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Run; see the class. Exporters want every input named, not a list: there are as many as ``layers`` says."""
        x = self.coral.feature(face)
        given = (h0, c0, h1, c1, h2, c2)
        new: list[Tensor] = []
        for layer in range(self.layers):
            h, c = given[2 * layer : 2 * layer + 2]
            assert h is not None
            assert c is not None
            x, c = lstm_step(self.lstm, layer, x, h, c)
            new += [x, c]
        return (self.coral.answer(x), *new)


def make(form: Literal["step", "window"] = "step", **options: Any) -> CoralLstm:
    """Either form, with the options of `CoralLstm`."""
    if form not in ("step", "window"):
        raise ValueError(f"its form is step or window, not '{form}'")
    return CoralLstmStep(**options) if form == "step" else CoralLstmWindow(**options)
