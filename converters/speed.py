"""CPU time of the shipped files on this machine: what decides their order and the preferred runtime."""

from __future__ import annotations

import argparse
import logging
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np

from converters.paths import BUNDLE, RESULTS
from edgeface.bundle import Closed, FileRuntime, Precision, open_bundle
from edgeface.files import write_atomic
from edgeface.runtime import load_network, to_tensor
from edgeface.selftest import stored_input

SPEED = RESULTS / "speed.json"
WARM_UP = 10
ROUNDS = 15
ROUND_S = 0.15
"""CPU seconds of one round; the median over the rounds shrugs off other jobs."""

logger = logging.getLogger(__name__)


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``time``."""
    speed = commands.add_parser(
        "time",
        help="measure the shipped files' CPU time on this machine",
        description="Runs every shipped file on its stored input, one thread, and writes the median CPU milliseconds"
        " to converters/results/speed.json. The recipe's order of files and preferred runtime follow from it.",
    )
    speed.add_argument("--out", type=Path, default=BUNDLE, metavar="DIR", help="the bundle's folder (%(default)s)")
    speed.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure and write."""
    record(measure_bundle(arguments.out))
    return 0


class Speed(Closed, frozen=True, kw_only=True):
    """Median CPU milliseconds of one call on the stored input, batch 1, one thread, on a machine of this kind."""

    network: str
    runtime: FileRuntime
    precision: Precision
    size: str
    cpu_ms: float
    machine: str


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


def record(speeds: Sequence[Speed]) -> None:
    """Write the figures, replacing the old ones."""
    write_atomic(SPEED, msgspec.json.format(msgspec.json.encode(speeds), indent=1) + b"\n")


def describe_machine() -> str:
    """Architecture, and whether an x86 processor has the instructions that int8 lives on."""
    machine = platform.machine()
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return machine
    known = [name for name, flag in (("AVX2", " avx2"), ("AVX-512", " avx512f"), ("VNNI", "vnni")) if flag in flags]
    return f"{machine} {' '.join(known)}".strip()
