"""Networks that run: one small interface over ONNX Runtime, LiteRT and, for cascades, OpenCV.

A `Runner` takes a float32 batch of exactly a prepared shape and gives named float32 arrays. Quantization parameters,
signatures and session options stay inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from edgeface.bundle import Bundle, CascadeHead, FileRuntime, Head, Network, NetworkFile, choose_file
from edgeface.config import Config, Optimization
from edgeface.errors import BundleError, EdgefaceError, first_line
from edgeface.runtime.batches import split
from edgeface.runtime.providers import ON_PROCESSOR, Provider
from edgeface.runtime.tensor import normalize, to_tensor
from edgeface.types import F32, Image

__all__ = [
    "Batch",
    "Runner",
    "RunnerWrapper",
    "joined_rows",
    "load_network",
    "make_batches",
    "normalize",
    "run_batches",
    "run_faces",
    "split",
    "to_tensor",
]


class Runner(Protocol):
    """One loaded network file.

    Attributes
    ----------
    batches : prepared batch sizes, ascending
    sizes : prepared input sizes (width, height), or empty when any size runs
    file : the manifest's entry of the loaded file
    provider : what computes: ``cpu``, ``cuda`` or ``tensorrt``
    """

    file: NetworkFile
    provider: str
    batches: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
        """Outputs by the manifest's names for a batch in the file's layout.

        ``states`` are what a recurrent network remembers, by `State.input`, each (N, ...).
        """


class RunnerWrapper:
    """A runner around another one: what is said of the file passes through; who derives from it looks on in ``run``."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.file: NetworkFile = runner.file
        self.provider = runner.provider
        self.batches = runner.batches
        self.sizes = runner.sizes

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
        """Outputs of the inner runner."""
        return self._runner.run(batch, states)


def load_network(
    bundle: Bundle,
    network: Network,
    runtime: FileRuntime,
    *,
    precision: str | None = None,
    threads: int = 1,
    provider: Provider = ON_PROCESSOR,
    optimization: Optimization = "all",
) -> Runner:
    """Read one file of a network, check its hash, and make it ready to run.

    Parameters
    ----------
    runtime, precision : which file; precision None takes the manifest's first, off the processor the first of floats
    threads : threads inside one call
    provider : what an ONNX file is computed on
    optimization : how far ONNX Runtime rewrites the network

    Raises
    ------
    BundleError : no such file, wrong hash, or the runtime refuses it
    RuntimeMissingError : the runtime is not installed
    ProviderError : the provider does not load
    """
    file = choose_file(network, runtime, precision, floats=bool(provider.execution) and runtime == "onnx")
    data = bundle.read(file.path, size=file.bytes, sha256=file.sha256)
    try:
        if file.runtime == "onnx" and provider.execution:
            from edgeface.runtime.onnx import OnnxRunner

            return OnnxRunner(
                data, file, threads=threads, provider=provider, network=network, optimization=optimization
            )
        return make_runner(data, file, network.head, threads=threads, optimization=optimization)
    except EdgefaceError:
        raise
    except Exception as error:  # ONNX Runtime's have no base of their own
        raise BundleError(
            f"{bundle.folder / file.path} does not load in {runtime}: {first_line(error)}",
            fix="choose another runtime or bundle",
        ) from error


def make_runner(
    data: bytes, file: NetworkFile, head: Head | None, *, threads: int, optimization: Optimization = "all"
) -> Runner:
    """Make the bytes of one network file ready to run, wherever they lie; ``head`` only tells a cascade.

    Whatever the runtime raises comes as it is.
    """
    # The heavy imports stand here: who does not choose a runtime need not have it.
    if isinstance(head, CascadeHead):
        from edgeface.runtime.cascade import CascadeRunner

        return CascadeRunner(data, file, head)
    if file.runtime == "onnx":
        from edgeface.runtime.onnx import OnnxRunner

        return OnnxRunner(data, file, threads=threads, optimization=optimization)
    from edgeface.runtime.litert import LiteRtRunner

    return LiteRtRunner(data, file, threads=threads)


def choose_runner(
    bundle: Bundle,
    network: Network,
    config: Config,
    runtime: FileRuntime,
    *,
    threads: int,
    provider: Provider = ON_PROCESSOR,
) -> Runner:
    """`load_network` with the overrides of the network's `[networks.<name>]` table.

    A cascade is run by OpenCV, whatever the process has chosen.
    """
    choice = config.networks.get(network.name)
    chosen = choice.runtime if choice and choice.runtime else runtime
    if isinstance(network.head, CascadeHead):
        chosen = "opencv"
    runner = load_network(
        bundle,
        network,
        chosen,
        precision=choice.precision if choice else None,
        threads=choice.threads if choice and choice.threads else threads,
        provider=provider,
        optimization=choice.optimization if choice and choice.optimization else "all",
    )
    if choice is not None and choice.batch is not None:
        # At least the smallest: there must be one that takes a single face.
        runner.batches = tuple(size for size in runner.batches if size <= choice.batch) or runner.batches[:1]
    return runner


class Batch(NamedTuple):
    """Faces in one prepared size, the last of them padding: the network's input, and how many rows are ``used``."""

    tensor: F32
    states: Mapping[str, F32]
    used: int


def run_faces(runner: Runner, network: Network, pixels: Image, states: Mapping[str, F32] = {}) -> dict[str, F32]:
    """Run any number of faces through an attribute network in its prepared batch sizes.

    Parameters
    ----------
    pixels : uint8 array, shape (N, H, W, C), in the network's colour order and size; N may be 0 only if it has no batch
    states : a recurrent network's, by `State.input`, shape (N, ...), as `States.recall` of `edgeface.engine.states`

    Returns
    -------
    outputs by name, first axis N.
    """
    return run_batches(runner, make_batches(runner, network, pixels, states))


def make_batches(runner: Runner, network: Network, pixels: Image, states: Mapping[str, F32] = {}) -> list[Batch]:
    """Make of faces, as in `run_faces`, what the network takes."""
    batches: list[Batch] = []
    start = 0
    for size, used in split(len(pixels), runner.batches):
        whole = size == used == len(pixels)
        rows = slice(None) if whole else np.minimum(np.arange(start, start + size), start + used - 1)
        start += used
        tensor = to_tensor(pixels[rows], network.input, runner.file.layout)
        batches.append(Batch(tensor, {name: array[rows] for name, array in states.items()}, used))
    return batches


def run_batches(runner: Runner, batches: Sequence[Batch]) -> dict[str, F32]:
    """Run them; outputs by name, one row for each face."""
    parts: list[Mapping[str, F32]] = []
    for tensor, states, used in batches:
        outputs = runner.run(tensor, states) if states else runner.run(tensor)
        parts.append({name: array[:used] for name, array in outputs.items()})
    return joined_rows(parts)


def joined_rows(parts: Sequence[Mapping[str, F32]]) -> dict[str, F32]:
    """Outputs by name of several batches, one below the other; nothing of none."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
