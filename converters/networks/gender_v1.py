"""gender-v1: four plain convolutions and two dense layers on a face of 32 by 32 pixels.

Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition. ICLR 2015, section 2, for the
form (pairs of 3x3 convolutions between poolings); the network itself is published with its weights only.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as fn


class GenderV1(nn.Module):
    """From an aligned face to two probabilities.

    Input: float32 (N, 3, 32, 32), RGB, (pixel - (122.782, 117.001, 104.298)) / 256, aligned by five landmarks.

    Output: ``probabilities`` (N, 2: female, male), softmax applied.
    """

    outputs = ("probabilities",)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, padding=1)
        self.second = nn.Conv2d(32, 32, 3, padding=1)
        self.third = nn.Conv2d(32, 64, 3, padding=1)
        self.fourth = nn.Conv2d(64, 64, 3, padding=1)
        # Dense layers written as convolutions: nothing to transpose in channel-last files.
        self.dense = nn.Conv2d(64, 16, 8)
        self.classify = nn.Conv2d(16, 2, 1)

    def forward(self, face: Tensor) -> tuple[Tensor]:
        """Run; see the class."""
        x = fn.avg_pool2d(fn.relu(self.second(fn.relu(self.first(face)))), 2)
        x = fn.avg_pool2d(fn.relu(self.fourth(fn.relu(self.third(x)))), 2)
        answer = self.classify(fn.relu(self.dense(x)))
        return (fn.softmax(answer.flatten(1), dim=1),)
