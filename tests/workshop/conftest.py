"""What the workshop's tests share: the recipe, and networks with the weights of their pinned checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from torch import nn

from converters.build import BUNDLE
from converters.checkpoints.archive import ArchiveError, read_member
from converters.networks import FAMILIES
from converters.recipe import Recipe, read_recipe
from edgeface.bundle import Bundle, open_bundle


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return read_recipe()


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return open_bundle(BUNDLE)


@pytest.fixture(scope="session")
def checkpoint(recipe: Recipe) -> Callable[[str], bytes]:
    """Bytes of a network's pinned checkpoint; skips where the archive is neither cached nor to be had."""

    @cache
    def read(name: str) -> bytes:
        try:
            return read_member(recipe.networks[name].source)
        except ArchiveError as error:
            pytest.skip(f"the pinned archive is not to be had: {error}")

    return read


@pytest.fixture(scope="session")
def source_network(recipe: Recipe, checkpoint: Callable[[str], bytes]) -> Callable[[str], nn.Module]:
    """Torch module of a network with its weights."""

    @cache
    def load(name: str) -> nn.Module:
        return FAMILIES[recipe.networks[name].family].load(checkpoint(name))

    return load
