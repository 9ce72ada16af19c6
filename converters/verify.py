"""Parity of a bundle's files with the networks they were made from, through the device's own runtimes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from converters.build import load_module
from converters.networks import FAMILIES
from converters.recipe import NetworkRecipe, Recipe
from converters.selftest import run_source, selftest_input
from edgeface.bundle import Network, NetworkFile, Precision, open_bundle
from edgeface.errors import BundleError
from edgeface.runtime import load_network, to_tensor
from edgeface.types import F32

logger = logging.getLogger(__name__)
Shape = tuple[int, int, int]
"""Batch, height, width."""


def verify_bundle(recipe: Recipe, folder: Path) -> None:
    """Compare every file with its source at every prepared shape, and say how far it is off.

    Raises
    ------
    BundleError : a file is off by more than its tolerance
    """
    bundle = open_bundle(folder)
    for network in bundle.manifest.networks:
        source = recipe.networks[network.name]
        module = load_module(source)
        outputs = FAMILIES[source.family].outputs
        for file in (file for files in network.files.values() for file in files):
            runner = load_network(bundle, network, file.runtime, precision=file.precision, threads=2)
            worst = 0.0
            for shape in prepared_shapes(recipe, network, file):
                pixels = picture(source, recipe, shape)
                expected = run_source(module, outputs, to_tensor(pixels, network.input, "NCHW"))
                got = runner.run(np.ascontiguousarray(to_tensor(pixels, network.input, file.layout)))
                for name, values in expected.items():
                    worst = max(worst, difference(got[name], values, file.precision))
            logger.info("%s: off by %.2e, allowed %g", file.path, worst, file.tolerance)
            if not worst <= file.tolerance:
                raise BundleError(f"{file.path} is off by {worst:.4f}", fix=f"build {network.name} again")


def difference(got: F32, expected: F32, precision: Precision) -> float:
    """How far an output is off.

    The largest difference as a share of the largest expected value; for int8, whose single cells of a detector may
    jump where no face is, the root mean square of the differences as a share of that of the values.
    """
    off = (got - expected).astype(np.float64)
    if precision == "int8":
        return float(np.sqrt(np.square(off).mean() / np.square(expected.astype(np.float64)).mean()))
    return float(np.abs(off).max() / np.abs(expected).max())


def prepared_shapes(recipe: Recipe, network: Network, file: NetworkFile) -> Iterator[Shape]:
    """Shapes that a device prepares for a file."""
    if file.signatures:
        yield from ((s.batch, s.height, s.width) for s in file.signatures)
    elif network.task == "detect":
        yield from ((1, height, width) for width, height in recipe.prepared.sizes)
    else:
        yield from ((batch, network.input.height or 0, network.input.width or 0) for batch in file.batches)


def picture(network: NetworkRecipe, recipe: Recipe, shape: Shape) -> npt.NDArray[np.uint8]:
    """Return the self-test's picture tiled to a shape, uint8 (N, H, W, C); all but the first with noise."""
    batch, height, width = shape
    stored = selftest_input(network, recipe.selftest)[0]
    tiled = np.tile(stored, (-(-height // stored.shape[0]), -(-width // stored.shape[1]), 1))[:height, :width]
    noise = np.random.default_rng(5).integers(-60, 60, (batch, height, width, stored.shape[2]))
    noise[0] = 0
    return np.clip(tiled[None] + noise, 0, 255).astype(np.uint8)
