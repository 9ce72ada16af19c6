"""What a feature is read into: one dense layer for each answer, for networks that are trained here.

Softmax over classes; ranks that share one weight vector (Cao, Mirjalili, Raschka: Rank Consistent Ordinal Regression
for Neural Networks with Application to Age Estimation. Pattern Recognition Letters 140, 2020, section 3); two numbers
from -1 to 1 for valence and arousal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

KINDS = ("softmax", "coral", "tanh")
EASIEST, HARDEST = 4.0, -6.0
"""Biases of the first and the last rank before training: about the log-odds that a face is older than 1 and than 99."""


class Ranks(nn.Module):
    """Log-odds (N, ``ranks``) that a face is above each rank: one shared weight vector, a bias per rank.

    At every minimum of the loss the biases fall with the rank (the paper's theorem 1), and with them the answers.
    """

    def __init__(self, width: int, ranks: int) -> None:
        super().__init__()
        self.shared = nn.Linear(width, 1, bias=False)
        self.bias = nn.Parameter(torch.linspace(EASIEST, HARDEST, ranks))

    def forward(self, feature: Tensor) -> Tensor:
        """Run; (N, width) to (N, ranks)."""
        return self.shared(feature) + self.bias


class Heads(nn.ModuleDict):
    """Answers by name, in the order in which they are given.

    Parameters
    ----------
    width : values of the feature
    heads : by name of the output its ``kind`` and ``length``: ``softmax`` (classes), ``coral`` (ranks) or ``tanh``
    dropout : share of the feature's values that each step of training leaves out
    """

    def __init__(self, width: int, heads: Mapping[str, Mapping[str, Any]], dropout: float = 0.1) -> None:
        if not heads:
            raise ValueError("heads: name at least one answer")
        for name, head in heads.items():
            if set(head) != {"kind", "length"} or head["kind"] not in KINDS:
                raise ValueError(f"heads.{name}: give kind (one of {', '.join(KINDS)}) and length")
        super().__init__(
            {
                name: Ranks(width, head["length"]) if head["kind"] == "coral" else nn.Linear(width, head["length"])
                for name, head in heads.items()
            }
        )
        self.kinds = {name: str(head["kind"]) for name, head in heads.items()}
        self.share = dropout

    def logits(self, feature: Tensor) -> tuple[Tensor, ...]:
        """What training reads: logits of classes, log-odds of ranks, valence and arousal as they are."""
        feature = nn.functional.dropout(feature, self.share, training=self.training)
        raw = {name: layer(feature) for name, layer in self.items()}
        return tuple(value.tanh() if self.kinds[name] == "tanh" else value for name, value in raw.items())

    def forward(self, feature: Tensor) -> tuple[Tensor, ...]:
        """What a device reads: probabilities, valence and arousal."""
        finish = {"softmax": lambda x: x.softmax(dim=1), "coral": torch.sigmoid, "tanh": lambda x: x}
        return tuple(finish[kind](value) for kind, value in zip(self.kinds.values(), self.logits(feature), strict=True))


class Answering(nn.Module):
    """A network that reads the answers of ``heads`` from one ``feature`` of a face."""

    heads: Heads

    def feature(self, face: Tensor) -> Tensor:
        """What the answers are read from, (N, width)."""
        raise NotImplementedError

    def logits(self, face: Tensor) -> tuple[Tensor, ...]:
        """Run for training; see `Heads.logits`."""
        return self.heads.logits(self.feature(face))

    def forward(self, face: Tensor) -> tuple[Tensor, ...]:
        """Run; see the class."""
        answers: tuple[Tensor, ...] = self.heads(self.feature(face))
        return answers
