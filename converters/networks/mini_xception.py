"""mini-Xception: depthwise separable convolutions with residual shortcuts, for expression or gender.

Arriaga, Valdenegro-Toro, Ploeger: Real-time Convolutional Neural Networks for Emotion and Gender Classification. 2017,
section III and figure 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from converters.checkpoints.keras import batch_norm_affine, read_keras
from edgeface.types import F32

OUTPUTS = ("probabilities",)
CHANNELS = (8, 16, 32, 64, 128)
LAYERS = {
    "first": ("conv2d_1", 1),
    "second": ("conv2d_2", 2),
    "blocks.0.shortcut": ("conv2d_3", 3),
    "blocks.0.first": ("separable_conv2d_1", 4),
    "blocks.0.second": ("separable_conv2d_2", 5),
    "blocks.1.shortcut": ("conv2d_4", 6),
    "blocks.1.first": ("separable_conv2d_3", 7),
    "blocks.1.second": ("separable_conv2d_4", 8),
    "blocks.2.shortcut": ("conv2d_5", 9),
    "blocks.2.first": ("separable_conv2d_5", 10),
    "blocks.2.second": ("separable_conv2d_6", 11),
    "blocks.3.shortcut": ("conv2d_6", 12),
    "blocks.3.first": ("separable_conv2d_7", 13),
    "blocks.3.second": ("separable_conv2d_8", 14),
}
"""Our layer: Keras' convolution, and the number of the batch norm behind it."""


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
    """Two separable convolutions and a max-pool beside a strided 1x1 convolution.

    Keras pads ``same`` pooling at the end first. On an even side that is one cell at the end, which ``ceil_mode``
    gives; on an odd side one at both ends, which ``padding=1`` gives. A padding by a constant would be equal in fp32
    and ruin int8, because the constant enters the range.
    """

    def __init__(self, into: int, out: int, side: int) -> None:
        super().__init__()
        self.first = Separable(into, out)
        self.second = Separable(out, out)
        self.shortcut = nn.Conv2d(into, out, 1, stride=2)
        self.odd = bool(side % 2)

    def forward(self, x: Tensor) -> Tensor:
        """Run; half the height and width, rounded up."""
        y = self.second(fn.relu(self.first(x)))
        y = fn.max_pool2d(y, 3, 2, padding=1) if self.odd else fn.max_pool2d(y, 3, 2, ceil_mode=True)
        total: Tensor = y + self.shortcut(x)
        return total


class MiniXception(nn.Module):
    """From a grey face to one probability per label.

    Input: float32 (N, 1, ``side``, ``side``). The scale is each training's own: pixel / 127.5 - 1 for expression,
    pixel / 255 for gender.

    Output: ``probabilities`` (N, ``labels``), softmax applied. Expression: angry, disgust, fear, happy, sad, surprise,
    neutral. Gender: woman, man.
    """

    def __init__(self, labels: int, side: int = 64) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3)
        self.second = nn.Conv2d(8, 8, 3)
        side -= 4
        blocks: list[Block] = []
        for into, out in pairwise(CHANNELS):
            blocks.append(Block(into, out, side))
            side = (side + 1) // 2
        self.blocks = nn.ModuleList(blocks)
        self.classify = nn.Conv2d(CHANNELS[-1], labels, 3, padding=1)

    def forward(self, face: Tensor) -> tuple[Tensor]:
        """Run; see the class."""
        x = fn.relu(self.second(fn.relu(self.first(face))))
        for block in self.blocks:
            x = block(x)
        return (fn.softmax(self.classify(x).mean((2, 3)), dim=1),)


def load(checkpoint: bytes) -> MiniXception:
    """Network with the weights of a Keras 2 file; batch norm is folded, the number of labels is the file's."""
    layers = read_keras(checkpoint)
    kernel = layers["conv2d_7"]["kernel"]
    network = MiniXception(labels=kernel.shape[3])
    state = {
        "classify.weight": torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()),
        "classify.bias": torch.from_numpy(layers["conv2d_7"]["bias"]),
    }
    for ours, (conv, norm) in LAYERS.items():
        scale, offset = batch_norm_affine(layers[f"batch_normalization_{norm}"])
        state.update(_folded(ours, layers[conv], scale, offset))
    network.load_state_dict(state)
    network.eval()
    return network


def _folded(ours: str, layer: Mapping[str, F32], scale: F32, offset: F32) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    if "depthwise_kernel" in layer:
        state[f"{ours}.depthwise.weight"] = torch.from_numpy(layer["depthwise_kernel"].transpose(2, 3, 0, 1).copy())
        kernel, ours = layer["pointwise_kernel"], f"{ours}.pointwise"
    else:
        kernel = layer["kernel"]
    weight = kernel.transpose(3, 2, 0, 1) * scale[:, None, None, None]
    state[f"{ours}.weight"] = torch.from_numpy(weight.copy())
    state[f"{ours}.bias"] = torch.from_numpy(offset)
    return state
