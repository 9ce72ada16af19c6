"""MobileNetV1 of any width with a head for eight expressions, for valence and arousal, or for both.

Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto, Adam: MobileNets: Efficient Convolutional Neural Networks for
Mobile Vision Applications. 2017, section 3 and table 1; alpha is the width multiplier of section 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as fn

from converters.networks.layers import SameConv2d
from edgeface.types import F32

PLAN = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
"""Channels at alpha 1 and stride of the depthwise separable convolutions."""
STEM = 32
REDUCTION = 32
EXPRESSIONS = 8
EPSILON = 1e-3
"""Of batch norm, as Keras has it."""
Heads = Literal["expression", "affect", "both"]
OUTPUTS: dict[Heads, tuple[str, ...]] = {
    "expression": ("probabilities",),
    "affect": ("affect",),
    "both": ("probabilities", "affect"),
}


class Separable(nn.Module):
    """3x3 depthwise, then 1x1 convolution, each without bias, with batch norm and ReLU6."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.depthwise = SameConv2d(into, into, 3, stride, groups=into, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(into, eps=EPSILON)
        self.pointwise = nn.Conv2d(into, out, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(out, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        x = fn.relu6(self.depthwise_norm(self.depthwise(x)))
        return fn.relu6(self.pointwise_norm(self.pointwise(x)))


class MobileNetV1(nn.Module):
    """From a face to what it shows.

    Input: float32 (N, 3, S, S), RGB, pixel / 127.5 - 1; S is ``side``, a multiple of 32.

    Outputs, by ``heads``: ``expression`` gives ``probabilities`` (N, 8), softmax applied, in the order neutral, happy,
    sad, surprise, fear, disgust, angry, contempt; ``affect`` gives ``affect`` (N, 2), valence and arousal, each -1 to
    1; ``both`` gives the two in this order.

    ``alpha`` multiplies the width of every layer. Convolutions of stride 2 pad the end alone, as Keras does. The batch
    norm before the heads stands behind the average over the map, which it commutes with: it is left in the files, on so
    few values; the exporters fold all others.
    """

    def __init__(self, alpha: float = 1.0, heads: Heads = "both", side: int = 224) -> None:
        super().__init__()
        if side % REDUCTION:
            raise ValueError(f"side {side} is no multiple of {REDUCTION}: Keras would pad such a map elsewhere")
        self.outputs = OUTPUTS[heads]
        width = int(STEM * alpha)
        self.first = SameConv2d(3, width, 3, 2, bias=False)
        self.first_norm = nn.BatchNorm2d(width, eps=EPSILON)
        blocks: list[nn.Module] = []
        for channels, stride in PLAN:
            out = int(channels * alpha)
            blocks.append(Separable(width, out, stride))
            width = out
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.BatchNorm1d(width, eps=EPSILON)
        if "probabilities" in self.outputs:
            self.expression = nn.Linear(width, EXPRESSIONS)
        if "affect" in self.outputs:
            self.affect = nn.Linear(width, 2)

    def forward(self, face: Tensor) -> tuple[Tensor, ...]:
        """Run; see the class."""
        x = fn.relu6(self.first_norm(self.first(face)))
        for block in self.blocks:
            x = block(x)
        x = self.norm(x.mean((2, 3)))
        answers = {}
        if "probabilities" in self.outputs:
            answers["probabilities"] = fn.softmax(self.expression(x), dim=1)
        if "affect" in self.outputs:
            answers["affect"] = self.affect(x).tanh()
        return tuple(answers[name] for name in self.outputs)


def adapt(tensors: Mapping[str, F32]) -> dict[str, F32]:
    """Heads of a Keras file named by their size, and the batch norm before them, whichever numbers Keras gave them."""
    named: dict[str, F32] = {}
    for name, array in tensors.items():
        layer, slash, variable = name.rpartition("/")
        if layer.startswith("dense"):
            layer = {EXPRESSIONS: "expression", 2: "affect"}.get(array.shape[-1], layer)
        elif layer.startswith("batch_normalization"):
            layer = "norm"
        named[layer + slash + variable] = array
    return named
