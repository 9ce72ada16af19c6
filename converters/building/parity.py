"""``verify``: parity of built files with the networks they were made from, through the device's own runtimes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from converters.building.maker import Maker
from converters.building.selftest import selftest_input
from converters.recipes.schema import NetworkRecipe, Recipe
from converters.references.torch_module import Reference, feed
from edgeface.bundle import Bundle, Closed, Network, NetworkFile, Precision
from edgeface.errors import EdgefaceError
from edgeface.runtime import Runner, load_network, to_tensor
from edgeface.selftest import check
from edgeface.types import F32

Shape = tuple[int, int, int]
"""Batch, height, width."""
SEED = 5


class Parity(Closed, frozen=True, kw_only=True):
    """How far one file is off its source: on the self-test's picture with noise, and on random pixels."""

    network: str
    path: str
    shapes: int
    real: float
    random: float
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether it may be trusted."""
        return max(self.real, self.random) <= self.allowed


def format_parity(parity: Parity) -> str:
    """One line about one file."""
    note = "" if parity.holds else "  OFF"
    if parity.shapes == 0:
        return f"{parity.path}: off by {parity.real:.2e} in its self-test, allowed {parity.allowed:g}{note}"
    return (
        f"{parity.path}: off by {parity.real:.2e}, on random pixels {parity.random:.2e},"
        f" allowed {parity.allowed:g}, {parity.shapes} shapes{note}"
    )


def off_by(recipe: Recipe, bundle: Bundle, parity: Parity) -> EdgefaceError:
    """Put into words how far a file is off, and at which layer most."""
    network = bundle.network(parity.network)
    (file,) = (file for files in network.files.values() for file in files if file.path == parity.path)
    off, where = max(parity.real, parity.random), worst_layer(recipe, bundle.folder, network, file)
    return EdgefaceError(f"{parity.path} is off by {off:.4f}{where}", fix="build it again, or allow more in its recipe")


def prove(recipe: Recipe, bundle: Bundle) -> None:
    """Raise EdgefaceError for the first file of a fresh build that is off by more than its tolerance."""
    for parity in verify_bundle(recipe, bundle, quiet=True):
        if not parity.holds:
            raise off_by(recipe, bundle, parity)


def worst_layer(recipe: Recipe, folder: Path, network: Network, file: NetworkFile) -> str:
    """Words for the layer of a file that is furthest from the fp32 file beside it, or none where there is none."""
    plain = [other for other in network.files[file.runtime] if other.precision == "fp32"]
    if file.precision == "fp32" or not plain or file.runtime == "opencv":
        return ""
    from converters.building.layer_error import layers_by_error

    fed = feeds(recipe, network, file)
    layers = layers_by_error(folder / plain[0].path, folder / file.path, file.runtime, fed)
    return f", most at {layers[0].name} ({layers[0].decibels} dB)" if layers else ""


def verify_bundle(recipe: Recipe, bundle: Bundle, *, quiet: bool = False) -> Iterator[Parity]:
    """Compare every file with its source at every prepared shape.

    Networks that were taken from another bundle have no recipe here: their self-tests are run instead.
    """
    for network in tqdm(bundle.manifest.networks, desc="networks", unit="network", disable=quiet or None):
        reference = Maker(network.name, recipe).reference if network.name in recipe.networks else None
        for file in (file for files in network.files.values() for file in files):
            if file.runtime == "opencv":
                continue  # a cascade is data, and there is nothing that it was made from
            runner = load_network(bundle, network, file.runtime, precision=file.precision, threads=2)
            if reference is None:
                off = check(bundle, network, runner)
                yield Parity(
                    network=network.name, path=file.path, shapes=0, real=off, random=0.0, allowed=file.tolerance
                )
            else:
                yield compare(recipe, network, file, runner, reference)


def compare(recipe: Recipe, network: Network, file: NetworkFile, runner: Runner, reference: Reference) -> Parity:
    """Hold one file against its source."""
    source = recipe.networks[network.name]
    shapes = list(prepared_shapes(recipe, network, file))
    worst = [0.0, 0.0]
    for shape in shapes:
        for kind, pixels in enumerate((picture(source, recipe, shape), noise(source, shape))):
            expected = reference.run(feed(source, to_tensor(pixels, network.input, "NCHW")))
            states = {name: np.zeros((shape[0], *size), np.float32) for name, size in reference.states.items()}
            tensor = np.ascontiguousarray(feed(source, to_tensor(pixels, network.input, file.layout)))
            got = runner.run(tensor, states) if states else runner.run(tensor)
            worst[kind] = max(worst[kind], *(difference(got[n], v, file.precision) for n, v in expected.items()))
    allowed = file.tolerance
    return Parity(
        network=network.name, path=file.path, shapes=len(shapes), real=worst[0],
        # What int8 makes of noise says nothing: its ranges are those of pictures.
        random=0.0 if file.precision == "int8" else worst[1], allowed=allowed,
    )  # fmt: skip


def feeds(recipe: Recipe, network: Network, file: NetworkFile) -> dict[str, F32]:
    """Inputs of one call by the file's own names: the self-test's picture at the first prepared shape."""
    source, shape = recipe.networks[network.name], next(prepared_shapes(recipe, network, file))
    tensor = to_tensor(picture(source, recipe, (1, *shape[1:])), network.input, file.layout)
    memory = {file.inputs.get(s.input, s.input): np.zeros((1, *s.shape), np.float32) for s in network.states}
    return {file.input: np.ascontiguousarray(tensor), **memory}


def difference(got: F32, expected: F32, precision: Precision) -> float:
    """How far an output is off.

    The largest difference as a share of the largest expected value; for int8, whose single cells of a detector may
    jump where no face is, the root mean square of the differences as a share of that of the values.
    """
    if got.shape != expected.shape or not np.array_equal(np.isfinite(got), finite := np.isfinite(expected)):
        return float("inf")
    # On random pixels a source itself may divide by nothing: there the file must, too.
    got, expected = got[finite], expected[finite]
    if not expected.size:
        return 0.0
    off = (got - expected).astype(np.float64)
    if precision == "int8":
        return float(np.sqrt(np.square(off).mean() / max(1e-12, float(np.square(expected.astype(np.float64)).mean()))))
    return float(np.abs(off).max() / max(1e-6, float(np.abs(expected).max())))


def prepared_shapes(recipe: Recipe, network: Network, file: NetworkFile) -> Iterator[Shape]:
    """Shapes that a device prepares for a file."""
    width, height = network.input.width, network.input.height
    if file.signatures:
        yield from ((s.batch, s.height, s.width) for s in file.signatures)
    elif width and height:
        yield from ((batch, height, width) for batch in file.batches)
    else:
        sizes = recipe.networks[network.name].shapes(recipe.prepared).sizes
        yield from ((1, height, width) for width, height in sizes)


def picture(network: NetworkRecipe, recipe: Recipe, shape: Shape) -> npt.NDArray[np.uint8]:
    """Return the self-test's picture tiled to a shape, uint8 (N, H, W, C); all but the first with noise."""
    batch, height, width = shape
    stored = selftest_input(network, recipe.selftest)[0]
    tiled = np.tile(stored, (-(-height // stored.shape[0]), -(-width // stored.shape[1]), 1))[:height, :width]
    dots = np.random.default_rng(SEED).integers(-60, 60, (batch, height, width, stored.shape[2]))
    dots[0] = 0
    return np.clip(tiled[None] + dots, 0, 255).astype(np.uint8)


def noise(network: NetworkRecipe, shape: Shape) -> npt.NDArray[np.uint8]:
    """Pixels of no picture at all, uint8 (N, H, W, C), the same every time."""
    dice = np.random.default_rng(SEED + 1)
    return dice.integers(0, 256, (*shape, network.channels), dtype=np.uint8)
