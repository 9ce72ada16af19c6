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
from edgeface.bundle import open_bundle
from edgeface.runtime import load_network, to_tensor
from edgeface.selftest import stored_input

WARM_UP = 10
ROUNDS = 15
ROUND_S = 0.15
"""CPU seconds of one round; the median over the rounds shrugs off other jobs."""

logger = logging.getLogger(__name__)


def measure_bundle(
    folder: Path, *, rounds: int = ROUNDS, warm_up: int = WARM_UP, clock: Callable[[], float] = time.process_time
) -> list[Speed]:
    """Time every file of a bundle; the rounds of all files of a network take turns, so that a busy spell hits all.

    ``clock`` gives CPU seconds of this process.
    """
    bundle = open_bundle(folder)
    found: list[Speed] = []
    for network in bundle.manifest.networks:
        pixels = stored_input(bundle, network)
        files = [file for files in network.files.values() for file in files]
        runners = [load_network(bundle, network, f.runtime, precision=f.precision, threads=1) for f in files]
        tensors = [np.ascontiguousarray(to_tensor(pixels, network.input, f.layout)) for f in files]
        taken_ms: list[list[float]] = [[] for _ in files]
        for runner, tensor in zip(runners, tensors, strict=True):
            for _ in range(warm_up):
                runner.run(tensor)
        for _ in range(rounds):
            for values, runner, tensor in zip(taken_ms, runners, tensors, strict=True):
                values.append(_round_ms(partial(runner.run, tensor), clock))
        for file, values in zip(files, taken_ms, strict=True):
            found.append(
                Speed(
                    network=network.name,
                    runtime=file.runtime,
                    precision=file.precision,
                    size=f"{pixels.shape[2]}x{pixels.shape[1]}",
                    cpu_ms=round(median(values), 3),
                    machine=describe_machine(),
                )
            )
            logger.info("%s %s %s: %.3f ms", network.name, file.runtime, file.precision, found[-1].cpu_ms)
    return found


def _round_ms(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Mean milliseconds of a call over a round of `ROUND_S`, one call at least."""
    start_s, calls, passed_s = clock(), 0, 0.0
    while passed_s < ROUND_S:
        call()
        calls += 1
        passed_s = clock() - start_s
    return 1000 * passed_s / calls
