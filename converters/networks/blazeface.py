"""BlazeFace: the three published face detectors for phones, all with six points a face and an input of fixed size.

Bazarevsky, Kartynnik, Vakunov, Raveendran, Grundmann: BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs.
arXiv 1907.05047, 2019, sections 3.1 (blocks) and 3.2 (anchors). The short-range and the older back-camera network have
single blocks and answer on two strides; the full-range one has double blocks and a pyramid and answers on stride 4.
Batch norm is folded in the published files; convolutions with stride 2 pad the end first, as TFLite's ``SAME`` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from converters.networks.layers import SameConv2d

VALUES = 16
"""Numbers per box: centre, size, six points."""


class Shortcut(nn.Module):
    """The way past a block: halved by a 2x2 maximum where the block has stride 2, filled up with empty channels."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.stride, self.more = stride, out - into

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        if self.stride == 2:
            x = fn.max_pool2d(x, 2)
        return fn.pad(x, (0, 0, 0, 0, 0, self.more)) if self.more else x


class Single(nn.Module):
    """3x3 depthwise, 1x1, added to the shortcut, ReLU (figure 1, left; the kernels became smaller than its 5x5)."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.depthwise = SameConv2d(into, into, 3, stride, groups=into)
        self.pointwise = nn.Conv2d(into, out, 1)
        self.shortcut = Shortcut(into, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        return fn.relu(self.shortcut(x) + self.pointwise(self.depthwise(x)))


class Double(nn.Module):
    """Depthwise and 1x1 to ``narrow`` channels, ReLU, the same to ``out``, shortcut, ReLU (figure 1, right)."""

    def __init__(self, into: int, narrow: int, out: int, stride: int) -> None:
        super().__init__()
        self.depthwise1 = SameConv2d(into, into, 3, stride, groups=into)
        self.pointwise1 = nn.Conv2d(into, narrow, 1)
        self.depthwise2 = SameConv2d(narrow, narrow, 3, groups=narrow)
        self.pointwise2 = nn.Conv2d(narrow, out, 1)
        self.shortcut = Shortcut(into, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        inner = fn.relu(self.pointwise1(self.depthwise1(x)))
        return fn.relu(self.shortcut(x) + self.pointwise2(self.depthwise2(inner)))


class Separable(nn.Module):
    """3x3 depthwise with stride 2, 1x1, ReLU, without a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = SameConv2d(channels, channels, 3, 2, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Run."""
        return fn.relu(self.pointwise(self.depthwise(x)))


class Head(nn.Module):
    """Scores (N, cells * anchors, 1), logits, and boxes (N, cells * anchors, 16) of one map, cells row by row."""

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, anchors, 1)
        self.box = nn.Conv2d(channels, anchors * VALUES, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run."""
        score, box = (convolution(x).permute(0, 2, 3, 1) for convolution in (self.score, self.box))
        return box.reshape(x.shape[0], -1, VALUES), score.reshape(x.shape[0], -1, 1)


class TwoScales(nn.Module):
    """Short-range (``fine`` at stride 8, input 128x128) and back-camera network (stride 16, input 256x256).

    Input: float32 (N, 3, S, S), RGB, -1 to 1.

    Output: ``boxes`` (N, 896, 16) and ``scores`` (N, 896, 1): two anchors per cell of the fine map, then six per cell
    of the coarse one. Boxes are in pixels of the input, their centre and the six points from the anchor's centre:
    x, y, width, height, image-left eye, image-right eye, nose, mouth centre, two ears. Scores are logits.
    """

    outputs = ("boxes", "scores")

    def __init__(self, fine: Sequence[nn.Module], coarse: Sequence[nn.Module], channels: tuple[int, int]) -> None:
        super().__init__()
        self.stem = SameConv2d(3, 24, 5, 2)
        self.fine, self.coarse = nn.Sequential(*fine), nn.Sequential(*coarse)
        self.heads = nn.ModuleList(Head(*shape) for shape in zip(channels, (2, 6), strict=True))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Run; see the class."""
        fine = self.fine(fn.relu(self.stem(image)))
        answers = [head(x) for head, x in zip(self.heads, (fine, self.coarse(fine)), strict=True)]
        boxes, scores = (torch.cat(parts, dim=1) for parts in zip(*answers, strict=True))
        return boxes, scores


class Merge(nn.Module):
    """A step of the pyramid: the coarse map, reduced and doubled, plus the fine one, then double blocks."""

    def __init__(self, coarse: int, fine: int, out: int, blocks: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(coarse, out, 1)
        self.lateral = nn.Conv2d(fine, out, 1)
        self.blocks = nn.Sequential(*(Double(out, out // 2, out, 1) for _ in range(blocks)))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Run; the size is that of ``fine``."""
        above = fn.interpolate(fn.relu(self.reduce(coarse)), scale_factor=2.0, mode="bilinear", align_corners=False)
        merged: Tensor = self.blocks(fn.relu(self.lateral(fine)) + above)
        return merged


class FullRange(nn.Module):
    """Full-range network for faces up to five metres away.

    Input: float32 (N, 3, 192, 192), RGB, -1 to 1.

    Output: ``boxes`` (N, 2304, 16) and ``scores`` (N, 2304, 1), one anchor per cell of stride 4; values as in
    `TwoScales`.
    """

    outputs = ("boxes", "scores")

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, 32, 3, 2)
        plans = (
            ((32, 8, 32, 1), (32, 8, 32, 1), (32, 12, 48, 2), (48, 12, 48, 1), (48, 16, 64, 1)),
            ((64, 24, 96, 2), (96, 32, 128, 1), (128, 32, 128, 1)),
            ((128, 36, 144, 2), (144, 48, 192, 1), (192, 64, 256, 1)),
            ((256, 96, 384, 2), (384, 96, 384, 1), (384, 96, 384, 1), (384, 96, 384, 1)),
        )
        self.stages = nn.ModuleList(nn.Sequential(*(Double(*block) for block in plan)) for plan in plans)
        self.merges = nn.ModuleList((Merge(384, 256, 96, 2), Merge(96, 128, 64, 2), Merge(64, 64, 48, 1)))
        self.head = Head(48, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Run; see the class."""
        maps = []
        x = fn.relu(self.stem(image))
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        for merge, fine in zip(self.merges, reversed(maps[:-1]), strict=True):
            x = merge(x, fine)
        boxes, scores = self.head(x)
        return boxes, scores


def short_range() -> TwoScales:
    """The network for selfies, 128x128, with seeded random weights."""
    fine = (
        (24, 24),
        (24, 28),
        (28, 32),
        (32, 36),
        (36, 42),
        (42, 48),
        (48, 56),
        (56, 64),
        (64, 72),
        (72, 80),
        (80, 88),
    )
    coarse = (Single(88, 96, 2), *(Single(96, 96, 1) for _ in range(4)))
    blocks = [Single(into, out, 2 if (into, out) in ((28, 32), (42, 48)) else 1) for into, out in fine]
    return TwoScales(blocks, coarse, (88, 96))


def back_camera() -> TwoScales:
    """The older network for a phone's back camera, 256x256, with seeded random weights."""
    return TwoScales(list(_eights()), (Separable(96),), (96, 96))


def full_range() -> FullRange:
    """The network for faces up to five metres away, 192x192, with seeded random weights."""
    return FullRange()


def _eights() -> Iterator[Single]:
    """Four resolutions of eight blocks (seven after the stem); each later one begins by halving."""
    yield from (Single(24, 24, 1) for _ in range(7))
    for into, out in ((24, 24), (24, 48), (48, 96)):
        yield Single(into, out, 2)
        yield from (Single(out, out, 1) for _ in range(7))
