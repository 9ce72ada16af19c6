"""Detectors by themselves: at which input sizes a file is measured, and how it is loaded."""

from __future__ import annotations

import argparse
import re

from converters.evaluation.subject import NOBODY, THREADS
from edgeface.bundle import Bundle, FileRuntime, Network, NetworkFile
from edgeface.config import Config, NetworkChoice
from edgeface.config import Detector as DetectorSettings
from edgeface.config import Runtime as RuntimeSettings
from edgeface.networks import Networks

SIZES = ("original", "640x640", "320x320", "640x384", "320x192")


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
    config = Config(
        detector=DetectorSettings(network=network.name, size="auto" if fixed else size),
        runtime=RuntimeSettings(name="litert" if runtime == "litert" else "onnx", threads=threads),
        networks={one.name: NetworkChoice(precision=precision) for one in (network, *bundle.stages(network))},
        attributes=dict(NOBODY),
    )
    return Networks(bundle, config, still=True)


def input_size(text: str) -> str:
    """Read a detector size, for argparse."""
    if text != "original" and not re.fullmatch(r"[1-9]\d{1,3}x[1-9]\d{1,3}", text):
        raise argparse.ArgumentTypeError("expected WIDTHxHEIGHT or original")
    return text
