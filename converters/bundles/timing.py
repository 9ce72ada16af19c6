"""CPU time of the shipped files on this machine: what decides their order and the preferred runtime."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from converters.measurements.speeds import Speed, describe_machine
from edgeface.bundle import Bundle, Network, open_bundle
from edgeface.runtime import load_network, to_tensor
from edgeface.selftest import stored_input

WARM_UP = 10
ROUNDS = 15
ROUND_S = 0.15
"""CPU seconds of one round; the median over the rounds shrugs off other jobs."""

logger = logging.getLogger(__name__)


def measure_bundle(folder: Path) -> list[Speed]:
    """Time every file of a bundle."""
    bundle = open_bundle(folder)
    return [speed for network in bundle.manifest.networks for speed in measure_network(bundle, network)]


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
    pixels = stored_input(bundle, network)
    files = [file for files in network.files.values() for file in files]
    runners = [load_network(bundle, network, f.runtime, precision=f.precision, threads=1) for f in files]
    tensors = [np.ascontiguousarray(to_tensor(pixels, network.input, f.layout)) for f in files]
    values: list[list[float]] = [[] for _ in files]
    for runner, tensor in zip(runners, tensors, strict=True):
        for _ in range(warm_up):
            runner.run(tensor)
    for _ in range(rounds):
        for timed, runner, tensor in zip(values, runners, tensors, strict=True):
            timed.append(_round_ms(partial(runner.run, tensor), clock))
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


def _round_ms(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Mean milliseconds of a call over a round of `ROUND_S`, one call at least."""
    start_s, calls, passed_s = clock(), 0, 0.0
    while passed_s < ROUND_S:
        call()
        calls += 1
        passed_s = clock() - start_s
    return 1000 * passed_s / calls
