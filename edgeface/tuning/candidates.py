"""What is worth timing on a board: ways to load a network, and whole chains of them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import cast

from msgspec import Struct

from edgeface.bundle import CascadeHead, Network, NetworkFile
from edgeface.config import Config, NetworkChoice, Optimization, RuntimeName
from edgeface.tuning.choice import Picked

OPTIMIZATIONS: tuple[Optimization, ...] = ("all", "extended", "basic", "none")
MOST_THREADS = 8
BETTER = 3
"""So many ways of a network are timed at every batch size."""


class Way(Struct, frozen=True, kw_only=True):
    """One way to load a network."""

    network: str
    runtime: RuntimeName
    precision: str
    optimization: Optimization
    threads: int

    @property
    def words(self) -> str:
        """In a few words."""
        rewriting = f", {self.optimization}" if self.runtime == "onnx" else ""
        return f"{self.runtime} {self.precision}{rewriting}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def picked(self, batch: int) -> Picked:
        """The same as it is kept."""
        return Picked(
            runtime=self.runtime,
            precision=self.precision,
            optimization=self.optimization,
            threads=self.threads,
            batch=batch,
        )


def thread_counts(cores: int) -> list[int]:
    """How many threads are tried: one, twice as many, and so on, and as many as there are cores."""
    most = min(cores, MOST_THREADS)
    return sorted({*(1 << power for power in range(8) if 1 << power <= most), most})


def ways(
    network: Network, files: Collection[str], config: Config, *, usual: NetworkFile, threads: int, cores: int
) -> list[Way]:
    """Every way to load a network that no key of the configuration rules out; the usual one first.

    Parameters
    ----------
    files : paths of those that run here
    usual : the file that is loaded without a choice
    threads : how many a network has without a choice
    """
    if isinstance(network.head, CascadeHead):
        return []
    own = config.networks.get(network.name, NetworkChoice())
    runtime = own.runtime or (None if config.runtime.name == "auto" else config.runtime.name)
    given_threads = own.threads or config.runtime.threads
    found = [
        Way(
            network=network.name,
            runtime=cast("RuntimeName", file.runtime),
            precision=file.precision,
            optimization=optimization,
            threads=count,
        )
        for optimization in (OPTIMIZATIONS if own.optimization is None else (own.optimization,))
        for entries in network.files.values()
        for file in entries
        if file.path in files and runtime in (None, file.runtime) and own.precision in (None, file.precision)
        if file.runtime == "onnx" or optimization == (own.optimization or OPTIMIZATIONS[0])
        for count in ([given_threads] if given_threads else thread_counts(cores))
    ]
    first = [way for way in found if (way.runtime, way.precision) == (usual.runtime, usual.precision)]
    first = sorted(first, key=lambda way: (way.optimization != "all", way.threads != threads))[:1]
    return [*first, *(way for way in found if way not in first)]


def chains(
    ranked: Mapping[str, Sequence[tuple[Way, int]]], usual: Mapping[str, Picked]
) -> Iterator[tuple[str, dict[str, Picked]]]:
    """Whole chains that are worth timing, each once, with its name: the usual one, and what won the races, combined.

    Networks share cores, caches and threads: what is fastest alone need not be so together.

    Parameters
    ----------
    ranked : by network, ways with their batch, the fastest first
    """
    told: list[dict[str, Picked]] = []

    def new(chain: Mapping[str, Picked]) -> bool:
        if chain in told:
            return False
        told.append(dict(chain))
        return True

    def best(accepts: Collection[object] | None, key: str) -> dict[str, Picked]:
        found = dict(usual)
        for name, entries in ranked.items():
            fitting = [entry for entry in entries if accepts is None or getattr(entry[0], key) in accepts]
            if fitting:
                way, batch = fitting[0]
                found[name] = way.picked(batch)
        return found

    if new(usual):
        yield "the bundle's order", dict(usual)
    everyone = [way for entries in ranked.values() for way, _ in entries]
    wanted: list[tuple[str, Collection[object] | None, str]] = [("each network's best", None, "")]
    wanted += [
        (f"best with {count} thread{'s' if count > 1 else ''}", {count}, "threads")
        for count in sorted({way.threads for way in everyone})
    ]
    wanted += [(f"best of {runtime}", {runtime}, "runtime") for runtime in sorted({way.runtime for way in everyone})]
    for name, accepts, key in wanted:
        chain = best(accepts, key)
        if new(chain):
            yield name, chain
