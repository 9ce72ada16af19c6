"""age-v1: a residual network of ten layers that gives a distribution over ages 0 to 80.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition. CVPR 2016, section 3; shortcuts without parameters
(option A: average pooling and zero channels). Age as the mean of a distribution: Rothe, Timofte, Van Gool: Deep
Expectation of Real and Apparent Age from a Single Image. IJCV 126, 2018, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from converters.checkpoints.onnx_initializers import read_initializers
from edgeface.types import F32

OUTPUTS = ("probabilities",)
CLASSES = 81
KEYS = {
    "stem": (52, 51),
    "blocks.0.first": (47, 46),
    "blocks.0.second": (44, 43),
    "blocks.1.first": (39, 38),
    "blocks.1.second": (36, 35),
    "blocks.2.first": (28, 27),
    "blocks.2.second": (25, 24),
    "blocks.3.first": (20, 19),
    "blocks.3.second": (17, 16),
    "blocks.4.first": (9, 8),
    "blocks.4.second": (6, 5),
}
"""Our convolution: the file's layer of its kernel, and the layer of the scale and offset that follow it."""


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; where it halves the map, the first has stride 2 and no padding."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.into = into
        self.halves = into != out
        stride, padding = (2, 0) if self.halves else (1, 1)
        self.first = nn.Conv2d(into, out, 3, stride, padding)
        self.second = nn.Conv2d(out, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Run.

        A pooled shortcut has fewer channels than the other side: it is added to the first ones. Padding it with zero
        channels would be equal, and cost transposes in channel-last files. It may also be a row and a column larger;
        there the other side is padded with zeros.
        """
        y = self.second(fn.relu(self.first(x)))
        if not self.halves:
            return fn.relu(x + y)
        x = fn.avg_pool2d(x, 2)
        y = fn.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]))
        return fn.relu(torch.cat([y[:, : self.into] + x, y[:, self.into :]], dim=1))


class AgeV1(nn.Module):
    """From an aligned face to a distribution over ages.

    Input: float32 (N, 3, 64, 64), RGB, (pixel - (122.782, 117.001, 104.298)) / 256, aligned by five landmarks.

    Output: ``probabilities`` (N, 81), softmax applied: ages 0 to 80, where class 0 stands for a quarter of a year.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7, stride=2)
        plan = ((64, 64), (64, 128), (128, 128), (128, 256), (256, 256))
        self.blocks = nn.ModuleList(Block(into, out) for into, out in plan)
        self.classify = nn.Linear(256, CLASSES)

    def forward(self, face: Tensor) -> tuple[Tensor]:
        """Run; see the class."""
        x = fn.max_pool2d(fn.relu(self.stem(face)), 3, 2)
        for block in self.blocks:
            x = block(x)
        return (fn.softmax(self.classify(x.mean((2, 3))), dim=1),)


def load(checkpoint: bytes) -> AgeV1:
    """Network with the weights of the original ONNX file; scales and offsets are folded into the convolutions."""
    arrays = read_initializers(checkpoint)
    network = AgeV1()
    state = {key: value for ours, layers in KEYS.items() for key, value in folded(arrays, ours, *layers).items()}
    state["classify.weight"] = torch.from_numpy(arrays["layer_1_weights"].T.copy())
    state["classify.bias"] = torch.from_numpy(arrays["layer_1_bias"])
    network.load_state_dict(state)
    network.eval()
    return network


def folded(arrays: Mapping[str, F32], ours: str, conv: int, affine: int) -> dict[str, Tensor]:
    """State of one convolution with the scale and offset after it folded in."""
    scale = arrays[f"layer_{affine}_scale"].reshape(-1)
    weight = arrays[f"layer_{conv}_weights"] * scale[:, None, None, None]
    bias = arrays[f"layer_{conv}_bias"] * scale + arrays[f"layer_{affine}_offset"].reshape(-1)
    return {f"{ours}.weight": torch.from_numpy(weight), f"{ours}.bias": torch.from_numpy(bias)}
