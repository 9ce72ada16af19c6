"""Detectors by themselves: at which input sizes a file is measured, and how it is loaded."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import Literal, get_args

from edgeface.bundle import Bundle, FileRuntime, Network, NetworkFile
from edgeface.config import Config, NetworkChoice, RuntimeName
from edgeface.config import Detector as DetectorSettings
from edgeface.config import Runtime as RuntimeSettings
from edgeface.engine.networks import Networks
from edgeface.types import Task

THREADS = 2
SIZES = ("original", "640x640", "320x320", "640x384", "320x192")

NO_ATTRIBUTES: Mapping[Task, Literal[False]] = dict.fromkeys(get_args(Task), False)


def load_detector(
    bundle: Bundle,
    name: str | None,
    *,
    runtime: RuntimeName = "onnx",
    size: str = "auto",
    precisions: Mapping[str, str | None] = {},
    attributes: Mapping[Task, str] = {},
    threads: int = THREADS,
) -> Networks:
    """Load a bundle's networks for pictures: a detector, and none for attributes but those of ``attributes``.

    ``name`` None is the bundle's default; ``precisions`` are those of networks, by name, where not the first listed.
    """
    config = Config(
        detector=DetectorSettings(network=name, size=size),
        runtime=RuntimeSettings(name=runtime, threads=threads),
        networks={network: NetworkChoice(precision=precision) for network, precision in precisions.items()},
        attributes={**NO_ATTRIBUTES, **attributes},
    )
    return Networks(bundle, config, still=True)


def detector_sizes(network: Network, file: NetworkFile) -> list[str]:
    """Input sizes at which a detector's file is measured: its own where that is fixed, else those of `SIZES` it has."""
    if network.input.width and network.input.height:
        return [f"{network.input.width}x{network.input.height}"]
    if file.signatures:
        own = {f"{signature.width}x{signature.height}" for signature in file.signatures}
        return [size for size in SIZES if size in own]
    return list(SIZES)


def detector_at(
    bundle: Bundle, network: Network, runtime: FileRuntime, precision: str | None, size: str, *, threads: int = THREADS
) -> Networks:
    """Load a detector alone, with the networks of its stages in the same variant."""
    fixed = network.input.width is not None
    return load_detector(
        bundle,
        network.name,
        runtime="litert" if runtime == "litert" else "onnx",
        size="auto" if fixed else size,
        precisions={one.name: precision for one in (network, *bundle.stages(network))},
        threads=threads,
    )


def input_size(text: str) -> str:
    """Read a detector size, for argparse."""
    if text != "original" and not re.fullmatch(r"[1-9]\d{1,3}x[1-9]\d{1,3}", text):
        raise argparse.ArgumentTypeError("expected WIDTHxHEIGHT or original")
    return text
