"""Ultra-Light-Fast-Generic-Face-Detector-1MB, form RFB-320: priors of the SSD kind on four strides, no points.

No paper; the authors' code is github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB. Priors, box coding and
heads: Liu et al. 2016 (SSD), section 2; the block with several receptive fields: Liu, Huang, Wang 2018 (RFB Net),
section 3.2. Batch norm is folded in the file that is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from edgeface.types import F32

PRIORS_PER_CELL = (3, 2, 2, 3)
"""On strides 8, 16, 32, 64."""


def same(into: int, out: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1) -> nn.Conv2d:
    """Convolution that keeps the size, or halves it rounding up."""
    reach = dilation * (kernel // 2)
    return nn.Conv2d(into, out, kernel, stride, reach, dilation=dilation, groups=groups)


class Separable(nn.Module):
    """3x3 depthwise, ReLU, 1x1, and a ReLU except in the heads."""

    def __init__(self, into: int, out: int, stride: int = 1, *, relu: bool = True) -> None:
        super().__init__()
        self.depthwise = same(into, into, 3, stride=stride, groups=into)
        self.pointwise = nn.Conv2d(into, out, 1)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        x = self.pointwise(fn.relu(self.depthwise(x)))
        return fn.relu(x) if self.relu else x


class Branch(nn.Sequential):
    """A branch of the block: 1x1, 3x3 convolutions with a ReLU each, and a dilated 3x3 without."""

    def __init__(self, into: int, channels: tuple[int, ...], dilation: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(into, channels[0], 1)]
        for before, after in pairwise(channels):
            layers += [same(before, after, 3), nn.ReLU()]
        super().__init__(*layers, same(channels[-1], channels[-1], 3, dilation=dilation))


class ReceptiveFields(nn.Module):
    """Three branches that see 5, 7 and 11 cells around, joined by a 1x1 and added to a shortcut. RFB Net, figure 4."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList((Branch(64, (8, 16), 2), Branch(64, (8, 16), 3), Branch(64, (8, 12, 16), 5)))
        self.join = nn.Conv2d(48, 64, 1)
        self.shortcut = nn.Conv2d(64, 64, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Run; 64 channels in and out."""
        seen = torch.cat([branch(x) for branch in self.branches], dim=1)
        return fn.relu(self.join(seen) + self.shortcut(x))


class Extra(nn.Module):
    """From stride 32 to 64: 1x1 to 64 channels, then separable to 256."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(256, 64, 1)
        self.halve = Separable(64, 256, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        halved: Tensor = self.halve(fn.relu(self.reduce(x)))
        return halved


class UltraLight(nn.Module):
    """From a picture to raw answers per prior.

    Input: float32 (N, 3, H, W), RGB, (pixel - 127) / 128; trained at 240x320 (height, width), to which the picture is
    stretched.

    Output: ``conf`` (N, P, 2: background, face; softmax is applied here) and ``loc`` (N, P, 4), offsets of centre and
    size in units of the prior's size times the variances (0.1, 0.2). P priors on strides 8, 16, 32, 64 after each
    other, cells row by row, 3, 2, 2 and 3 per cell; 4420 at the trained size. The published ONNX file decodes the boxes
    itself; here that is the device's, because int8 has no steps fine enough for corners.
    """

    outputs = ("conf", "loc")

    def __init__(self) -> None:
        super().__init__()
        self.stem = same(3, 16, 3, stride=2)
        rows = ((16, 32, 1), (32, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 64, 1))
        self.stage8 = nn.Sequential(*(Separable(*row) for row in rows), ReceptiveFields())
        self.stage16 = nn.Sequential(Separable(64, 128, 2), Separable(128, 128), Separable(128, 128))
        self.stage32 = nn.Sequential(Separable(128, 256, 2), Separable(256, 256))
        self.stage64 = Extra()
        self.conf, self.loc = (
            nn.ModuleList(
                [
                    Separable(into, values * priors, relu=False)
                    for into, priors in zip((64, 128, 256), PRIORS_PER_CELL, strict=False)
                ]
                + [same(256, values * PRIORS_PER_CELL[-1], 3)]
            )
            for values in (2, 4)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Run; see the class."""
        x = fn.relu(self.stem(image))
        maps: list[Tensor] = []
        for stage in (self.stage8, self.stage16, self.stage32, self.stage64):
            x = stage(x)
            maps.append(x)
        conf, loc = (
            torch.cat(
                [
                    head(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, values)
                    for head, x in zip(heads, maps, strict=True)
                ],
                dim=1,
            )
            for heads, values in ((self.conf, 2), (self.loc, 4))
        )
        return fn.softmax(conf, dim=-1), loc


def run_published(run: Callable[[F32], Mapping[str, F32]], tensor: F32) -> dict[str, F32]:
    """Run the published file for comparison: it decodes its boxes itself, behind the two scores of each prior."""
    (joined,) = run(tensor).values()
    return {"conf": joined[..., :2]}
