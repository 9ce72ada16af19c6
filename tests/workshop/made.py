"""Two networks of a few numbers for the device's tests, which have neither torch nor onnx; made, not trained.

::

    PYTHONPATH=. python tests/workshop/made.py tests/fixtures

`Answers` says three things of a picture's mean brightness in one pass. `Step` counts the looks at a person: its memory
grows by one each time, and its ranks say that number.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

from converters.export.to_onnx import export_onnx
from converters.export.to_tflite import export_tflite
from edgeface.bundle import Signature

SHAPE = (1, 8, 8)
RANKS = 12
BATCHES = (1, 4)


class Answers(nn.Module):
    """(N, 1, 8, 8), brightness 0 to 1 -> ``years`` (N, 1), ``gender`` (N, 2), ``affect`` (N, 2)."""

    outputs = ("years", "gender", "affect")
    states: dict[str, tuple[int, ...]] = {}  # noqa: RUF012

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        bright = x.mean((2, 3))
        return 100 * bright, torch.cat([bright, 1 - bright], 1), torch.cat([2 * bright - 1, 0 * bright + 0.25], 1)


class Step(nn.Module):
    """(N, 1, 8, 8) and ``count`` (N, 1) -> ``ranks`` (N, 12) and ``counted`` (N, 1)."""

    outputs = ("ranks", "counted")
    states = {"count": (1,)}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("places", torch.arange(RANKS, dtype=torch.float32))

    def forward(self, x: torch.Tensor, count: torch.Tensor) -> tuple[torch.Tensor, ...]:
        counted = count + 1 + 0 * x.mean((2, 3))
        return torch.sigmoid(10 * (counted - 0.5 - self.places)), counted


def write(folder: Path) -> None:
    """Write both as ONNX and as TFLite."""
    signatures = [Signature(key=f"b{batch}", batch=batch, width=8, height=8) for batch in BATCHES]
    for name, module in (("answers", Answers().eval()), ("step", Step().eval())):
        model = export_onnx(module, SHAPE, module.outputs, states=module.states)
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
        export_tflite(module, SHAPE, signatures, folder / f"{name}.tflite", states=module.states)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
