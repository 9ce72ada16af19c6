"""CORAL: age as the answers to K - 1 questions "older than this?" that share one weight vector.

Cao, Mirjalili, Raschka: Rank Consistent Ordinal Regression for Neural Networks with Application to Age Estimation.
Pattern Recognition Letters 140, 2020, sections 3 and 4 (ResNet-34, after He, Zhang, Ren, Sun: Deep Residual Learning
for Image Recognition. CVPR 2016, table 1). Names and sizes are those of the authors' PyTorch code, so that its state
dictionaries load by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

SIDE = 120
"""Sides of a face: the centre of one of 128 x 128. What is left of it before the pooling has 4 x 4 cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """Blocks per layer, channels of the first one, and how the 4 x 4 cells at the end are averaged.

    ``padded``: over windows of 7 x 7 with two cells of zeros around, as the authors trained. There are four such
    windows, and each covers all sixteen cells: the feature holds every channel's sum, divided by 49, four times.
    Without, the plain mean, as in the networks that the authors published.
    """

    blocks: tuple[int, ...]
    channels: int
    padded: bool = False


BACKBONES = {
    "resnet34": Backbone(blocks=(3, 4, 6, 3), channels=64, padded=True),
    "resnet34-mean": Backbone(blocks=(3, 4, 6, 3), channels=64),
    "compact": Backbone(blocks=(2, 2, 2, 2), channels=16),
}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where size or channels change."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample: nn.Module = nn.Identity()
        if into != out or stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """Run; (N, into, H, W) to (N, out, ceil(H / stride), ceil(W / stride))."""
        y = self.bn2(self.conv2(fn.relu(self.bn1(self.conv1(x)))))
        return fn.relu(y + self.downsample(x))


class Coral(nn.Module):
    """From a face to the probabilities that it is older than each rank.

    Input: float32 (N, 3, 120, 120), RGB, pixel / 255: the centre of a face scaled to 128 x 128.

    Output: ``probabilities`` (N, ``ranks``), sigmoid applied: number k says that the age is above ``lowest + k``, where
    ``lowest`` is the least age of the data set. In a trained network they never rise with k.

    Parameters
    ----------
    ranks : questions, one less than the ages of the data set (K - 1)
    backbone : ``resnet34`` as the authors trained it (feature of 2048), ``resnet34-mean`` as they published it (512),
        or ``compact``: a residual network of 18 layers with a quarter of the channels (128)
    width : multiplies the channels, which stay multiples of eight
    """

    outputs = ("probabilities",)

    def __init__(self, ranks: int = 99, backbone: str = "resnet34", width: float = 1.0) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"there is no backbone '{backbone}', only {', '.join(BACKBONES)}")
        plan = BACKBONES[backbone]
        first = max(8, 8 * round(plan.channels * width / 8))
        channels = [first * 2**level for level in range(len(plan.blocks))]
        self.padded = plan.padded
        self.conv1 = nn.Conv2d(3, first, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        for level, (into, out) in enumerate(pairwise([first, *channels]), start=1):
            strides = [1 if level == 1 else 2] + [1] * (plan.blocks[level - 1] - 1)
            blocks = [BasicBlock(into if n == 0 else out, out, stride) for n, stride in enumerate(strides)]
            self.add_module(f"layer{level}", nn.Sequential(*blocks))
        self.length = channels[-1] * (4 if plan.padded else 1)
        self.fc = nn.Linear(self.length, 1, bias=False)
        self.linear_1_bias = nn.Parameter(torch.linspace(2, -2, ranks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def feature(self, face: Tensor) -> Tensor:
        """What the ranks are read from: (N, 3, 120, 120) to (N, ``length``)."""
        # The largest of values that are not negative: padding by their own zero leaves int8's range alone.
        x = fn.max_pool2d(fn.pad(fn.relu(self.bn1(self.conv1(face))), (1, 0, 1, 0)), 3, 2)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        if not self.padded:
            return x.mean((2, 3))
        return torch.stack([x.mean((2, 3)) * (16 / 49)] * 4, dim=2).flatten(1)

    def answer(self, feature: Tensor) -> Tensor:
        """Probabilities (N, ``ranks``) for features (N, ``length``): one shared weight, a bias per rank."""
        return torch.sigmoid(self.fc(feature) + self.linear_1_bias)

    def forward(self, face: Tensor) -> tuple[Tensor]:
        """Run; see the class."""
        return (self.answer(self.feature(face)),)
