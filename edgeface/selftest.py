"""A stored input and its expected output: whether this machine computes what the workshop computed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from math import prod
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from edgeface.bundle import Bundle, Network, NetworkFile
from edgeface.errors import BundleError, RuntimeMissingError
from edgeface.runtime import Runner, load_network, run_faces
from edgeface.types import F32, Image

OTHER = 0.7
"""Largest root mean square of an output's error, in standard deviations of what is expected: a network that answers
something else, or always the same, is off by one and more; the coarsest int8 output of the default bundle by 0.4."""
MANY = 16
"""Values from which on a channel has a spread worth comparing with."""
SATURATED = 0.999
"""A probability above which a network that computes a little wrongly gives the same answer."""
ROOM = 1_000_000
"""Bytes that outputs may have beside sixteen times those of the input."""


def stored_input(bundle: Bundle, network: Network) -> Image:
    """Return the self-test's picture, uint8 (1, H, W, C), in the network's colour order."""
    return cast("Image", stored(bundle, network)["input"])


def self_test(bundle: Bundle, network: Network, file: NetworkFile) -> tuple[Runner, float] | str:
    """Hash one file, load it and run the self-test, where its runtime is installed.

    Returns
    -------
    The loaded file and by how much it is off (`check`), or why it was only hashed.

    Raises
    ------
    BundleError : it is not the file of the manifest, does not load, or computes wrongly here
    """
    if network.takes_window:
        bundle.read(file.path, size=file.bytes, sha256=file.sha256)
        return "it takes whole windows of frames"
    try:
        # It reads and hashes before it looks for the runtime.
        runner = load_network(bundle, network, file.runtime, precision=file.precision)
    except RuntimeMissingError:
        return f"{file.runtime} is not installed"
    return runner, check(bundle, network, runner)


def check(bundle: Bundle, network: Network, runner: Runner) -> float:
    """Run the stored input through a loaded file.

    Returns
    -------
    Largest difference over all outputs, as a share of that output's largest absolute expected value.

    Raises
    ------
    BundleError : the difference is above the file's tolerance, an output of many values is another one altogether
        (`OTHER`), or the stored arrays do not fit
    """
    expected = stored(bundle, network)
    states = {s.input: expected.get(s.input, np.zeros((1, *s.shape), np.float32)) for s in network.states}
    worst = 0.0
    for name, got in run_faces(runner, network, expected["input"], states).items():
        wanted = expected.get(name)
        if wanted is None or wanted.shape != got.shape:
            raise _broken(bundle, network)
        worst = max(worst, largest_error(got, wanted))
        if relative_error(got, wanted) > OTHER:
            raise _wrong(network, runner, f"its output {name} has little to do with the expected one")
    if not worst <= runner.file.tolerance:
        raise _wrong(network, runner, f"off by {worst:.4f}, allowed {runner.file.tolerance:g}")
    return worst


def largest_error(got: F32, expected: F32) -> float:
    """Largest difference of two arrays of one shape, as a share of the largest expected value; infinite for NaN."""
    largest = float(np.abs(expected).max()) or 1.0
    # What is not a number compares as no difference at all.
    return float(np.nan_to_num(np.abs(got - expected), nan=np.inf).max()) / largest


def relative_error(got: F32, expected: F32) -> float:
    """Root mean square of the error in standard deviations of what is expected, mean over the channels (last axis).

    One value that is far off weighs little here, an output that follows another picture, or none, much: the largest
    error says the contrary. An array with few values in a channel is one channel; with few values at all it gives 0.
    """
    channels = expected.shape[-1] if expected.size >= MANY * expected.shape[-1] else 1
    rows = expected.astype(np.float64).reshape(-1, channels)
    if len(rows) < MANY:
        return 0.0
    difference = np.nan_to_num(got.reshape(rows.shape) - rows, nan=np.inf)
    error, spread = np.sqrt(np.mean(difference**2, axis=0)), rows.std(axis=0)
    varied = spread > 0
    return float(np.mean(error[varied] / spread[varied])) if varied.any() else 0.0


def uninformative(outputs: Mapping[str, F32]) -> tuple[str, ...]:
    """Names of expected outputs that a broken network may give as well: constant, or probabilities that saturate."""
    dull: list[str] = []
    for name, array in outputs.items():
        constant = array.size > 1 and float(np.ptp(array)) == 0
        row = array.reshape(-1)
        shares = 1 < row.size < 1000 and float(row.min()) >= 0 and abs(float(row.sum()) - 1) < 1e-3
        if constant or (shares and float(row.max()) > SATURATED):
            dull.append(name)
    return tuple(dull)


def stored(bundle: Bundle, network: Network) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a self-test: ``input`` and what is expected, all finite.

    Nothing is unpacked before it is known how much that is, and by how much it is more than the input's shape allows.

    Raises
    ------
    BundleError : the file is not the manifest's, or holds anything else than `edgeface.bundle.SelfTest` says
    """
    test = network.selftest
    data = bundle.read(test.path, size=test.bytes, sha256=test.sha256)
    named = {name for files in network.files.values() for file in files for name in file.outputs}
    named |= {"input", *(state.input for state in network.states)}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # The first, so that the others are held to its size.
            picture = _read_array(archive, "input", most=prod(_largest_input(network)))
            most = ROOM + 16 * picture.nbytes
            arrays = {"input": picture}
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if name not in named or (name in arrays and name != "input"):
                    raise _broken(bundle, network)
                if name != "input":
                    arrays[name] = _read_array(archive, name, most=most)
                    most -= arrays[name].nbytes
    except BundleError:
        raise
    except Exception:  # zipfile, zlib, numpy and the tokenizer below it have a dozen names for what is no array
        raise _broken(bundle, network) from None
    if not _fits(arrays, network):
        raise _broken(bundle, network)
    return arrays


def _read_array(archive: zipfile.ZipFile, name: str, *, most: int) -> npt.NDArray[Any]:
    """One array of at most ``most`` bytes; ValueError for a larger one, for objects, and for a size that is a lie."""
    with archive.open(f"{name}.npy") as file:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
        size = prod(shape) * dtype.itemsize
        if dtype.hasobject or not 0 < size <= most:
            raise ValueError(name)
        data = file.read(size + 1)
        end = file.tell()
    if len(data) != size or end != archive.getinfo(f"{name}.npy").file_size:
        raise ValueError(name)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _largest_input(network: Network) -> tuple[int, ...]:
    """Shape of the largest picture that the network may see."""
    spec = network.input
    return (1, spec.height or 1024, spec.width or 1024, spec.channels, network.time.window if network.time else 1)


def _fits(arrays: Mapping[str, npt.NDArray[Any]], network: Network) -> bool:
    pixels, spec = arrays["input"], network.input
    if pixels.dtype != np.uint8 or pixels.ndim != 4 + network.takes_window or len(pixels) != 1:
        return False
    *_, height, width, channels = pixels.shape
    sizes = (spec.height or height, spec.width or width, spec.channels)
    expected = [array for name, array in arrays.items() if name != "input"]
    return (height, width, channels) == sizes and all(
        array.dtype == np.float32 and bool(np.isfinite(array).all()) for array in expected
    )


def _wrong(network: Network, runner: Runner, what: str) -> BundleError:
    return BundleError(
        f"network {network.name} ({runner.file.path}) fails its self-test: {what}",
        fix="this processor computes it wrongly; choose another runtime or precision",
    )


def _broken(bundle: Bundle, network: Network) -> BundleError:
    return BundleError(
        f"the self-test of network {network.name} in {bundle.folder} does not fit it",
        fix="install the bundle again",
    )
