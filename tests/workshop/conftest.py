"""What the workshop's tests share: the recipe, and networks with the weights of their pinned checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from converters.checkpoints.archive import UnreachableError, read_source
from converters.paths import BUNDLE
from converters.recipes.reading import read_recipe
from converters.recipes.schema import Recipe
from converters.references.torch_module import TorchReference
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
            source = recipe.networks[name].source
            assert source is not None
            return read_source(source)[0]
        except UnreachableError as error:
            pytest.skip(f"the pinned archive is not to be had: {error}")

    return read


@pytest.fixture(scope="session")
def source_network(recipe: Recipe, checkpoint: Callable[[str], bytes]) -> Callable[[str], TorchReference]:
    """Torch module of a network with its weights."""

    @cache
    def load(name: str) -> TorchReference:
        checkpoint(name)
        return TorchReference(recipe.networks[name])

    return load
