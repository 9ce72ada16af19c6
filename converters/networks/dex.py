"""DEX: age as the mean of a distribution over the years 0 to 100, read from a VGG network.

Rothe, Timofte, Van Gool: Deep Expectation of Real and Apparent Age from a Single Image Without Facial Landmarks. IJCV
126, 2018, section 3; Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition. ICLR
2015, configuration D. Names are those of torchvision's VGG-16.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as fn

AGES = 101
PLAN = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and number of the 3x3 convolutions before each max-pool, at width 1."""
DENSE = 4096


class Dex(nn.Module):
    """From a face to a distribution over ages.

    Input: float32 (N, 3, ``side``, ``side``), colour and scale as in training.

    Output: ``probabilities`` (N, 101), softmax applied: ages 0 to 100.

    Parameters
    ----------
    width : multiplies all channels; 1 with side 224 is the published network, of 134,674,341 parameters, an eighth with
        side 96 has 840,461
    side : of the face in pixels, a multiple of 32
    """

    outputs = ("probabilities",)

    def __init__(self, width: float = 0.125, side: int = 96) -> None:
        super().__init__()
        if side % 2 ** len(PLAN) or side <= 0:
            raise ValueError(f"side {side} is no multiple of {2 ** len(PLAN)}")
        widths = [3, *(max(8, round(channels * width)) for channels, _ in PLAN)]
        layers: list[nn.Module] = []
        for (into, out), (_, convolutions) in zip(pairwise(widths), PLAN, strict=True):
            for number in range(convolutions):
                layers += [nn.Conv2d(out if number else into, out, 3, padding=1), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.cells = side // 2 ** len(PLAN)
        dense = max(8, round(DENSE * width))
        self.classifier = nn.Sequential(
            nn.Linear(widths[-1] * self.cells**2, dense),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(dense, dense),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(dense, AGES),
        )

    def forward(self, face: Tensor) -> tuple[Tensor]:
        """Run; see the class."""
        x = self.features(face)
        # The first dense layer as a convolution over the map: flattening would transpose it in channel-last files.
        first, *rest = self.classifier
        kernel = first.weight.unflatten(1, (x.shape[1], self.cells, self.cells))
        x = fn.conv2d(x, kernel, first.bias).flatten(1)
        for layer in rest:
            x = layer(x)
        return (fn.softmax(x, dim=1),)
