"""CenterFace: faces as points on one map of stride 4, with size, offset and five points for each.

Xu, Yan, Yang, Wang: CenterFace: Joint Face Detection and Alignment Using Face as Point. Scientific Programming 2020,
arXiv 1911.03599, section 3. Body: Sandler et al. 2018 (MobileNetV2), table 2, batch norm folded and with ReLU for ReLU6
as in the published file; above it a pyramid of 24 channels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from edgeface.types import F32

PLAN = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Rows of MobileNetV2's table 2: expansion, channels, repeats, stride of the first."""
TAKEN = {3: 24, 6: 32, 13: 96, 17: 320}
"""Blocks whose map goes into the pyramid, strides 4 to 32, and its channels."""
WIDE = 24
HEADS = {"heatmap": 1, "size": 2, "offset": 2, "landmarks": 10}
EPSILON = 1e-3


class Inverted(nn.Module):
    """Inverted residual: 1x1 to ``expansion`` times the channels, 3x3 depthwise, 1x1. Sandler et al. 2018, figure 3."""

    def __init__(self, into: int, out: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = into * expansion
        self.expand = nn.Conv2d(into, wide, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(wide, wide, 3, stride, 1, groups=wide)
        self.project = nn.Conv2d(wide, out, 1)
        self.residual = stride == 1 and into == out

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        y = x if self.expand is None else fn.relu(self.expand(x))
        y = self.project(fn.relu(self.depthwise(y)))
        return x + y if self.residual else y


class Merge(nn.Module):
    """A step of the pyramid: the coarse map doubled by a transposed convolution, plus the finer one."""

    def __init__(self, fine: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(WIDE, WIDE, 2, stride=2)
        self.lateral = nn.Conv2d(fine, WIDE, 1)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Run; the size is that of ``fine``."""
        return fn.relu(self.up(coarse)) + fn.relu(self.lateral(fine))


class CenterFace(nn.Module):
    """From a picture to one answer per cell of stride 4.

    Input: float32 (N, 3, H, W), RGB, 0 to 255, H and W multiples of 32.

    Output, cells row by row, P = H/4 * W/4: ``heatmap`` (N, P, 1), how surely a face's centre is in the cell, 0 to 1;
    ``size`` (N, P, 2), logarithms of height and width in cells; ``offset`` (N, P, 2), y and x of the centre from the
    cell's middle, in cells; ``landmarks`` (N, P, 10), five pairs y, x from the box's upper left corner in its heights
    and widths: image-left eye, image-right eye, nose, image-left and image-right mouth corner.
    """

    outputs = tuple(HEADS)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        blocks: list[Inverted] = []
        into = 32
        for expansion, out, repeats, stride in PLAN:
            for repeat in range(repeats):
                blocks.append(Inverted(into, out, stride if repeat == 0 else 1, expansion))
                into = out
        self.blocks = nn.ModuleList(blocks)
        *fine, coarse = TAKEN.values()
        self.top = nn.Conv2d(coarse, WIDE, 1)
        self.merges = nn.ModuleList(Merge(channels) for channels in reversed(fine))
        self.smooth = nn.Conv2d(WIDE, WIDE, 3, padding=1)
        self.heads = nn.ModuleDict({name: nn.Conv2d(WIDE, values, 1) for name, values in HEADS.items()})

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Run; see the class."""
        x = fn.relu(self.stem(image))
        maps: list[Tensor] = []
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            if number in TAKEN:
                maps.append(x)
        x = fn.relu(self.top(maps.pop()))
        for merge in self.merges:
            x = merge(x, maps.pop())
        x = fn.relu(self.smooth(x))
        answers = {name: head(x).permute(0, 2, 3, 1).flatten(1, 2) for name, head in self.heads.items()}
        answers["heatmap"] = torch.sigmoid(answers["heatmap"])
        return tuple(answers.values())


def adapt(tensors: Mapping[str, F32]) -> dict[str, F32]:
    """Fold the batch norms behind the transposed convolutions, the only ones that the published file keeps.

    A transposed kernel has its outputs on the second axis, which a key map's folding does not know.
    """
    adapted = dict(tensors)
    for level in range(3):
        kernel, norm = (f"neck.deconv_layers.{level}.{part}" for part in ("conv.weight", "bn"))
        names = [f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        if not adapted.keys() >= {kernel, *names}:
            # The key map says what is missing.
            continue
        gamma, beta, mean, variance = (adapted.pop(name) for name in names)
        scale = gamma / np.sqrt(variance + np.float32(EPSILON))
        adapted[kernel] = adapted[kernel] * scale[:, None, None]
        adapted[f"neck.deconv_layers.{level}.conv.bias"] = beta - mean * scale
    return adapted
