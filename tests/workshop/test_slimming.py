"""Fewer channels: equal where only dead ones go, and of the right shapes where living ones go."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from converters.networks.age_gender_v1 import AgeGenderV1

HEADS = {"age": {"kind": "softmax", "length": 101}, "gender": {"kind": "softmax", "length": 2}}
DEAD = (0, 5, 63)
QUIET = (1, 3, 7)


@pytest.fixture
def faces() -> Tensor:
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def whole() -> AgeGenderV1:
    """A network with dead channels in its stem and inside its first block."""
    torch.manual_seed(2)
    network = AgeGenderV1(HEADS)
    network.eval()
    with torch.no_grad():
        network.stem.weight[list(DEAD)] = 0
        network.stem.bias[list(DEAD)] = -1
        network.blocks[0].first.weight[list(QUIET)] = 0
        network.blocks[0].first.bias[list(QUIET)] = -1
    return network


def test_a_stem_without_its_dead_channels_answers_the_same(faces: Tensor) -> None:
    theirs, ours = whole(), AgeGenderV1(HEADS, stem=64 - len(DEAD)).eval()
    ours.load_state_dict(ours.start_from(theirs.state_dict()))
    with torch.no_grad():
        for mine, other in zip(ours(faces), theirs(faces), strict=True):
            torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-5)


def test_blocks_lose_their_weakest_inner_channels_first(faces: Tensor) -> None:
    theirs, ours = whole(), AgeGenderV1(HEADS, inner=61 / 64).eval()
    given = ours.start_from(theirs.state_dict())
    kept = [channel for channel in range(64) if channel not in QUIET]
    torch.testing.assert_close(given["blocks.0.first.weight"], theirs.blocks[0].first.weight[kept])
    torch.testing.assert_close(given["blocks.0.second.weight"], theirs.blocks[0].second.weight[:, kept])
    ours.load_state_dict(given)
    assert [block.first.out_channels for block in ours.blocks] == [61, 122, 122, 244, 244]
    assert ours(faces)[0].shape == (3, 101)


def test_what_is_as_wide_stays_as_it_is() -> None:
    theirs, ours = whole(), AgeGenderV1(HEADS)
    given = ours.start_from(theirs.state_dict())
    assert all(torch.equal(given[name], value) for name, value in theirs.state_dict().items())
