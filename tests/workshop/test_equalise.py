"""Cross-layer equalisation changes weights, never answers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from converters.export.equalise import equalise, fold_batch_norm, pairs, ranges_in, ranges_out
from converters.networks import make_network
from edgeface.errors import EdgefaceError

UNEVEN = torch.logspace(-2, 2, 8)
"""Channel scales four decades apart, as folded batch norms of depthwise layers leave them."""


class Chain(nn.Module):
    """Convolution, depthwise, pointwise: with batch norms, two kinds of activation and a pooling between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.1))
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.pointwise = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.pointwise(fn.relu(self.depthwise(fn.max_pool2d(self.first(x), 2)))),)


class Branching(nn.Module):
    """What follows the first convolution goes two ways; a clipped activation stands before the last."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 1)
        self.second = nn.Conv2d(8, 8, 1)
        self.third = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        x = fn.relu(self.first(x))
        return (self.third(fn.relu6(self.second(x)) + x),)


class Deciding(nn.Module):
    """Its flow depends on what it sees."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (x * 2 if x.sum() > 0 else x,)


@pytest.fixture
def chain() -> Chain:
    torch.manual_seed(3)
    network = Chain()
    network.eval()
    with torch.no_grad():
        network.first[1].weight.copy_(UNEVEN)
        network.first[1].running_mean.normal_()
        network.depthwise.weight *= UNEVEN.flip(0)[:, None, None, None].sqrt()
    return network


def off(a: nn.Module, b: nn.Module, side: int = 32) -> float:
    """Largest difference of two networks' answers as a share of the largest answer."""
    x = torch.randn((2, 3, side, side), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        pairs_of_answers = list(zip(a(x), b(x), strict=True))
    return max(float((one - two).abs().max() / one.abs().max()) for one, two in pairs_of_answers)


def test_answers_stay_and_ranges_become_even(chain: Chain) -> None:
    even, folded = equalise(chain), fold_batch_norm(chain)
    assert type(even) is Chain
    assert off(chain, even) < 1e-5
    assert off(chain, folded) < 1e-5
    for (first, second), (before, after) in zip(pairs(even), pairs(folded), strict=True):
        torch.testing.assert_close(ranges_out(first), ranges_in(second), rtol=1e-2, atol=0)
        assert spread(ranges_in(second)) < spread(ranges_out(before)) * spread(ranges_in(after))
    assert spread(ranges_out(folded.first[0])) > 1000
    assert spread(ranges_out(even.first[0])) < 30


def spread(ranges: Tensor) -> float:
    return float(ranges.max() / ranges.min())


def test_the_given_network_is_left_alone(chain: Chain) -> None:
    before = {name: value.clone() for name, value in chain.state_dict().items()}
    equalise(chain)
    assert all(torch.equal(before[name], value) for name, value in chain.state_dict().items())


def test_nothing_moves_across_branches_and_clipped_activations() -> None:
    network = Branching().eval()
    assert list(pairs(network)) == []
    assert off(network, equalise(network)) == 0


def test_a_channel_without_weights_stays_finite(chain: Chain) -> None:
    with torch.no_grad():
        chain.depthwise.weight[2] = 0
    assert off(chain, equalise(chain)) < 1e-5


def test_a_layer_that_serves_twice_is_left_alone() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.twice = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (self.twice(self.twice(self.first(x))),)

    network = Shared().eval()
    assert list(pairs(network)) == []
    assert off(network, equalise(network)) == 0


@pytest.mark.parametrize("family", ["retinaface", "yunet", "gender_v1"])
def test_real_architectures_answer_the_same(family: str) -> None:
    torch.manual_seed(0)
    network = make_network(family, {}).eval()
    even = equalise(network)
    assert even.outputs == network.outputs
    assert len(list(pairs(even))) >= 3
    assert off(network, even, side=32) < 1e-5


def test_a_network_that_cannot_be_traced_says_so() -> None:
    with pytest.raises(EdgefaceError, match=r"Deciding cannot be traced: .*; set equalise = false") as caught:
        equalise(Deciding())
    assert "\n" not in str(caught.value)
