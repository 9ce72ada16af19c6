"""CPU time of the shipped files on this machine: what decides their order and the preferred runtime."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from converters.measurements.speeds import Speed, describe_machine
from edgeface.bundle import Bundle, FileRuntime, Network, NetworkFile, open_bundle
from edgeface.errors import UsageError
from edgeface.runtime import load_network, to_tensor
from edgeface.selftest import stored_input

WARM_UP = 10
ROUNDS = 15
ROUND_S = 0.15
"""CPU seconds of one round; the median over the rounds shrugs off other jobs."""

RUNTIMES: tuple[FileRuntime, ...] = ("onnx", "litert")

logger = logging.getLogger(__name__)


class Timed(NamedTuple):
    """One file, and the milliseconds of a call in each round."""

    network: Network
    file: NetworkFile
    rounds: list[float]


def measure_bundle(folder: Path, names: Sequence[str] = ()) -> list[Speed]:
    """Time every file of the named networks of a bundle, or of all; BundleError for a name that it does not have."""
    bundle = open_bundle(folder)
    networks = [bundle.network(name) for name in names] or bundle.manifest.networks
    return [speed for network in networks for speed in measure_network(bundle, network)]


def measure_network(
    bundle: Bundle,
    network: Network,
    *,
    rounds: int = ROUNDS,
    warm_up: int = WARM_UP,
    clock: Callable[[], float] = time.process_time,
) -> list[Speed]:
    """Time every file of a network; the rounds of all files take turns, so that a busy spell hits all.

    ``clock`` gives CPU seconds of this process.
    """
    files = [file for files in network.files.values() for file in files]
    values = take_turns(calls_of(bundle, network, files), rounds=rounds, warm_up=warm_up, clock=clock)
    pixels = stored_input(bundle, network)
    found = [
        Speed(
            network=network.name,
            runtime=file.runtime,
            precision=file.precision,
            size=f"{pixels.shape[2]}x{pixels.shape[1]}",
            cpu_ms=round(median(timed), 3),
            machine=describe_machine(),
        )
        for file, timed in zip(files, values, strict=True)
    ]
    for speed in found:
        logger.info("%s %s %s: %.3f ms", network.name, speed.runtime, speed.precision, speed.cpu_ms)
    return found


def calls_of(bundle: Bundle, network: Network, files: Sequence[NetworkFile]) -> list[Callable[[], object]]:
    """Load files of a network, one thread each: calls that run them on the network's stored input, batch 1."""
    pixels = stored_input(bundle, network)
    runners = [load_network(bundle, network, f.runtime, precision=f.precision, threads=1) for f in files]
    tensors = [np.ascontiguousarray(to_tensor(pixels, network.input, f.layout)) for f in files]
    return [partial(runner.run, tensor) for runner, tensor in zip(runners, tensors, strict=True)]


def time_together(
    groups: Sequence[tuple[Bundle, Sequence[str]]],
    runtimes: Sequence[FileRuntime] = RUNTIMES,
    *,
    rounds: int = ROUNDS,
    warm_up: int = WARM_UP,
    clock: Callable[[], float] = time.process_time,
) -> list[list[Timed]]:
    """Time the files of some networks of each bundle in these runtimes, all of all bundles in turns.

    Raises
    ------
    UsageError : a network has no file in them
    """
    files, calls = list[list[tuple[Network, NetworkFile]]](), list[Callable[[], object]]()
    for bundle, names in groups:
        files.append([])
        for network in map(bundle.network, names):
            mine = [file for runtime in runtimes for file in network.files.get(runtime, ())]
            if not mine:
                raise UsageError(
                    f"{network.name} has no file for {' or '.join(runtimes)}", fix="choose another --runtime"
                )
            files[-1] += [(network, file) for file in mine]
            calls += calls_of(bundle, network, mine)
    values = iter(take_turns(calls, rounds=rounds, warm_up=warm_up, clock=clock))
    return [[Timed(network, file, next(values)) for network, file in one] for one in files]


def fastest(timed: Sequence[Timed]) -> list[Timed]:
    """Of each network the file with the lowest median."""
    by_network: dict[str, list[Timed]] = {}
    for one in timed:
        by_network.setdefault(one.network.name, []).append(one)
    return [min(mine, key=lambda one: median(one.rounds)) for mine in by_network.values()]


def together(files: Sequence[Timed]) -> list[float]:
    """Milliseconds of all these files one after another, in each round."""
    return [sum(values) for values in zip(*(one.rounds for one in files), strict=True)]


def ratio(files: Sequence[Timed], beside: Sequence[Timed]) -> float:
    """How much of the time of ``beside`` these files take: the median over the rounds, whose ends hit both."""
    return median(mine / theirs for mine, theirs in zip(together(files), together(beside), strict=True))


def take_turns(
    calls: Sequence[Callable[[], object]],
    *,
    rounds: int = ROUNDS,
    warm_up: int = WARM_UP,
    clock: Callable[[], float] = time.process_time,
) -> list[list[float]]:
    """CPU milliseconds of each call in each round; in a round all take turns, so that a busy spell hits all."""
    for call in calls:
        for _ in range(warm_up):
            call()
    values: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for timed, call in zip(values, calls, strict=True):
            timed.append(_round_ms(call, clock))
    return values


def _round_ms(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Mean milliseconds of a call over a round of `ROUND_S`, one call at least."""
    start_s, calls, passed_s = clock(), 0, 0.0
    while passed_s < ROUND_S:
        call()
        calls += 1
        passed_s = clock() - start_s
    return 1000 * passed_s / calls
