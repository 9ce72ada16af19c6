"""One answer about a face over time: recurrent layers between a network that is trained here and its head.

As published for age (features of 20 frames, one to three layers each as long as the feature, then the head that single
frames had), with a compact feature of 64 to 256 values; see `converters.networks.recurrent` for the layers. The other
answers of the backbone are those of the newest frame.

The step is what a device runs: it computes each frame's feature once and keeps the memory of every layer. The window is
what is trained, from faces or from features that were computed before. Both have the same weights by the same names,
and say the same of the frames since the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from converters.networks.age_gender_v1 import AgeGenderV1
from converters.networks.dense_residual import DenseResidual
from converters.networks.heads import Ranks
from converters.networks.recurrent import LearntMean, expect_layers, gru_step, lstm_step

BACKBONES = {"age_gender_v1": AgeGenderV1, "dense_residual": DenseResidual}
CELLS = {"lstm": "hc", "gru": "h", "mean": "mn"}
"""What a layer of a kind remembers; a learnt mean: the mean and the weight of all frames so far."""


class OverTime(nn.Module):
    """What both forms share: ``backbone``, and ``layers`` with torch's names of its weights.

    Parameters
    ----------
    backbone, options : family and options of a network of `BACKBONES`
    remembers : the answer that is read from memory
    cell : ``lstm``, ``gru``, or ``mean``: a mean of features with learnt weights, of one layer
    layers : 1 to 3; 0 remembers nothing and answers each frame by itself
    shortcut : the head reads the frame's feature and adds what the layers say to it; else it reads the layers alone, as
        published
    """

    def __init__(
        self,
        backbone: str,
        options: Mapping[str, Any],
        remembers: str = "age",
        cell: str = "lstm",
        layers: int = 2,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        expect_layers(layers, least=0)
        if backbone not in BACKBONES or cell not in CELLS:
            raise ValueError(f"give a backbone of {', '.join(BACKBONES)} and a cell of {', '.join(CELLS)}")
        self.backbone = BACKBONES[backbone](**options)
        self.outputs = self.backbone.outputs
        if remembers not in self.outputs:
            raise ValueError(f"the backbone answers {', '.join(self.outputs)}, not {remembers}")
        self.remembers, self.cell, self.count, self.shortcut = remembers, cell, layers, shortcut
        head = self.backbone.heads[remembers]
        self.length = int((head.shared if isinstance(head, Ranks) else head).in_features)
        if cell == "mean" and layers != 1:
            raise ValueError(f"{layers} layers: a learnt mean has 1")
        self.layers = self._make_layers()

    def _make_layers(self) -> nn.Module:
        if not self.count:
            return nn.Identity()
        if self.cell == "mean":
            return LearntMean(self.length)
        kind = nn.LSTM if self.cell == "lstm" else nn.GRU
        return kind(self.length, self.length, self.count, batch_first=True)

    def _read(
        self, heads: Callable[[Tensor], tuple[Tensor, ...]], feature: Tensor, memory: Tensor | None
    ) -> tuple[Tensor, ...]:
        """All answers for features (N, ``length``), one of them from memory where there is any."""
        answers = heads(feature)
        if memory is None:
            return answers
        remembered = heads(feature + memory if self.shortcut else memory)
        return tuple(
            remembered[place] if name == self.remembers else answer
            for place, (name, answer) in enumerate(zip(self.outputs, answers, strict=True))
        )


class OverTimeWindow(OverTime):
    """From the faces of a window to the answers at its end.

    Input: float32 (N, T, C, H, W), oldest first, each as the backbone takes it.

    Outputs: as of the backbone, for the last face.
    """

    def forward(self, faces: Tensor) -> tuple[Tensor, ...]:
        """Run; see the class."""
        features = self.features(faces)
        memory = self.layers(features)[0][:, -1] if self.count else None
        return self._read(self.backbone.heads, features[:, -1], memory)

    def features(self, faces: Tensor) -> Tensor:
        """(N, T, C, H, W) to (N, T, ``length``)."""
        return self.backbone.feature(faces.flatten(0, 1)).unflatten(0, (-1, faces.shape[1]))

    def logits(self, seen: Tensor) -> tuple[Tensor, ...]:
        """Run for training: answers at every frame, (N * T, ...) each, frames of one window one after another.

        ``seen`` are faces (N, T, C, H, W) or their features (N, T, ``length``).
        """
        features = self.features(seen) if seen.ndim == 5 else seen
        memory = self.layers(features)[0].flatten(0, 1) if self.count else None
        return self._read(self.backbone.heads.logits, features.flatten(0, 1), memory)


class OverTimeStep(OverTime):
    """From one face and what is remembered to the answers and what to remember.

    Input: float32 (N, C, H, W), as the backbone takes it, then ``h0``, ``c0``, ... of every layer, (N, ``length``)
    each, zeros for a new face; of a gated recurrent unit ``h0``, ``h1``, ... alone; of a learnt mean ``m0`` and ``n0``,
    (N, 1).

    Outputs: as of the backbone, then the new memory.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        kinds = CELLS[self.cell]
        self.states = {
            f"{kind}{layer}": (1 if kind == "n" else self.length,) for layer in range(self.count) for kind in kinds
        }

    def _step(self, face: Tensor, given: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        feature = self.backbone.feature(face)
        x, new = feature, list[Tensor]()
        each = len(CELLS[self.cell])
        for layer in range(self.count):
            memory = [value for value in given[each * layer : each * (layer + 1)] if value is not None]
            assert len(memory) == each
            if isinstance(self.layers, nn.LSTM):
                x, c = lstm_step(self.layers, layer, x, *memory)
                new += [x, c]
            elif isinstance(self.layers, LearntMean):
                x, total = self.layers.step(x, *memory)
                new += [x, total]
            else:
                assert isinstance(self.layers, nn.GRU)
                x = gru_step(self.layers, layer, x, *memory)
                new.append(x)
        return (*self._read(self.backbone.heads, feature, x if self.count else None), *new)


class LstmStep(OverTimeStep):
    """Exporters want every input named, not a list: there are as many as ``layers`` says."""

    def forward(
        self,
        face: Tensor,
        h0: Tensor | None = None,
        c0: Tensor | None = None,
        h1: Tensor | None = None,
        c1: Tensor | None = None,
        h2: Tensor | None = None,
        c2: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Run; see `OverTimeStep`."""
        return self._step(face, (h0, c0, h1, c1, h2, c2))


class GruStep(OverTimeStep):
    """As `LstmStep`, of gated recurrent units."""

    def forward(
        self, face: Tensor, h0: Tensor | None = None, h1: Tensor | None = None, h2: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Run; see `OverTimeStep`."""
        return self._step(face, (h0, h1, h2))


class MeanStep(OverTimeStep):
    """As `LstmStep`, of a learnt mean."""

    def forward(self, face: Tensor, m0: Tensor, n0: Tensor) -> tuple[Tensor, ...]:
        """Run; see `OverTimeStep`."""
        return self._step(face, (m0, n0))


STEPS = {"lstm": LstmStep, "gru": GruStep, "mean": MeanStep}


def make(form: Literal["step", "window"] = "step", **options: Any) -> OverTime:
    """Either form, with the options of `OverTime`."""
    if form not in ("step", "window"):
        raise ValueError(f"its form is step or window, not '{form}'")
    if form == "window":
        return OverTimeWindow(**options)
    return STEPS.get(options.get("cell", "lstm"), LstmStep)(**options)
