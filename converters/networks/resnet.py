"""ResNet-50 as a body: He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition. CVPR 2016, table 1.

Layer names are those of the usual torch implementation, so that state dictionaries load by name; as there, a stage that
halves does so in the 3x3 convolution of its first block.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as fn

EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 to four times as many channels, added to what came in. Section 4.1, figure 5."""

    def __init__(self, into: int, narrow: int, stride: int) -> None:
        super().__init__()
        out = narrow * EXPANSION
        self.conv1 = nn.Conv2d(into, narrow, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(narrow)
        self.conv3 = nn.Conv2d(narrow, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        changed = stride != 1 or into != out
        self.downsample = (
            nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out)) if changed else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        y = fn.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(fn.relu(self.bn2(self.conv2(y)))))
        return fn.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    """From a picture (N, 3, H, W) to the maps of strides 8, 16 and 32; 23.5 million parameters."""

    channels = (512, 1024, 2048)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, 3, 1)
        self.layer2 = _stage(256, 128, 4, 2)
        self.layer3 = _stage(512, 256, 6, 2)
        self.layer4 = _stage(1024, 512, 3, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run; see the class."""
        x = fn.max_pool2d(fn.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
        fine = self.layer2(self.layer1(x))
        middle = self.layer3(fine)
        return fine, middle, self.layer4(middle)


def _stage(into: int, narrow: int, blocks: int, stride: int) -> nn.Sequential:
    rest = (Bottleneck(narrow * EXPANSION, narrow, 1) for _ in range(blocks - 1))
    return nn.Sequential(Bottleneck(into, narrow, stride), *rest)
