"""A stored input and its expected output: whether this machine computes what the workshop computed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeface.bundle import Bundle, Network
from edgeface.errors import BundleError
from edgeface.runtime import Runner, run_faces
from edgeface.types import F32, Image


def stored_input(bundle: Bundle, network: Network) -> Image:
    """Return the self-test's picture, uint8 (1, H, W, C), in the network's colour order."""
    pixels = _stored(bundle, network)["input"]
    if pixels.dtype != np.uint8 or pixels.ndim != 4:
        raise _broken(bundle, network)
    return pixels


def check(bundle: Bundle, network: Network, runner: Runner) -> float:
    """Run the stored input through a loaded file.

    Returns
    -------
    Largest difference over all outputs, as a share of that output's largest absolute expected value.

    Raises
    ------
    BundleError : the difference is above the file's tolerance, or the stored arrays do not fit
    """
    stored = _stored(bundle, network)
    states = {s.input: stored.get(s.input, np.zeros((1, *s.shape), np.float32)) for s in network.states}
    worst = 0.0
    for name, got in run_faces(runner, network, stored["input"], states).items():
        expected = stored.get(name)
        if expected is None or expected.shape != got.shape:
            raise _broken(bundle, network)
        worst = max(worst, _difference(got, expected))
    if not worst <= runner.file.tolerance:
        raise BundleError(
            f"network {network.name} ({runner.file.path}) fails its self-test: "
            f"off by {worst:.4f}, allowed {runner.file.tolerance:g}",
            fix="this processor computes it wrongly; choose another runtime or precision",
        )
    return worst


def _difference(got: F32, expected: F32) -> float:
    largest = float(np.abs(expected).max()) or 1.0
    # What is not a number compares as no difference at all.
    return float(np.nan_to_num(np.abs(got - expected), nan=np.inf).max()) / largest


def _stored(bundle: Bundle, network: Network) -> Mapping[str, npt.NDArray[Any]]:
    test = network.selftest
    data = bundle.read(test.path, size=test.bytes, sha256=test.sha256)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, KeyError, zipfile.BadZipFile):
        raise _broken(bundle, network) from None


def _broken(bundle: Bundle, network: Network) -> BundleError:
    return BundleError(
        f"the self-test of network {network.name} in {bundle.folder} does not fit it",
        fix="install the bundle again",
    )
