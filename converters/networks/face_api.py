"""face-api: age and gender in one pass of a "tiny Xception", and expression by small dense blocks.

Chollet: Xception: Deep Learning with Depthwise Separable Convolutions. CVPR 2017, section 3; Huang, Liu, van der
Maaten, Weinberger: Densely Connected Convolutional Networks. CVPR 2017, whose connections are summed here. The layers
are those of face-api.js (TinyXception, AgeGenderNet, FaceFeatureExtractor, FaceExpressionNet): its files hold weights
and no graph. Every convolution pads as TensorFlow does.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as fn

from converters.networks.layers import SameConv2d
from converters.networks.mini_xception import Block, Separable


class Halving(Separable):
    """A separable convolution with stride 2, padded at the end first."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__(into, out)
        self.depthwise = SameConv2d(into, into, 3, 2, groups=into, bias=False)


class Main(nn.Module):
    """Three separable convolutions beside their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.separable = nn.ModuleList(Separable(channels, channels) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Run; same shape."""
        y = x
        for separable in self.separable:
            y = separable(fn.relu(y))
        return x + y


class FaceApiAge(nn.Module):
    """From a face to its age and gender.

    Input: float32 (N, 3, 112, 112), RGB, (pixel - (122.782, 117.001, 104.298)) / 256.

    Output: ``years`` (N, 1), and ``gender`` (N, 2) of **male, female**, softmax applied.
    """

    outputs = ("years", "gender")

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, 32, 3, 2)
        self.entry = nn.ModuleList([Block(32, 64), Block(64, 128)])
        self.middle = nn.ModuleList([Main(128), Main(128)])
        self.exit = Block(128, 256)
        self.last = Separable(256, 512)
        self.age = nn.Linear(512, 1)
        self.gender = nn.Linear(512, 2)

    def forward(self, face: Tensor) -> tuple[Tensor, Tensor]:
        """Run; see the class."""
        x = self.entry[0](fn.relu(self.stem(face)))
        x = self.entry[1](fn.relu(x), x)
        for block in self.middle:
            x = block(x)
        x = self.exit(fn.relu(x), x)
        feature = fn.relu(self.last(x)).mean((2, 3))
        return self.age(feature), fn.softmax(self.gender(feature), dim=1)


class Dense(nn.Module):
    """Four convolutions, the first with stride 2; each of the others sees the sum of all before it."""

    def __init__(self, into: int, out: int, *, separable: bool = True) -> None:
        super().__init__()
        first = Halving(into, out) if separable else SameConv2d(into, out, 3, 2)
        self.conv = nn.ModuleList([first, *(Separable(out, out) for _ in range(3))])

    def forward(self, x: Tensor) -> Tensor:
        """Run; half the height and width."""
        total = fn.relu(self.conv[0](x))
        for index, conv in enumerate(self.conv[1:]):
            total = total + conv(total if index == 0 else fn.relu(total))
        return fn.relu(total)


class FaceApiExpression(nn.Module):
    """From a face to one probability per expression.

    Input: float32 (N, 3, 112, 112), RGB, (pixel - (122.782, 117.001, 104.298)) / 255.

    Output: ``probabilities`` (N, 7), softmax applied: neutral, happy, sad, angry, fear, disgust, surprise.
    """

    outputs = ("probabilities",)

    def __init__(self) -> None:
        super().__init__()
        plan = ((3, 32), (32, 64), (64, 128), (128, 256))
        self.dense = nn.ModuleList(Dense(into, out, separable=into > 3) for into, out in plan)
        self.classify = nn.Linear(256, 7)

    def forward(self, face: Tensor) -> tuple[Tensor]:
        """Run; see the class."""
        x = face
        for block in self.dense:
            x = block(x)
        return (fn.softmax(self.classify(x.mean((2, 3))), dim=1),)
