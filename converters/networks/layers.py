"""Layers that several networks share: PReLU in forms that quantize, and ``same`` padding as TensorFlow pads.

He, Zhang, Ren, Sun: Delving Deep into Rectifiers. ICCV 2015, section 2.1, for PReLU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn


class PReLU(nn.Module):
    """``x`` where it is positive, ``a * x`` elsewhere, one slope a per channel.

    Where every slope is at most one that is ``maximum(x, a * x)``, and so it is exported; with a larger slope it is
    ``x + (a - 1) * minimum(x, 0)``. The converters' own form (RELU, two MUL and SUB) makes int8 more than twice as slow
    as fp32: MobileFaceNet takes 20.5 ms in fp32 and 53.6 in int8, with the second form 24.3, on a CPU with AVX2. Which
    of the two is settled when weights are loaded and whenever the module goes to ``eval()``, never while it runs: an
    exporter cannot follow a branch on values.

    Input (N, C) or (N, C, H, W), output alike. State: ``weight`` (C,), as `torch.nn.PReLU` has it.
    """

    def __init__(self, channels: int, slope: float = 0.25) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), slope))
        self.register_load_state_dict_post_hook(lambda module, _: module.settle())
        self.settle()

    def settle(self) -> None:
        """Choose the form by the slopes."""
        self.at_most_one = bool((self.weight <= 1).all())

    def train(self, mode: bool = True) -> PReLU:
        """Switch to training or, with False, to use, where the form is settled."""
        super().train(mode)
        if not mode:
            self.settle()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Run; same shape."""
        if self.training:
            return fn.prelu(x, self.weight)
        slope = self.weight.reshape(-1, *[1] * (x.dim() - 2))
        if self.at_most_one:
            return torch.maximum(x, slope * x)
        return x + (slope - 1) * x.clamp(max=0)


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Cells before and after a side, in TensorFlow's and Keras' ``same`` padding: what is odd goes to the end.

    The output has ceil(side / stride) cells. An even side with kernel 3 and stride 2 gets (0, 1), where torch's
    ``padding=1`` would sample other pixels.
    """
    total = max(0, (-(-side // stride) - 1) * stride + kernel - side)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """Convolution with ``same`` padding of TensorFlow and Keras, for inputs of a fixed size.

    Padding by zeros does not harm int8, whose zero is exact. Where both ends are alike it is the convolution's own.
    """

    def __init__(
        self, into: int, out: int, kernel: int, stride: int = 1, *, groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__(into, out, kernel, stride, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Run; (N, C, H, W) to (N, out, ceil(H / stride), ceil(W / stride))."""
        top, bottom = same_padding(x.shape[2], self.kernel_size[0], self.stride[0])
        left, right = same_padding(x.shape[3], self.kernel_size[1], self.stride[1])
        own = (top, left)
        if own != (bottom, right):
            x, own = fn.pad(x, (left, right, top, bottom)), (0, 0)
        return fn.conv2d(x, self.weight, self.bias, self.stride, own, groups=self.groups)


class SameMaxPool2d(nn.MaxPool2d):
    """Max-pool with ``same`` padding of TensorFlow and Keras, for inputs of a fixed size.

    What hangs over at the end is left to ``ceil_mode``: a padding by a constant would be equal in fp32 and ruin int8,
    because the constant enters the range. ValueError for an even kernel with stride 1, where it cannot help.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__(kernel, stride)
        if stride == 1 and kernel % 2 == 0:
            raise ValueError(f"a max-pool of {kernel} cells with stride 1 cannot be padded at its end alone")
        self.cells, self.step = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """Run; (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        top, bottom = same_padding(x.shape[2], self.cells, self.step)
        left, right = same_padding(x.shape[3], self.cells, self.step)
        uneven = (top, left) != (bottom, right)
        return fn.max_pool2d(x, self.cells, self.step, padding=(top, left), ceil_mode=uneven)
