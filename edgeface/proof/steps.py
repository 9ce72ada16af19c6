"""What is proved, step by step, and how much time and memory each may take. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from edgeface.bundle import Bundle, FileRuntime, Network, NetworkFile, choose_runtime
from edgeface.config import Config, Runtime, RuntimeName
from edgeface.runtime.providers import ON_PROCESSOR, Provider

BASE_S = 30.0
"""Seconds for a network without weights: many times what a Raspberry Pi 3 takes to run a small one."""
BYTES_A_S, MACS_A_S = 4e6, 4e8
"""What the slowest board does a second: reading a file from its card and unfolding it, multiplying on one core."""
MOST_S = 900.0
BASE_BYTES = 700_000_000
"""Writable memory of a child that has loaded every library (250 MB, most of it never touched), with room."""
TIMES_FILE = 8
"""Most that a runtime holds of a file: int8 weights unfolded to float32 are four times, and it may hold them twice."""


class Step(Struct, frozen=True, kw_only=True):
    """One file of a network, or (``network`` empty) the chain of a configuration on a provider, and its limit."""

    seconds: float
    network: str = ""
    runtime: FileRuntime = "onnx"
    path: str = ""
    config: Config | None = None
    provider: Provider = ON_PROCESSOR

    @property
    def name(self) -> str:
        """What it is about, in words."""
        return f"network {self.network} ({self.path})" if self.network else "the chain of detector, crops and heads"


class Outcome(Struct, frozen=True, kw_only=True):
    """How one step went. ``gave_up``: the child was ended for its time or its memory, or died."""

    step: Step
    result: Literal["ok", "bad", "untried"]
    detail: str
    gave_up: bool = False


def steps_of(bundle: Bundle) -> list[Step]:
    """Every file of every network, then the default chain, where there is a detector."""
    files = [
        Step(network=network.name, runtime=file.runtime, path=file.path, seconds=seconds_for(network, file))
        for network in bundle.manifest.networks
        for entries in network.files.values()
        for file in entries
    ]
    if "detect" not in bundle.manifest.defaults:
        return files
    return [*files, chain_step(bundle, Config(runtime=Runtime(name=chain_runtime(bundle))))]


def chain_step(bundle: Bundle, config: Config, *, most_s: float = MOST_S) -> Step:
    """Return the step that runs a configuration's own networks, one after the other."""
    names = {*bundle.manifest.defaults.values(), *(name for name in config.attributes.values() if name)}
    names |= {config.detector.network or ""}
    seconds = sum(
        max(seconds_for(network, file) - BASE_S for files in network.files.values() for file in files)
        for network in bundle.manifest.networks
        if network.name in names
    )
    return Step(config=config, seconds=min(most_s, 2 * BASE_S + seconds))


def provider_step(config: Config, provider: Provider, *, seconds: float) -> Step:
    """Return the step that runs a configuration's networks on a provider."""
    return Step(config=config, provider=provider, seconds=seconds)


def chain_runtime(bundle: Bundle) -> RuntimeName:
    """Return the runtime for which every default network has a file, the preferred one first."""
    preferred = choose_runtime(bundle.manifest, "auto")
    wanted = [bundle.network(name) for name in bundle.manifest.defaults.values()]
    candidates: tuple[RuntimeName, ...] = (preferred, "onnx", "litert")
    for runtime in candidates:
        if all(runtime in network.files or "opencv" in network.files for network in wanted):
            return runtime
    return preferred


def seconds_for(network: Network, file: NetworkFile) -> float:
    """Limit of one file: what its size and its arithmetic, as declared, take on the slowest board."""
    batches = {signature.batch for signature in file.signatures} or set(file.batches)
    arithmetic = (network.macs or 0) * (4 + 2 * sum(batches)) / MACS_A_S
    return min(MOST_S, BASE_S + file.bytes / BYTES_A_S + arithmetic)


def memory_for(bundle: Bundle) -> int:
    """Bytes of writable memory that a child may have."""
    files = [file.bytes for network in bundle.manifest.networks for fs in network.files.values() for file in fs]
    return BASE_BYTES + TIMES_FILE * max(files, default=0)


def untried_networks(bundle: Bundle, outcomes: Iterable[Outcome]) -> Sequence[tuple[Network, str]]:
    """Networks of which no file ran here, with the reason that the first was given; not those that no device runs."""
    tried = {outcome.step.network for outcome in outcomes if outcome.result == "ok"}
    reasons = {outcome.step.network: outcome.detail for outcome in outcomes}
    return [
        (network, reasons.get(network.name, ""))
        for network in bundle.manifest.networks
        if network.name not in tried and not network.takes_window
    ]
