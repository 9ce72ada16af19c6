"""What the workshop's tests share: recipes, bundles, and networks with the weights of their pinned checkpoints."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from converters.bundles.build import build
from converters.bundles.recorded import recorded
from converters.checkpoints.archive import UnreachableError, read_source
from converters.paths import BUNDLE, ROOT
from converters.recipes.reading import read_network, read_recipe
from converters.recipes.schema import Recipe
from converters.references.torch_module import TorchReference
from edgeface.bundle import Bundle, open_bundle

CLASSIC = ROOT / ".cache" / "tests"
"""Where `classic` is built for the tests, and kept for the next run."""

SMALL = "expression-mini-xception"
"""A small network of the classic bundle."""


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return read_recipe()


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return open_bundle(BUNDLE)


@pytest.fixture(scope="session")
def classic() -> Bundle:
    """Entries of public networks that keep their names, as recorded; their files are those of `classic_files`."""
    (manifest,) = (manifest for manifest in recorded() if manifest.name == "classic")
    return Bundle(folder=CLASSIC / "bundles" / "classic", manifest=manifest)


@pytest.fixture(scope="session")
def classic_files(checkpoint: Callable[[str], bytes]) -> Bundle:
    """The same with its files: built once, by one process, and kept while nothing that they depend on changes."""
    recipe = read_recipe("classic")
    for name in recipe.networks:
        checkpoint(name)
    CLASSIC.mkdir(parents=True, exist_ok=True)
    with (CLASSIC / "classic.lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        patch.setenv("EDGEFACE_BUILD", str(CLASSIC))
        return open_bundle(build(recipe, jobs=1))


@pytest.fixture(scope="session")
def small_file(classic_files: Bundle) -> Callable[[str, str], Path]:
    """Files of a small network by precision and suffix, the plain one among them: of ours only smaller forms ship."""
    return lambda precision, suffix: classic_files.folder / f"{SMALL}.{precision}.{suffix}"


@pytest.fixture(scope="session")
def checkpoint() -> Callable[[str], bytes]:
    """Bytes of a network's pinned checkpoint; skips where the archive is neither cached nor to be had."""

    @cache
    def read(name: str) -> bytes:
        try:
            source = read_network(name)[1].source
            assert source is not None
            return read_source(source)[0]
        except UnreachableError as error:
            pytest.skip(f"the pinned archive is not to be had: {error}")

    return read


@pytest.fixture(scope="session")
def source_network(checkpoint: Callable[[str], bytes]) -> Callable[[str], TorchReference]:
    """Torch module of a network with its weights."""

    @cache
    def load(name: str) -> TorchReference:
        checkpoint(name)
        return TorchReference(read_network(name)[1])

    return load
