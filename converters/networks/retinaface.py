"""RetinaFace with a MobileNet-0.25 backbone: boxes and five landmarks from two square priors per cell.

Deng, Guo, Ververas, Kotsia, Zafeiriou: RetinaFace: Single-shot Multi-level Face Localisation in the Wild. CVPR 2020,
section 3 (context module, multi-task heads); the MobileNet-0.25 form is that of its section 4.5. The layer names are
those of the widely used torch port, so that its state dictionary loads by name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

STRIDES = (8, 16, 32)
PRIORS_PER_CELL = 2
LEAK = 0.1


def conv_bn(into: int, out: int, kernel: int, stride: int, *, leak: float | None = LEAK) -> nn.Sequential:
    """Convolution without bias, batch norm, and LeakyReLU unless ``leak`` is None."""
    layers: list[nn.Module] = [
        nn.Conv2d(into, out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out),
    ]
    if leak is not None:
        layers.append(nn.LeakyReLU(leak))
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


class Body(nn.Module):
    """MobileNet-0.25 up to stride 32; gives the maps of strides 8, 16, 32 with 64, 128, 256 channels."""

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
    """Feature pyramid, top down, 64 channels. Lin et al. 2017."""

    def __init__(self) -> None:
        super().__init__()
        self.output1 = conv_bn(64, 64, 1, 1)
        self.output2 = conv_bn(128, 64, 1, 1)
        self.output3 = conv_bn(256, 64, 1, 1)
        self.merge1 = conv_bn(64, 64, 3, 1)
        self.merge2 = conv_bn(64, 64, 3, 1)

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

    def __init__(self) -> None:
        super().__init__()
        self.conv3X3 = conv_bn(64, 32, 3, 1, leak=None)
        self.conv5X5_1 = conv_bn(64, 16, 3, 1)
        self.conv5X5_2 = conv_bn(16, 16, 3, 1, leak=None)
        self.conv7X7_2 = conv_bn(16, 16, 3, 1)
        self.conv7x7_3 = conv_bn(16, 16, 3, 1, leak=None)

    def forward(self, x: Tensor) -> Tensor:
        """Run; 64 channels in and out."""
        shared = self.conv5X5_1(x)
        parts = [self.conv3X3(x), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))]
        return fn.relu(torch.cat(parts, dim=1))


class Head(nn.Module):
    """1x1 convolution to ``values`` numbers for each of two priors per cell: (N, cells * 2, values)."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(64, PRIORS_PER_CELL * values, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        answer: Tensor = self.conv1x1(x).permute(0, 2, 3, 1)
        return answer.reshape(x.shape[0], -1, self.values)


class RetinaFace(nn.Module):
    """From a picture to raw answers per prior.

    Input: float32 (N, 3, H, W), BGR, 0 to 255 minus (104, 117, 123), H and W multiples of 32.

    Output: ``loc`` (N, P, 4), ``conf`` (N, P, 2: background, face; softmax is applied here), ``landm`` (N, P, 10),
    P = two priors per cell, strides 8, 16, 32 after each other, cells row by row. Offsets are in units of the prior's
    size times the variances (0.1, 0.2); points: left eye, right eye, nose, left and right mouth corner as seen in
    the image.
    """

    outputs = ("loc", "conf", "landm")

    def __init__(self) -> None:
        super().__init__()
        self.body = Body()
        self.fpn = Pyramid()
        self.ssh1, self.ssh2, self.ssh3 = Context(), Context(), Context()
        self.ClassHead = nn.ModuleList(Head(2) for _ in STRIDES)
        self.BboxHead = nn.ModuleList(Head(4) for _ in STRIDES)
        self.LandmarkHead = nn.ModuleList(Head(10) for _ in STRIDES)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run; see the class."""
        fine, middle, coarse = self.fpn(self.body(image))
        features = (self.ssh1(fine), self.ssh2(middle), self.ssh3(coarse))
        loc = torch.cat([head(x) for head, x in zip(self.BboxHead, features, strict=True)], dim=1)
        conf = torch.cat([head(x) for head, x in zip(self.ClassHead, features, strict=True)], dim=1)
        landm = torch.cat([head(x) for head, x in zip(self.LandmarkHead, features, strict=True)], dim=1)
        return loc, fn.softmax(conf, dim=-1), landm
