"""MobileFaceNet: a vector per face, for one-to-one verification.

Chen, Liu, Gao, Han: MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices. CCBR
2018, section 3.2 and table 1. The published weights give 192 values and have a 1x1 convolution more behind the global
depthwise one than the paper.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from converters.networks.layers import PReLU, SameConv2d
from edgeface.types import F32

LENGTH = 192
PLAN = (
    *[(64, 128, 64, 2), *[(64, 128, 64, 1)] * 4],
    *[(64, 256, 128, 2), *[(128, 256, 128, 1)] * 6],
    *[(128, 512, 128, 2), *[(128, 256, 128, 1)] * 2],
)
"""Channels in, between and out, and stride, of each bottleneck."""


class Bottleneck(nn.Module):
    """1x1 convolution, 3x3 depthwise, each with PReLU, and a linear 1x1 one; added to its input where the size stays.

    Sandler et al. 2018 (MobileNetV2), section 3.3.
    """

    def __init__(self, into: int, between: int, out: int, stride: int) -> None:
        super().__init__()
        self.adds = into == out and stride == 1
        self.expand = nn.Conv2d(into, between, 1)
        self.expand_prelu = PReLU(between)
        self.depthwise = SameConv2d(between, between, 3, stride, groups=between)
        self.depthwise_prelu = PReLU(between)
        self.project = nn.Conv2d(between, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        y = self.expand_prelu(self.expand(x))
        y = self.project(self.depthwise_prelu(self.depthwise(y)))
        return x + y if self.adds else y


class MobileFaceNet(nn.Module):
    """From an aligned face to a vector.

    Input: float32 (N, 3, 112, 112), RGB, (pixel - 127.5) / 128, aligned by five landmarks.

    Output: ``embedding`` (N, 192), of any length.
    """

    outputs = ("embedding",)

    def __init__(self) -> None:
        super().__init__()
        self.first = SameConv2d(3, 64, 3, 2)
        self.first_prelu = PReLU(64)
        self.depthwise = nn.Conv2d(64, 64, 3, padding=1, groups=64)
        self.depthwise_prelu = PReLU(64)
        self.pointwise = nn.Conv2d(64, 64, 1)
        self.blocks = nn.ModuleList(Bottleneck(*row) for row in PLAN)
        self.last = nn.Conv2d(128, 512, 1)
        self.last_prelu = PReLU(512)
        self.pool = nn.Conv2d(512, 512, 7, groups=512)
        self.mix = nn.Conv2d(512, 512, 1)
        self.embed = nn.Conv2d(512, LENGTH, 1)

    def forward(self, face: Tensor) -> tuple[Tensor]:
        """Run; see the class."""
        x = self.first_prelu(self.first(face))
        x = self.pointwise(self.depthwise_prelu(self.depthwise(x)))
        for block in self.blocks:
            x = block(x)
        x = self.pool(self.last_prelu(self.last(x)))
        return (self.embed(self.mix(x)).flatten(1),)


def adapt(tensors: Mapping[str, F32]) -> dict[str, F32]:
    """Slopes of the TFLite file as PReLU has them: it computes relu(x) + m * (x - |x|), so m is half the slope."""
    return {name: array * np.float32(2) if name.endswith("/mul") else array for name, array in tensors.items()}
