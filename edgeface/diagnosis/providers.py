"""What the networks compute on: which of CUDA and TensorRT really loads, or what a running daemon says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgeface.config import Config
from edgeface.diagnosis.finding import Finding, good, skipped, warning
from edgeface.diagnosis.node import Node
from edgeface.events import InferenceHealth
from edgeface.proof import Accelerated, accelerate
from edgeface.runtime.providers import ON_PROCESSOR

SEE = "see docs/install/jetson.md"


def providers(node: Node) -> Iterator[Finding]:
    """Each network on what it runs, and why not on what was asked for; beside a daemon nothing is loaded."""
    config = node.config
    if node.running is not None:
        told = None if node.health is None else node.health.inference
        if told is None:
            yield skipped("no daemon tells what its networks run on")
        else:
            yield from _told(told, config)
        return
    from edgeface.service.building import placed
    from edgeface.service.loading import load_accelerated

    found = accelerate(node.opened, config, node.environ)
    if not found.provider.execution:
        yield good("every network runs on the processor")
        yield from _left(found, config)
        return
    networks, found = load_accelerated(config, node.opened, found)
    yield good(
        "; ".join(f"{name} on {one.provider} ({one.runtime} {one.precision})" for name, one in placed(networks).items())
    )
    yield from _left(found, config)


def _left(found: Accelerated, config: Config) -> Iterator[Finding]:
    """What is to be built, and what does not compute."""
    if found.pending is not None:
        yield good(f"{found.pending.name} has no engines here yet: the daemon builds them in its first minutes")
    yield from _reasons(found.reasons, config, computes=bool(found.provider.execution))


def _told(told: InferenceHealth, config: Config) -> Iterator[Finding]:
    where = f"ONNX Runtime {told.onnxruntime}" if told.onnxruntime else "no ONNX Runtime"
    on = "; ".join(f"{name} on {one.provider} ({one.runtime} {one.precision})" for name, one in told.networks.items())
    yield good(f"{on}; {where}")
    if told.building is not None:
        yield good(f"{told.building.provider} builds its engines since {told.building.since}")
    computes = any(one.provider != ON_PROCESSOR.name for one in told.networks.values())
    yield from _reasons([told.fallback] if told.fallback else [], config, computes=computes)


def _reasons(reasons: Sequence[str], config: Config, *, computes: bool) -> Iterator[Finding]:
    """What does not compute is to be looked at, unless nobody asked for it by name and another one does."""
    for reason in reasons:
        yield good(reason) if computes and config.runtime.provider == "auto" else warning(reason, fix=SEE)
