"""MTCNN: a cascade of three small networks that propose, refine and place faces with five points.

Zhang, Zhang, Li, Qiao: Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks. IEEE Signal
Processing Letters 23, 2016, section II and figure 2; channels and slopes as in the authors' published networks.

All three see RGB, (x - 127.5) / 128, and give for each window ``scores``, the probability of a face, and ``boxes``:
how far its left, top, right and lower edge are off, in shares of the window's side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from converters.networks.layers import PReLU
from edgeface.types import F32


class PNet(nn.Module):
    """The proposal network: a window of 12x12 pixels every two pixels of a picture of any size.

    Input: float32 (N, 3, H, W), H and W at least 12.

    Output, for the ceil((H - 2) / 2) - 4 rows and ceil((W - 2) / 2) - 4 columns of windows, row by row: ``scores``
    (N, windows), ``boxes`` (N, windows, 4).
    """

    outputs = ("scores", "boxes")

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Run; see the class."""
        x = fn.max_pool2d(self.prelu1(self.conv1(image)), 2, ceil_mode=True)
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        scores = torch.softmax(self.conv4_1(x), dim=1)[:, 1]
        return scores.flatten(1), self.conv4_2(x).permute(0, 2, 3, 1).flatten(1, 2)


class RNet(nn.Module):
    """The refinement network: looks again at what was proposed.

    Input: float32 (N, 3, 24, 24). Output: ``scores`` (N, 1), ``boxes`` (N, 4).
    """

    outputs = ("scores", "boxes")

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), PReLU(64)
        # Dense layers are convolutions over all that is left, which saves the transposition before them.
        self.dense4, self.prelu4 = nn.Conv2d(64, 128, 3), PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Conv2d(128, 2, 1), nn.Conv2d(128, 4, 1)

    def forward(self, window: Tensor) -> tuple[Tensor, ...]:
        """Run; see the class."""
        x = fn.max_pool2d(self.prelu1(self.conv1(window)), 3, 2, ceil_mode=True)
        x = fn.max_pool2d(self.prelu2(self.conv2(x)), 3, 2, ceil_mode=True)
        x = self.prelu4(self.dense4(self.prelu3(self.conv3(x))))
        return _face(self.dense5_1(x)), self.dense5_2(x).flatten(1)


class ONet(nn.Module):
    """The output network: the last word, and the points.

    Input: float32 (N, 3, 48, 48). Output: ``scores`` (N, 1), ``boxes`` (N, 4), ``landmarks`` (N, 10): five x, then
    five y, in shares of the window from its upper left corner: left eye, right eye, nose, left and right mouth corner
    as seen in the image.
    """

    outputs = ("scores", "boxes", "landmarks")

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), PReLU(128)
        self.dense5, self.prelu5 = nn.Conv2d(128, 256, 3), PReLU(256)
        self.dense6_1, self.dense6_2 = nn.Conv2d(256, 2, 1), nn.Conv2d(256, 4, 1)
        self.dense6_3 = nn.Conv2d(256, 10, 1)

    def forward(self, window: Tensor) -> tuple[Tensor, ...]:
        """Run; see the class."""
        x = fn.max_pool2d(self.prelu1(self.conv1(window)), 3, 2, ceil_mode=True)
        x = fn.max_pool2d(self.prelu2(self.conv2(x)), 3, 2, ceil_mode=True)
        x = fn.max_pool2d(self.prelu3(self.conv3(x)), 2, 2, ceil_mode=True)
        x = self.prelu5(self.dense5(self.prelu4(self.conv4(x))))
        return _face(self.dense6_1(x)), self.dense6_2(x).flatten(1), self.dense6_3(x).flatten(1)


def _face(logits: Tensor) -> Tensor:
    """Probability of a face, (N, 1), from logits (N, 2, 1, 1) of background and face."""
    return torch.softmax(logits.flatten(1), dim=1)[:, 1:]


def run_published(run: Callable[[F32], Mapping[str, F32]], tensor: F32) -> dict[str, F32]:
    """Run a published ONNX file for comparison: it sees x and y swapped, and its scores have the background beside."""
    names = {2: "scores", 4: "boxes", 10: "landmarks"}
    found = {names.get(array.shape[-1], ""): array for array in run(tensor.transpose(0, 1, 3, 2)).values()}
    scores = found["scores"][..., 1]
    if scores.ndim == 1:
        return {**found, "scores": scores[:, None]}
    cells = {"scores": scores.swapaxes(1, 2), "boxes": found["boxes"].swapaxes(1, 2)}
    return {
        "scores": cells["scores"].reshape(len(tensor), -1),
        "boxes": cells["boxes"].reshape(len(tensor), -1, 4),
    }
