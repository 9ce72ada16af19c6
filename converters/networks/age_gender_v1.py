"""The trunk of age-v1 with heads that are trained here: it begins where public weights end.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition. CVPR 2016, section 3; see
`converters.networks.age_v1`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from converters.networks.age_v1 import FEATURE, Trunk
from converters.networks.heads import Answering, Heads, Ranks
from converters.networks.slimming import slim

FALL = 0.15
"""By how much each year beyond the last that age-v1 knows is less likely than the one before, in logits."""


class AgeGenderV1(Trunk, Answering):
    """From an aligned face to the answers that ``heads`` names.

    Input: float32 (N, 3, 64, 64), RGB, (pixel - (122.782, 117.001, 104.298)) / 256, aligned by five landmarks.

    Outputs: in the order of ``heads``, see `converters.networks.heads.Heads`.

    Parameters
    ----------
    heads : answers by name
    dropout : before the heads, in training
    stem, inner : how slim the trunk is, see `converters.networks.age_v1.Trunk`
    """

    def __init__(
        self, heads: Mapping[str, Mapping[str, Any]], dropout: float = 0.1, stem: int = 64, inner: float = 1.0
    ) -> None:
        super().__init__(stem, inner)
        self.outputs = tuple(heads)
        self.heads = Heads(FEATURE, heads, dropout)

    def start_from(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of age-v1, or of a wider network of this family, by the names and in the shapes that they have here.

        The distribution of age-v1 begins a wider one: of the years that it does not know each is a little less likely
        than the one before. Ranks and other answers begin untrained.
        """
        given = {name: value for name, value in weights.items() if not name.startswith("classify.")}
        age = dict(self.heads.items()).get("age")
        if age is not None and not isinstance(age, Ranks) and "classify.weight" in weights:
            weight, bias = weights["classify.weight"], weights["classify.bias"]
            more = max(0, age.out_features - len(weight))
            fall = FALL * torch.arange(1, more + 1)
            given["heads.age.weight"] = torch.cat([weight, weight[-1:].expand(more, -1)])[: age.out_features]
            given["heads.age.bias"] = torch.cat([bias, bias[-1] - fall])[: age.out_features]
        return slim(given, {name: value.shape for name, value in self.state_dict().items()})
