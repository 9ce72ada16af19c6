"""YuNet: an anchor-free face detector of 54 thousand parameters.

Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector. Machine Intelligence Research 20, 2023, section 3.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as fn

STRIDES = (8, 16, 32)
HEADS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
OUTPUTS = tuple(f"{head}_{stride}" for stride in STRIDES for head in HEADS)
CHANNELS = ((16, 32), (32, 64), (64, 64), (64, 64), (64, 64))
POOLED_AFTER = (0, 2, 3, 4)


class Unit(nn.Module):
    """1x1 convolution, 3x3 depthwise convolution, and ReLU except in the heads; batch norm is folded."""

    def __init__(self, channels_in: int, channels_out: int, *, relu: bool = True) -> None:
        super().__init__()
        self.pw = nn.Conv2d(channels_in, channels_out, 1)
        self.dw = nn.Conv2d(channels_out, channels_out, 3, padding=1, groups=channels_out)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Same height and width, other channels."""
        x = self.dw(self.pw(x))
        return fn.relu(x) if self.relu else x


class YuNet(nn.Module):
    """From a picture to raw answers per cell on strides 8, 16 and 32.

    Input: float32 (N, 3, H, W), BGR, 0 to 255, H and W multiples of 32.

    Output: twelve arrays in the order of `OUTPUTS`, ``cls_8 obj_8 bbox_8 kps_8 cls_16 ...``, each of shape
    (N, H/S * W/S, C), cells row by row. C is 1 for ``cls`` and ``obj`` (logits; score = sqrt(sigmoid(cls) *
    sigmoid(obj))), 4 for ``bbox`` (centre = (cell + bbox[:2]) * S, size = exp(bbox[2:]) * S) and 10 for ``kps``
    (point = (cell + kps) * S: left eye, right eye, nose, left and right mouth corner as seen in the image).
    """

    outputs = OUTPUTS

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.stem_unit = Unit(16, 16)
        self.stages = nn.ModuleList(nn.Sequential(Unit(i, i), Unit(i, o)) for i, o in CHANNELS)
        self.laterals = nn.ModuleList(Unit(64, 64) for _ in STRIDES)
        self.heads = nn.ModuleDict(
            {name: nn.ModuleList(Unit(64, c, relu=False) for _ in STRIDES) for name, c in HEADS.items()}
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Run; see the class."""
        x = fn.max_pool2d(self.stem_unit(fn.relu(self.stem(image))), 2)
        maps: list[Tensor] = []
        for number, stage in enumerate(self.stages, start=1):
            x = stage(x)
            if number >= 3:
                maps.append(x)
            if number in POOLED_AFTER:
                x = fn.max_pool2d(x, 2)
        fine, middle, coarse = maps
        coarse = self.laterals[2](coarse)
        middle = self.laterals[1](middle + fn.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        fine = self.laterals[0](fine + fn.interpolate(middle, scale_factor=2.0, mode="nearest"))
        outputs: list[Tensor] = []
        for level, features in enumerate((fine, middle, coarse)):
            for name, channels in HEADS.items():
                answer = self.heads[name][level](features)
                outputs.append(answer.permute(0, 2, 3, 1).reshape(answer.shape[0], -1, channels))
        return tuple(outputs)
