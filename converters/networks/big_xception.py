"""big Xception: the larger of two reduced Xceptions for expression.

Chollet: Xception: Deep Learning with Depthwise Separable Convolutions. CVPR 2017, section 4 and figure 5, of which this
is the entry flow; as trained by Arriaga, Valdenegro-Toro, Ploeger: Real-time Convolutional Neural Networks for Emotion
and Gender Classification. 2017 (206,375 parameters with batch norm).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as fn

from converters.networks.mini_xception import Block


class BigXception(nn.Module):
    """From a grey face to one probability per label.

    Input: float32 (N, 1, 64, 64), pixel / 127.5 - 1.

    Output: ``probabilities`` (N, ``labels``), softmax applied; angry, disgust, fear, happy, sad, surprise, neutral.
    """

    outputs = ("probabilities",)

    def __init__(self, labels: int = 7) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 32, 3, stride=2)
        self.second = nn.Conv2d(32, 64, 3)
        self.blocks = nn.ModuleList([Block(64, 128), Block(128, 256)])
        self.classify = nn.Conv2d(256, labels, 3, padding=1)

    def forward(self, face: Tensor) -> tuple[Tensor]:
        """Run; see the class."""
        x = fn.relu(self.second(fn.relu(self.first(face))))
        x = self.blocks[0](x)
        # What goes round the second block has not been through its ReLU.
        x = self.blocks[1](fn.relu(x), x)
        return (fn.softmax(self.classify(x).mean((2, 3)), dim=1),)
