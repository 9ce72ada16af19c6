"""Networks that run: one small interface over ONNX Runtime and LiteRT.

A `Runner` takes a float32 batch of exactly a prepared shape and gives named float32 arrays. Quantization parameters,
signatures and session options stay inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from edgeface.bundle import Bundle, FileRuntime, Network, NetworkFile, choose_file
from edgeface.config import Config
from edgeface.errors import BundleError, EdgefaceError
from edgeface.runtime.batches import split
from edgeface.runtime.tensor import to_tensor
from edgeface.types import F32, Image

__all__ = ["Runner", "load_network", "run_faces", "split", "to_tensor"]


class Runner(Protocol):
    """One loaded network file.

    Attributes
    ----------
    batches : prepared batch sizes, ascending
    sizes : prepared input sizes (width, height), or empty when any size runs
    file : the manifest's entry of the loaded file
    """

    file: NetworkFile
    batches: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
        """Outputs by the manifest's names for a batch in the file's layout.

        ``states`` are what a recurrent network remembers, by `State.input`, each (N, ...).
        """


def load_network(
    bundle: Bundle,
    network: Network,
    runtime: FileRuntime,
    *,
    precision: str | None = None,
    threads: int = 1,
) -> Runner:
    """Read one file of a network, check its hash, and make it ready to run.

    Parameters
    ----------
    runtime, precision : which file; precision None takes the manifest's first
    threads : threads inside one call

    Raises
    ------
    BundleError : no such file, wrong hash, or the runtime refuses it
    RuntimeMissingError : the runtime is not installed
    """
    # The heavy import stands here: who does not choose a runtime need not have it.
    if runtime == "onnx":
        from edgeface.runtime.onnx import OnnxRunner as Chosen  # noqa: PLC0415
    else:
        from edgeface.runtime.litert import LiteRtRunner as Chosen  # type: ignore[assignment]  # noqa: PLC0415
    file = choose_file(network, runtime, precision)
    data = bundle.read(file.path, size=file.bytes, sha256=file.sha256)
    try:
        return Chosen(data, file, threads=threads)
    except EdgefaceError:
        raise
    except Exception as error:  # ONNX Runtime's have no base of their own
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BundleError(
            f"{bundle.folder / file.path} does not load in {runtime}: {first}",
            fix="choose another runtime or bundle",
        ) from error


def choose_runner(
    bundle: Bundle,
    network: Network,
    config: Config,
    runtime: FileRuntime,
    *,
    threads: int,
) -> Runner:
    """`load_network` with the overrides of the network's `[networks.<name>]` table.

    What only OpenCV runs is run by it, whatever the process has chosen.
    """
    choice = config.networks.get(network.name)
    chosen = choice.runtime if choice and choice.runtime else runtime
    if set(network.files) == {"opencv"}:
        chosen = "opencv"
    precision = choice.precision if choice else None
    return load_network(bundle, network, chosen, precision=precision, threads=threads)


def run_faces(
    runner: Runner, network: Network, pixels: Image, states: Mapping[str, F32] | None = None
) -> dict[str, F32]:
    """Run any number of faces through an attribute network in its prepared batch sizes.

    Parameters
    ----------
    pixels : uint8 array, shape (N, H, W, C), in the network's colour order and size; N may be 0 only if it has no batch
    states : of a recurrent network, by `State.input`, shape (N, ...); None: all begin anew, from zeros

    Returns
    -------
    outputs by name, first axis N.
    """
    if states is None:
        states = {state.input: np.zeros((len(pixels), *state.shape), np.float32) for state in network.states}
    parts: list[Mapping[str, F32]] = []
    start = 0
    for size, used in split(len(pixels), runner.batches):
        rows = np.minimum(np.arange(start, start + size), start + used - 1)
        batch = to_tensor(pixels[rows], network.input, runner.file.layout)
        # Most networks have no memory, and need not know of it.
        outputs = runner.run(batch, {name: array[rows] for name, array in states.items()}) if states else runner.run(batch)
        start += used
        parts.append({name: array[:used] for name, array in outputs.items()})
    if len(parts) == 1:
        return dict(parts[0])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
