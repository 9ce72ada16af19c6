"""Recurrent layers frame by frame: one step of torch's own layers, with their weights by torch's names.

Hochreiter, Schmidhuber: Long Short-Term Memory. Neural Computation 9, 1997 (with forget gates: Gers, Schmidhuber,
Cummins 2000). Cho, van Merrienboer, Gulcehre, Bahdanau, Bougares, Schwenk, Bengio: Learning Phrase Representations
using RNN Encoder-Decoder. EMNLP 2014 (the gated recurrent unit). Yang, Ren, Zhang, Chen, Wen, Li, Hua: Neural
Aggregation Network for Video Face Recognition. CVPR 2017, section 3.2 (one attention block).

A device runs these: plain products and sums, which both runtimes have, where a layer over a window would be unrolled.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

MOST_LAYERS = 3


WIDEST = 8.0
"""Logarithm beyond which no frame weighs more, or less, than another."""


class LearntMean(nn.Module):
    """Mean of the features so far, each weighed by what a dense layer says of it: at first all alike."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(length, 1)
        nn.init.zeros_(self.weigh.weight)
        nn.init.zeros_(self.weigh.bias)

    def weight(self, x: Tensor) -> Tensor:
        """Weight (..., 1) of features (..., L), above 0."""
        return self.weigh(x).clamp(-WIDEST, WIDEST).exp()

    def forward(self, features: Tensor) -> tuple[Tensor, None]:
        """Means (N, T, L) at every frame, as recurrent layers give them."""
        weight = self.weight(features)
        return (weight * features).cumsum(1) / weight.cumsum(1), None

    def step(self, x: Tensor, mean: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        """One frame: new mean (N, L) and total weight (N, 1)."""
        weight = self.weight(x)
        total = total + weight
        return mean + (x - mean) * (weight / total), total


def expect_layers(layers: int, least: int = 1) -> None:
    """Raise ValueError for another number of layers than there can be."""
    if not least <= layers <= MOST_LAYERS:
        raise ValueError(f"{layers} layers: give {least} to {MOST_LAYERS}")


def lstm_step(lstm: nn.LSTM, layer: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """One layer, one frame: new h and c (N, L), with the gates in torch's order: in, forget, candidate, out."""
    taken, kept = _products(lstm, layer, x, h)
    take, keep, candidate, give = (taken + kept).chunk(4, dim=1)
    c = torch.sigmoid(keep) * c + torch.sigmoid(take) * torch.tanh(candidate)
    return torch.sigmoid(give) * torch.tanh(c), c


def gru_step(gru: nn.GRU, layer: int, x: Tensor, h: Tensor) -> Tensor:
    """One layer, one frame: new h (N, L), with the gates in torch's order: reset, update, candidate."""
    taken, kept = _products(gru, layer, x, h)
    reset_x, update_x, new_x = taken.chunk(3, dim=1)
    reset_h, update_h, new_h = kept.chunk(3, dim=1)
    update = torch.sigmoid(update_x + update_h)
    candidate = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
    return update * h + (1 - update) * candidate


def _products(layers: nn.RNNBase, layer: int, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """What the gates get from the frame, and what from memory."""
    weights = [getattr(layers, f"{kind}_l{layer}") for kind in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")]
    return fn.linear(x, *weights[:2]), fn.linear(h, *weights[2:])
