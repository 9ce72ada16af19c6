"""VGG-style networks for expression or gender on faces of 48 by 48 pixels, in the three forms that people have.

Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition. ICLR 2015, section 2 (small
convolutions in groups, a pooling after each, dense layers). ``averaged`` is the sequential fully convolutional network
of Arriaga, Valdenegro-Toro, Ploeger: Real-time Convolutional Neural Networks for Emotion and Gender Classification.
2017, section III. ``plain`` is known by its published weights alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as fn

SIDE = 48
FormName = Literal["vgg", "averaged", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One form of the network.

    Attributes
    ----------
    stages : groups of convolutions, each (channels, kernel side), with a 2x2 pooling behind each group
    padded : the convolutions keep the size of the map
    each : a ReLU behind each convolution, else behind the last one of a group only
    pool : of 2x2 cells
    tail : channels of one more 3x3 convolution with nothing behind it, or 0
    dense : sizes of the dense layers before the last; without any the last is a 3x3 convolution, averaged over the map
    """

    stages: tuple[tuple[tuple[int, int], ...], ...]
    padded: bool = True
    each: bool = True
    pool: Callable[[Tensor, int], Tensor] = fn.max_pool2d
    tail: int = 0
    dense: tuple[int, ...] = ()


FORMS: dict[FormName, Form] = {
    "vgg": Form(stages=(((64, 3), (64, 3)), ((128, 3), (128, 3)), ((256, 3), (256, 3))), dense=(1024, 1024)),
    "averaged": Form(
        stages=(((16, 7), (16, 7)), ((32, 5), (32, 5)), ((64, 3), (64, 3)), ((128, 3), (128, 3))),
        each=False,
        pool=fn.avg_pool2d,
        tail=256,
    ),
    "plain": Form(
        stages=(((28, 3),), ((56, 3),), ((112, 3),)),
        padded=False,
        dense=(305,),
    ),
}


class Vgg48(nn.Module):
    """From a face to one probability per label.

    Input: float32 (N, ``channels``, 48, 48): 1 for grey, 3 for RGB; pixel / 255.

    Output: ``probabilities`` (N, ``labels``), softmax applied. Expression: angry, disgust, fear, happy, sad, surprise,
    neutral. Gender: woman, man.

    ``form`` is one of `FORMS`. Batch norms of ``averaged`` are folded. Dense layers are written as convolutions:
    nothing to transpose in channel-last files.
    """

    outputs = ("probabilities",)

    def __init__(self, form: FormName = "vgg", *, labels: int = 7, channels: int = 1) -> None:
        super().__init__()
        self.form = FORMS[form]
        side, into = SIDE, channels
        stages: list[nn.ModuleList] = []
        for plan in self.form.stages:
            convolutions: list[nn.Module] = []
            for out, kernel in plan:
                convolutions.append(nn.Conv2d(into, out, kernel, padding=kernel // 2 if self.form.padded else 0))
                into, side = out, side if self.form.padded else side - kernel + 1
            stages.append(nn.ModuleList(convolutions))
            side //= 2
        self.stages = nn.ModuleList(stages)
        if self.form.tail:
            self.tail = nn.Conv2d(into, self.form.tail, 3, padding=1)
            into = self.form.tail
        dense: list[nn.Module] = []
        for out in self.form.dense:
            dense.append(nn.Conv2d(into, out, side))
            into, side = out, 1
        self.dense = nn.ModuleList(dense)
        self.classify = nn.Conv2d(into, labels, 1) if dense else nn.Conv2d(into, labels, 3, padding=1)

    def forward(self, face: Tensor) -> tuple[Tensor]:
        """Run; see the class."""
        x = face
        for stage in self.stages:
            x = self._stage(x, stage)
        if self.form.tail:
            x = self.tail(x)
        for layer in self.dense:
            x = fn.relu(layer(x))
        x = self.classify(x)
        answer = x.flatten(1) if self.form.dense else x.mean((2, 3))
        return (fn.softmax(answer, dim=1),)

    def _stage(self, x: Tensor, stage: nn.Module) -> Tensor:
        layers = list(stage.children())
        for layer in layers:
            x = layer(x)
            if self.form.each or layer is layers[-1]:
                x = fn.relu(x)
        return self.form.pool(x, 2)
