"""CPU time of the shipped files on this machine: what decides their order and the preferred runtime."""

from __future__ import annotations

import logging
import time
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


def measure_bundle(folder: Path) -> list[Speed]:
    """Time every file of a bundle; the rounds of all files of a network take turns, so that a busy spell hits all."""
    bundle = open_bundle(folder)
    found: list[Speed] = []
    for network in bundle.manifest.networks:
        pixels = stored_input(bundle, network)
        files = [file for files in network.files.values() for file in files]
        runners = [load_network(bundle, network, f.runtime, precision=f.precision, threads=1) for f in files]
        tensors = [np.ascontiguousarray(to_tensor(pixels, network.input, f.layout)) for f in files]
        rounds: list[list[float]] = [[] for _ in files]
        for runner, tensor in zip(runners, tensors, strict=True):
            for _ in range(WARM_UP):
                runner.run(tensor)
        for _ in range(ROUNDS):
            for values, runner, tensor in zip(rounds, runners, tensors, strict=True):
                start, calls = time.process_time(), 0
                while time.process_time() - start < ROUND_S:
                    runner.run(tensor)
                    calls += 1
                values.append(1000 * (time.process_time() - start) / calls)
        for file, values in zip(files, rounds, strict=True):
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
