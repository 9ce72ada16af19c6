"""SSR-Net: age in three stages, each of three classes, each finer than the one before, in 40 thousand parameters.

Yang, Huang, Lin, Hsiu, Chuang: SSR-Net: A Compact Soft Stagewise Regression Network for Age Estimation. IJCAI 2018,
section 3 and figure 2; layers and formula as in the authors' Keras code (stages of 3, 3, 3; both lambdas one). The same
body tells gender, on a scale of 0 to 1 instead of 0 to 101 years.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from edgeface.types import F32

CLASSES = 3
YEARS = 101.0
TAPS = 10
_CONVOLUTION = re.compile(r"(?:.*/)?conv2d(?:_(\d+))?/Conv2D_(weights|bn_offset)$")


class Stage(nn.Module):
    """One stage: what both streams see, as classes, shifts of the classes, and a factor of their width.

    Input: maps (N, 32, S, S) and (N, 16, S, S), which squares of ``pool`` bring to ``cells`` x ``cells``.
    """

    def __init__(self, pool: int, cells: int) -> None:
        super().__init__()
        self.pool = pool
        self.tap_relu = nn.Conv2d(32, TAPS, 1)
        self.tap_tanh = nn.Conv2d(16, TAPS, 1)
        self.mix_relu = nn.Conv2d(TAPS, CLASSES, cells)
        self.mix_tanh = nn.Conv2d(TAPS, CLASSES, cells)
        self.width = nn.Conv2d(TAPS, 1, cells)
        self.hidden = nn.Linear(CLASSES, 2 * CLASSES)
        self.classes = nn.Linear(2 * CLASSES, CLASSES)
        self.shifts = nn.Linear(2 * CLASSES, CLASSES)

    def forward(self, relu: Tensor, tanh: Tensor) -> tuple[Tensor, Tensor]:
        """Expected class of 0 to 2 (N, 1), and by what it is to be divided (N, 1)."""
        relu, tanh = fn.relu(self.tap_relu(relu)), fn.relu(self.tap_tanh(tanh))
        if self.pool > 1:
            relu, tanh = fn.avg_pool2d(relu, self.pool), fn.max_pool2d(tanh, self.pool)
        width = CLASSES * (1 + torch.tanh(self.width(relu * tanh)).flatten(1))
        mixed = (fn.relu(self.mix_relu(relu)) * fn.relu(self.mix_tanh(tanh))).flatten(1)
        hidden = fn.relu(self.hidden(mixed))
        numbers = torch.arange(CLASSES, dtype=hidden.dtype)
        share = fn.relu(self.classes(hidden)) * (numbers + torch.tanh(self.shifts(hidden)))
        return share.sum(1, keepdim=True), width


class SsrNet(nn.Module):
    """From a face to its age, or to two probabilities of gender.

    Input: float32 (N, 3, 64, 64), **BGR**, pixel as it is, 0 to 255; scaled to 0..1 it answers one constant.

    Output: ``years`` (N, 1), or with ``answer = "gender"`` ``probabilities`` (N, 2) of female, male. The network gives
    the second of the two; the first is what is missing to one.
    """

    def __init__(self, answer: str = "age") -> None:
        super().__init__()
        if answer not in ("age", "gender"):
            raise ValueError(f"it answers age or gender, not '{answer}'")
        self.gender = answer == "gender"
        self.outputs = ("probabilities",) if self.gender else ("years",)
        self.relu = nn.ModuleList(nn.Conv2d(into, 32, 3) for into in (3, 32, 32, 32))
        self.tanh = nn.ModuleList(nn.Conv2d(into, 16, 3) for into in (3, 16, 16, 16))
        self.stages = nn.ModuleList([Stage(1, 4), Stage(4, 3), Stage(8, 3)])

    def forward(self, face: Tensor) -> tuple[Tensor]:
        """Run; see the class."""
        relu, tanh = face, face
        maps: list[tuple[Tensor, Tensor]] = []
        for level, (first, second) in enumerate(zip(self.relu, self.tanh, strict=True)):
            relu, tanh = fn.relu(first(relu)), torch.tanh(second(tanh))
            if level < len(self.relu) - 1:
                relu, tanh = fn.avg_pool2d(relu, 2), fn.max_pool2d(tanh, 2)
            maps.append((relu, tanh))
        # The stages look at the last map, the second, the first.
        answers = [stage(*maps[level]) for stage, level in zip(self.stages, (3, 1, 0), strict=True)]
        total, divisor = torch.zeros_like(answers[0][0]), torch.ones_like(answers[0][0])
        for expected, width in answers:
            divisor = divisor * width
            total = total + expected / divisor
        if not self.gender:
            return (total * YEARS,)
        male = total.clamp(0, 1)
        return (torch.cat([1 - male, male], dim=1),)


def adapt(tensors: Mapping[str, F32]) -> dict[str, F32]:
    """Give the tfjs graphs' convolutions numbers from 0: Keras counts on from network to network in one process."""
    found = {name: match for name in tensors if (match := _CONVOLUTION.match(name))}
    first = min((int(match[1] or 0) for match in found.values()), default=0)
    renamed = {name: f"conv2d_{int(match[1] or 0) - first}/{match[2]}" for name, match in found.items()}
    return {renamed.get(name, name): array for name, array in tensors.items()}
