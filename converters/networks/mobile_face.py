"""MobileFace: a vector per face from a network of half a million parameters, for one-to-one verification.

The network is published with its weights only. Its parts are those of Howard et al. 2017 (MobileNets), section 3.1
(depthwise separable convolutions), He et al. 2016 (residual networks), section 3.2, and He et al. 2015, section 2.1
(PReLU).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from converters.networks.layers import PReLU

LENGTH = 256
CHANNELS = (32, 32, 32, 64, 128)


class Stage(nn.Module):
    """1x1 convolution and 3x3 depthwise one of stride 2; beside what comes of it two more depthwise convolutions."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.pointwise = nn.Conv2d(into, out, 1, bias=False)
        strides = (2, 1, 1)
        self.depthwise = nn.ModuleList(nn.Conv2d(out, out, 3, s, 1, groups=out, bias=False) for s in strides)
        self.prelu = nn.ModuleList(PReLU(out) for _ in strides)

    def forward(self, x: Tensor) -> Tensor:
        """Run; half the height and width."""
        x = self.prelu[0](self.depthwise[0](self.pointwise(x)))
        y = self.prelu[1](self.depthwise[1](x))
        total: Tensor = self.prelu[2](self.depthwise[2](y)) + x
        return total


class MobileFace(nn.Module):
    """From an aligned face to a vector.

    Input: float32 (N, 3, 112, 112), RGB, (pixel - 127.5) / 128, aligned by five landmarks.

    Output: ``embedding`` (N, 256), of any length. The dense layer is written as a convolution over the last map.
    """

    outputs = ("embedding",)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, CHANNELS[0], 3, 2, 1, bias=False)
        self.first_prelu = PReLU(CHANNELS[0])
        self.stages = nn.ModuleList(Stage(into, out) for into, out in pairwise(CHANNELS))
        self.embed = nn.Conv2d(CHANNELS[-1], LENGTH, 4)

    def forward(self, face: Tensor) -> tuple[Tensor]:
        """Run; see the class."""
        x = self.first_prelu(self.first(face))
        for stage in self.stages:
            x = stage(x)
        return (self.embed(x).flatten(1),)
