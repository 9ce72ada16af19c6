"""age-v1: a residual network of ten layers that gives a distribution over ages 0 to 80.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition. CVPR 2016, section 3; shortcuts without parameters
(option A: average pooling and zero channels). Age as the mean of a distribution: Rothe, Timofte, Van Gool: Deep
Expectation of Real and Apparent Age from a Single Image. IJCV 126, 2018, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

CLASSES = 81
PLAN = ((64, False), (128, True), (128, False), (256, True), (256, False))
"""Of each block: channels, and whether it halves the map."""
FEATURE = 256


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; where it halves the map, the first has stride 2 and no padding.

    ``inner`` channels lie between the two.
    """

    def __init__(self, into: int, out: int, inner: int, *, halves: bool) -> None:
        super().__init__()
        self.into, self.out, self.halves = into, out, halves
        stride, padding = (2, 0) if halves else (1, 1)
        self.first = nn.Conv2d(into, inner, 3, stride, padding)
        self.second = nn.Conv2d(inner, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Run.

        A shortcut that has fewer channels than the other side is added to the first ones. Padding it with zero
        channels would be equal, and cost transposes in channel-last files. A pooled one may also be a row and a column
        larger; there the other side is padded with zeros.
        """
        y = self.second(fn.relu(self.first(x)))
        if self.halves:
            x = fn.avg_pool2d(x, 2)
            y = fn.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]))
        if self.into == self.out:
            return fn.relu(x + y)
        return fn.relu(torch.cat([y[:, : self.into] + x, y[:, self.into :]], dim=1))


class Trunk(nn.Module):
    """From an aligned face (N, 3, 64, 64) to its feature (N, 256).

    Parameters
    ----------
    stem : channels of the first convolution; fewer than 64 are added to the first ones of the 64 behind it
    inner : channels between the two convolutions of a block, as a share of those behind it
    """

    def __init__(self, stem: int = 64, inner: float = 1.0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, stem, 7, stride=2)
        blocks, into = [], stem
        for out, halves in PLAN:
            blocks.append(Block(into, out, round(inner * out), halves=halves))
            into = out
        self.blocks = nn.ModuleList(blocks)

    def feature(self, face: Tensor) -> Tensor:
        """Run; see the class."""
        x = fn.max_pool2d(fn.relu(self.stem(face)), 3, 2)
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))


class AgeV1(Trunk):
    """From an aligned face to a distribution over ages.

    Input: float32 (N, 3, 64, 64), RGB, (pixel - (122.782, 117.001, 104.298)) / 256, aligned by five landmarks.

    Output: ``probabilities`` (N, 81), softmax applied: ages 0 to 80, where class 0 stands for a quarter of a year.
    """

    outputs = ("probabilities",)

    def __init__(self) -> None:
        super().__init__()
        self.classify = nn.Linear(FEATURE, CLASSES)

    def forward(self, face: Tensor) -> tuple[Tensor]:
        """Run; see the class."""
        return (fn.softmax(self.classify(self.feature(face)), dim=1),)
