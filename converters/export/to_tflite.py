"""torch to TFLite through litert-torch: channel-last input, one file with a signature per size and batch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from converters.export.compact import compact
from edgeface.bundle import Signature

INPUT = "args_0"
Sizes = Mapping[str, tuple[int, ...]]


def export_tflite(
    module: nn.Module,
    shape: tuple[int, ...],
    signatures: Sequence[Signature],
    path: Path,
    *,
    states: Sizes | None = None,
) -> None:
    """Export a network; signatures share their weights.

    Parameters
    ----------
    module : takes float32 (N, *shape), then its states
    shape : of one example; C, H, W becomes channel-last (with the signature's height and width), other ranks stay
    signatures : keys and shapes; the file's inputs are ``args_0``, ``args_1``, ...
    path : file to write; its outputs are ``output_0``, ``output_1``, ... in the module's order
    states : further inputs by name, shapes without batch
    """
    # Imports jax and transformers: seconds that only a conversion should cost.
    import litert_torch

    picture = len(shape) == 3
    wrapped = (litert_torch.to_channel_last_io(module, args=[0]) if picture else module).eval()
    converter = None
    for signature in signatures:
        size = (signature.height, signature.width, shape[0]) if picture else shape
        example = tuple(torch.zeros((signature.batch, *rest)) for rest in (size, *(states or {}).values()))
        add = litert_torch.signature if converter is None else converter.signature
        converter = add(signature.key, wrapped, example)
    assert converter is not None
    path.write_bytes(_exported(converter.convert()))
    compact(path)


def _exported(converted: Any) -> bytes:
    """Bytes of a converted network, written to memory: on a full disk the converter ends the process without a word."""
    handle = os.memfd_create("network.tflite")
    try:
        converted.export(f"/proc/self/fd/{handle}")
        return Path(f"/proc/self/fd/{handle}").read_bytes()
    finally:
        os.close(handle)


def output_names(outputs: Sequence[str]) -> Mapping[str, str]:
    """The head's names to those in the file."""
    return {name: f"output_{index}" for index, name in enumerate(outputs)}


def state_inputs(states: Sizes) -> Mapping[str, str]:
    """The memory's names to those of the file's inputs."""
    return {name: f"args_{index}" for index, name in enumerate(states, start=1)}
