"""torch to TFLite through litert-torch: channel-last input, one file with a signature per size and batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from edgeface.bundle import Signature


def export_tflite(module: nn.Module, channels: int, signatures: Sequence[Signature], path: Path) -> None:
    """Export a network; signatures share their weights.

    Parameters
    ----------
    module : takes float32 (N, C, H, W)
    channels : C
    signatures : keys and shapes; the file's input is (batch, height, width, C), named ``args_0``
    path : file to write; its outputs are ``output_0``, ``output_1``, ... in the module's order
    """
    # Imports jax and transformers: seconds that only a conversion should cost.
    import litert_torch  # noqa: PLC0415

    wrapped = litert_torch.to_channel_last_io(module, args=[0]).eval()
    converter = None
    for signature in signatures:
        example = (torch.zeros((signature.batch, signature.height, signature.width, channels)),)
        add = litert_torch.signature if converter is None else converter.signature
        converter = add(signature.key, wrapped, example)
    assert converter is not None
    converter.convert().export(str(path))


def output_names(outputs: Sequence[str]) -> Mapping[str, str]:
    """The head's names to those in the file."""
    return {name: f"output_{index}" for index, name in enumerate(outputs)}
