"""mini-Xception: depthwise separable convolutions with residual shortcuts, for expression or gender.

Arriaga, Valdenegro-Toro, Ploeger: Real-time Convolutional Neural Networks for Emotion and Gender Classification. 2017,
section III and figure 3.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as fn

from converters.networks.layers import SameMaxPool2d

CHANNELS = (8, 16, 32, 64, 128)


class Separable(nn.Module):
    """3x3 depthwise without bias, then 1x1 convolution with the batch norm folded in."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(into, into, 3, padding=1, groups=into, bias=False)
        self.pointwise = nn.Conv2d(into, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        pointwise: Tensor = self.pointwise(self.depthwise(x))
        return pointwise


class Block(nn.Module):
    """Two separable convolutions and a max-pool beside a strided 1x1 convolution; or neither pool nor stride."""

    def __init__(self, into: int, out: int, *, halves: bool = True) -> None:
        super().__init__()
        self.pool = SameMaxPool2d(3, 2) if halves else nn.Identity()
        self.first = Separable(into, out)
        self.second = Separable(out, out)
        self.shortcut = nn.Conv2d(into, out, 1, stride=2 if halves else 1)

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Run; half the height and width, rounded up. ``shortcut`` is what goes that way, if it is not ``x``."""
        y = self.pool(self.second(fn.relu(self.first(x))))
        total: Tensor = y + self.shortcut(x if shortcut is None else shortcut)
        return total


class MiniXception(nn.Module):
    """From a grey face to one probability per label.

    Input: float32 (N, 1, S, S), S 64 or 48. The scale is each training's own: pixel / 127.5 - 1 for expression,
    pixel / 255 for gender.

    Output: ``probabilities`` (N, ``labels``), softmax applied. Expression: angry, disgust, fear, happy, sad, surprise,
    neutral. Gender: woman, man.

    ``stem`` is the number of channels of the first convolution, ``halvings`` how many of the four blocks halve the map:
    8 and 4 for faces of 64 pixels, 5 and 3 for the training on 48.
    """

    outputs = ("probabilities",)

    def __init__(self, labels: int = 7, *, stem: int = 8, halvings: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, stem, 3)
        self.second = nn.Conv2d(stem, CHANNELS[0], 3)
        blocks = (Block(into, out, halves=n < halvings) for n, (into, out) in enumerate(pairwise(CHANNELS)))
        self.blocks = nn.ModuleList(blocks)
        self.classify = nn.Conv2d(CHANNELS[-1], labels, 3, padding=1)

    def forward(self, face: Tensor) -> tuple[Tensor]:
        """Run; see the class."""
        x = fn.relu(self.second(fn.relu(self.first(face))))
        for block in self.blocks:
            x = block(x)
        return (fn.softmax(self.classify(x).mean((2, 3)), dim=1),)
