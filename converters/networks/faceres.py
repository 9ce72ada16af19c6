"""faceres: age as the mean of 100 classes, gender and a descriptor in one pass of a MobileNetV1.

Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto, Adam: MobileNets. 2017, section 3 and table 1. Age as an
expectation: Rothe, Timofte, Van Gool: Deep Expectation of Real and Apparent Age from a Single Image. IJCV 126, 2018,
section 3. The heads are those of the tfjs graph, whose batch norms are folded here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from converters.networks.layers import SameConv2d
from converters.networks.mobilenet_v1 import PLAN, STEM

AGES = 100
FEATURE = 256


class Folded(nn.Module):
    """3x3 depthwise, then 1x1 convolution, each with the batch norm folded in and ReLU6."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.depthwise = SameConv2d(into, into, 3, stride, groups=into)
        self.pointwise = nn.Conv2d(into, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Run; (N, into, H, W) to (N, out, ceil(H / stride), ceil(W / stride))."""
        return fn.relu6(self.pointwise(fn.relu6(self.depthwise(x))))


class FaceRes(nn.Module):
    """From a face to a distribution over ages, and gender.

    Input: float32 (N, 3, 224, 224), RGB, pixel as it is, 0 to 255; scaled to 0..1 it answers one constant.

    Output: ``probabilities`` (N, 100), softmax applied: ages 1 to 100; ``gender`` (N, 2) of female, male: the network
    gives the second of the two; with ``descriptor`` also ``descriptor`` (N, 1024), what both are read from.
    """

    def __init__(self, *, descriptor: bool = False) -> None:
        super().__init__()
        self.outputs = ("probabilities", "gender", "descriptor") if descriptor else ("probabilities", "gender")
        self.first = SameConv2d(3, STEM, 3, 2)
        widths = [STEM, *(channels for channels, _ in PLAN)]
        self.blocks = nn.ModuleList(
            Folded(into, out, stride) for into, (out, stride) in zip(widths, PLAN, strict=False)
        )
        self.feature = nn.Linear(widths[-1], FEATURE)
        self.age = nn.Linear(FEATURE, AGES)
        self.male = nn.Linear(FEATURE, 1)

    def forward(self, face: Tensor) -> tuple[Tensor, ...]:
        """Run; see the class."""
        x = fn.relu6(self.first(face))
        for block in self.blocks:
            x = block(x)
        descriptor = x.mean((2, 3))
        feature = fn.relu(self.feature(descriptor))
        male = torch.sigmoid(self.male(feature))
        answers = (fn.softmax(self.age(feature), dim=1), torch.cat([1 - male, male], dim=1), descriptor)
        return answers[: len(self.outputs)]
