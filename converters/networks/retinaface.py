"""RetinaFace with MobileNet-0.25 or ResNet-50 as its body: boxes and five landmarks from two square priors per cell.

Deng, Guo, Ververas, Kotsia, Zafeiriou: RetinaFace: Single-shot Multi-level Face Localisation in the Wild. CVPR 2020,
section 3 (context module, multi-task heads); the MobileNet-0.25 form is that of its section 4.5. The layer names are
those of the widely used torch port, so that its state dictionaries load by name.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from converters.networks.resnet import ResNet50

STRIDES = (8, 16, 32)
PRIORS_PER_CELL = 2
LEAK = 0.1
"""Slope of the LeakyReLU in the narrow form; the port has plain ReLU where features are wider than 64 channels."""


def conv_bn(into: int, out: int, kernel: int, stride: int, *, leak: float | None = LEAK) -> nn.Sequential:
    """Convolution without bias, batch norm, and LeakyReLU (with 0: ReLU) unless ``leak`` is None."""
    layers: list[nn.Module] = [
        nn.Conv2d(into, out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out),
    ]
    if leak is not None:
        layers.append(nn.LeakyReLU(leak) if leak else nn.ReLU())
    return nn.Sequential(*layers)


def conv_dw(into: int, out: int, stride: int) -> nn.Sequential:
    """3x3 depthwise, then 1x1 convolution, each with batch norm and LeakyReLU."""
    return nn.Sequential(
        nn.Conv2d(into, into, 3, stride, 1, groups=into, bias=False),
        nn.BatchNorm2d(into),
        nn.LeakyReLU(LEAK),
        nn.Conv2d(into, out, 1, bias=False),
        nn.BatchNorm2d(out),
        nn.LeakyReLU(LEAK),
    )


class MobileNet(nn.Module):
    """MobileNet-0.25 up to stride 32; gives the maps of strides 8, 16, 32."""

    channels = (64, 128, 256)

    def __init__(self) -> None:
        super().__init__()
        plan = ((8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1))
        self.stage1 = nn.Sequential(conv_bn(3, 8, 3, 2), *(conv_dw(*row) for row in plan))
        self.stage2 = nn.Sequential(conv_dw(64, 128, 2), *(conv_dw(128, 128, 1) for _ in range(5)))
        self.stage3 = nn.Sequential(conv_dw(128, 256, 2), conv_dw(256, 256, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run."""
        fine = self.stage1(x)
        middle = self.stage2(fine)
        return fine, middle, self.stage3(middle)


class Pyramid(nn.Module):
    """Feature pyramid, top down, all of ``out`` channels. Lin et al. 2017."""

    def __init__(self, channels: tuple[int, int, int], out: int, leak: float) -> None:
        super().__init__()
        self.output1, self.output2, self.output3 = (conv_bn(into, out, 1, 1, leak=leak) for into in channels)
        self.merge1 = conv_bn(out, out, 3, 1, leak=leak)
        self.merge2 = conv_bn(out, out, 3, 1, leak=leak)

    def forward(self, maps: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Run; the maps keep their sizes.

        The input is a multiple of 32, so doubling is exact: no resize to an odd size, which the TFLite converter would
        sample at other pixels than torch.
        """
        fine, middle, coarse = self.output1(maps[0]), self.output2(maps[1]), self.output3(maps[2])
        middle = self.merge2(middle + fn.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        fine = self.merge1(fine + fn.interpolate(middle, scale_factor=2.0, mode="nearest"))
        return fine, middle, coarse


class Context(nn.Module):
    """Context module with receptive fields of 3, 5 and 7 cells. Najibi et al. 2017 (SSH), section 3.3."""

    def __init__(self, channels: int, leak: float) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.conv3X3 = conv_bn(channels, half, 3, 1, leak=None)
        self.conv5X5_1 = conv_bn(channels, quarter, 3, 1, leak=leak)
        self.conv5X5_2 = conv_bn(quarter, quarter, 3, 1, leak=None)
        self.conv7X7_2 = conv_bn(quarter, quarter, 3, 1, leak=leak)
        self.conv7x7_3 = conv_bn(quarter, quarter, 3, 1, leak=None)

    def forward(self, x: Tensor) -> Tensor:
        """Run; as many channels out as in."""
        shared = self.conv5X5_1(x)
        parts = [self.conv3X3(x), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))]
        return fn.relu(torch.cat(parts, dim=1))


class Head(nn.Module):
    """1x1 convolution to ``values`` numbers for each of two priors per cell: (N, cells * 2, values)."""

    def __init__(self, channels: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(channels, PRIORS_PER_CELL * values, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        answer: Tensor = self.conv1x1(x).permute(0, 2, 3, 1)
        return answer.reshape(x.shape[0], -1, self.values)


BODIES: Mapping[str, tuple[type[MobileNet | ResNet50], int]] = {
    "mobilenet0.25": (MobileNet, 64),
    "resnet50": (ResNet50, 256),
}
"""By the port's names: what makes the maps, and channels of the features."""


class RetinaFace(nn.Module):
    """From a picture to raw answers per prior.

    ``backbone`` is ``mobilenet0.25`` (426,608 parameters) or ``resnet50`` (27 million).

    Input: float32 (N, 3, H, W), BGR, 0 to 255 minus (104, 117, 123), H and W multiples of 32.

    Output: ``loc`` (N, P, 4), ``conf`` (N, P, 2: background, face; softmax is applied here), ``landm`` (N, P, 10),
    P = two priors per cell, strides 8, 16, 32 after each other, cells row by row. Offsets are in units of the prior's
    size times the variances (0.1, 0.2); points: left eye, right eye, nose, left and right mouth corner as seen in
    the image.
    """

    outputs = ("loc", "conf", "landm")

    def __init__(self, backbone: str = "mobilenet0.25") -> None:
        super().__init__()
        if backbone not in BODIES:
            raise ValueError(f"backbone {backbone} is none of {', '.join(BODIES)}")
        body, width = BODIES[backbone]
        leak = LEAK if width <= 64 else 0.0
        self.body = body()
        self.fpn = Pyramid(body.channels, width, leak)
        self.ssh1, self.ssh2, self.ssh3 = (Context(width, leak) for _ in STRIDES)
        self.ClassHead = nn.ModuleList(Head(width, 2) for _ in STRIDES)
        self.BboxHead = nn.ModuleList(Head(width, 4) for _ in STRIDES)
        self.LandmarkHead = nn.ModuleList(Head(width, 10) for _ in STRIDES)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run; see the class."""
        fine, middle, coarse = self.fpn(self.body(image))
        features = (self.ssh1(fine), self.ssh2(middle), self.ssh3(coarse))
        loc = torch.cat([head(x) for head, x in zip(self.BboxHead, features, strict=True)], dim=1)
        conf = torch.cat([head(x) for head, x in zip(self.ClassHead, features, strict=True)], dim=1)
        landm = torch.cat([head(x) for head, x in zip(self.LandmarkHead, features, strict=True)], dim=1)
        return loc, fn.softmax(conf, dim=-1), landm
