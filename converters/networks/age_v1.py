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


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; where it halves the map, the first has stride 2 and no padding."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.into = into
        self.halves = into != out
        stride, padding = (2, 0) if self.halves else (1, 1)
        self.first = nn.Conv2d(into, out, 3, stride, padding)
        self.second = nn.Conv2d(out, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Run.

        A pooled shortcut has fewer channels than the other side: it is added to the first ones. Padding it with zero
        channels would be equal, and cost transposes in channel-last files. It may also be a row and a column larger;
        there the other side is padded with zeros.
        """
        y = self.second(fn.relu(self.first(x)))
        if not self.halves:
            return fn.relu(x + y)
        x = fn.avg_pool2d(x, 2)
        y = fn.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]))
        return fn.relu(torch.cat([y[:, : self.into] + x, y[:, self.into :]], dim=1))


class AgeV1(nn.Module):
    """From an aligned face to a distribution over ages.

    Input: float32 (N, 3, 64, 64), RGB, (pixel - (122.782, 117.001, 104.298)) / 256, aligned by five landmarks.

    Output: ``probabilities`` (N, 81), softmax applied: ages 0 to 80, where class 0 stands for a quarter of a year.
    """

    outputs = ("probabilities",)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7, stride=2)
        plan = ((64, 64), (64, 128), (128, 128), (128, 256), (256, 256))
        self.blocks = nn.ModuleList(Block(into, out) for into, out in plan)
        self.classify = nn.Linear(256, CLASSES)

    def forward(self, face: Tensor) -> tuple[Tensor]:
        """Run; see the class."""
        x = fn.max_pool2d(fn.relu(self.stem(face)), 3, 2)
        for block in self.blocks:
            x = block(x)
        return (fn.softmax(self.classify(x.mean((2, 3))), dim=1),)
