"""The trunk of age-v1 with heads that are trained here: it begins where public weights end.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition. CVPR 2016, section 3; see
`converters.networks.age_v1`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as fn

from converters.networks.age_v1 import AgeV1
from converters.networks.heads import Answering, Heads, Ranks

FALL = 0.15
"""By how much each year beyond the last that age-v1 knows is less likely than the one before, in logits."""


class AgeGenderV1(Answering):
    """From an aligned face to the answers that ``heads`` names.

    Input: float32 (N, 3, 64, 64), RGB, (pixel - (122.782, 117.001, 104.298)) / 256, aligned by five landmarks.

    Outputs: in the order of ``heads``, see `converters.networks.heads.Heads`.
    """

    def __init__(self, heads: Mapping[str, Mapping[str, Any]], dropout: float = 0.1) -> None:
        super().__init__()
        plain = AgeV1()
        self.outputs = tuple(heads)
        self.stem, self.blocks = plain.stem, plain.blocks
        self.heads = Heads(plain.classify.in_features, heads, dropout)

    def start_from(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of age-v1 by the names that they have here.

        Its distribution begins a wider one: of the years that age-v1 does not know each is a little less likely than
        the one before. Ranks and other answers begin untrained.
        """
        given = {name: value for name, value in weights.items() if not name.startswith("classify.")}
        age = dict(self.heads.items()).get("age")
        if age is None or isinstance(age, Ranks) or "classify.weight" not in weights:
            return given
        weight, bias = weights["classify.weight"], weights["classify.bias"]
        more = max(0, age.out_features - len(weight))
        fall = FALL * torch.arange(1, more + 1)
        given["heads.age.weight"] = torch.cat([weight, weight[-1:].expand(more, -1)])[: age.out_features]
        given["heads.age.bias"] = torch.cat([bias, bias[-1] - fall])[: age.out_features]
        return given

    def feature(self, face: Tensor) -> Tensor:
        """What the answers are read from: (N, 3, 64, 64) to (N, 256)."""
        x = fn.max_pool2d(fn.relu(self.stem(face)), 3, 2)
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))
