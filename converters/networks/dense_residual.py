"""A compact residual network of dense 3x3 convolutions, for answers about a face.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition. CVPR 2016, section 3; where a block halves the map
its shortcut averages before it mixes channels (He, Zhang, Zhang, Zhang, Xie, Li: Bag of Tricks for Image Classification
with Convolutional Neural Networks. CVPR 2019, ResNet-D). Dense convolutions, since depthwise ones take six to ten times
as long to train for a multiply-accumulate and become slower in int8, not faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as fn

from converters.networks.heads import Answering, Heads

PLAN = ((2, 2), (4, 2), (4, 1), (8, 2), (8, 1))
"""Of each block: channels as a multiple of ``width``, and stride."""


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which averages and mixes where size or channels change."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(into, out, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(out)
        self.second = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(out)
        shortcut: list[nn.Module] = [nn.AvgPool2d(stride)] if stride > 1 else []
        if stride > 1 or into != out:
            shortcut += [nn.Conv2d(into, out, 1, bias=False), nn.BatchNorm2d(out)]
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Run; (N, into, H, W) to (N, out, H / stride, W / stride)."""
        y = self.second_norm(self.second(fn.relu(self.first_norm(self.first(x)))))
        return fn.relu(y + self.shortcut(x))


class DenseResidual(Answering):
    """From a face to the answers that ``heads`` names.

    Input: float32 (N, ``channels``, S, S); S is a multiple of 16, of 8 with ``stem_stride`` 1. Any scale of pixels will
    do that the weights were trained with.

    Outputs: in the order of ``heads``, see `converters.networks.heads.Heads`.

    Parameters
    ----------
    heads : answers by name
    channels : 3 for colour, 1 for grey
    width : channels of the stem; the last map has eight times as many
    stem_stride : of the first convolution: 2 for 64 pixels and more, 1 for 48
    dropout : before the heads, in training
    """

    def __init__(
        self,
        heads: Mapping[str, Mapping[str, Any]],
        channels: int = 3,
        width: int = 16,
        stem_stride: int = 2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.outputs = tuple(heads)
        self.stem = nn.Conv2d(channels, width, 3, stem_stride, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        blocks, into = [], width
        for multiple, stride in PLAN:
            blocks.append(Block(into, multiple * width, stride))
            into = multiple * width
        self.blocks = nn.ModuleList(blocks)
        self.heads = Heads(into, heads, dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def feature(self, face: Tensor) -> Tensor:
        """What the answers are read from: (N, channels, S, S) to (N, 8 * width)."""
        x = fn.relu(self.stem_norm(self.stem(face)))
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))
