"""What a network loses where its crop is a little off, where a face is small, and where it is blurred, on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from converters.formats.json_files import write_json
from converters.paths import RESULTS
from edgeface.bundle import Closed, FileRuntime, Precision
from edgeface.types import Task

CROPS = RESULTS / "crops.json"
Kind = Literal["points", "size", "blur"]
Unit = Literal["years", "share"]
Towards = Literal["", "right", "left", "down", "up"]
LIMITS: Mapping[Unit, float] = {"years": 0.5, "share": 0.01}
"""What may be lost by points that are a little off, and by the smallest face: half a year, one point."""
LIMITS_TEXT = f"{LIMITS['years']:g} years or {100 * LIMITS['share']:g} % of the answers"
LEAST_FACES = 100
"""A height at which fewer faces are found says nothing."""


class CropLoss(Closed, frozen=True, kw_only=True):
    """By how much the mean error of one question on one set grows under one change, on the faces found in both.

    ``kind`` and ``amount`` say the change: ``points`` scaled by the factor ``amount`` (``towards`` empty), or shifted
    by that share of the distance between the eyes; ``size`` so that the face is ``amount`` pixels high; ``blur`` by a
    Gaussian whose deviation is that share of the face's height. ``low`` to ``high`` is the paired bootstrap 95 %
    interval. ``found`` is the share of the faces that were found before the change and are found after it, too.
    """

    network: str
    runtime: FileRuntime
    precision: Precision
    weights: str
    task: Task
    set: str
    kind: Kind
    amount: float
    towards: Towards = ""
    unit: Unit
    value: float
    count: int
    low: float | None
    high: float | None
    found: float


def smallest_face_px(losses: Sequence[CropLoss], limits: Mapping[Unit, float] = LIMITS) -> int | None:
    """The smallest measured height of a face down to which no question loses more than its limit, on any set.

    None where even the largest height that was measured loses more, or has fewer than `LEAST_FACES` faces.
    """
    allowed: int | None = None
    for size in sorted({loss.amount for loss in losses if loss.kind == "size"}, reverse=True):
        own = [loss for loss in losses if (loss.kind, loss.amount) == ("size", size)]
        if any(loss.value > limits[loss.unit] or loss.count < LEAST_FACES for loss in own):
            break
        allowed = int(size)
    return allowed


def change_text(loss: CropLoss) -> str:
    """Return a change in words."""
    if loss.kind == "size":
        return f"face {loss.amount:g} pixels high"
    if loss.kind == "blur":
        return f"blurred by {100 * loss.amount:g} % of the face's height"
    if loss.towards:
        return f"points {100 * loss.amount:g} % of the eyes' distance {loss.towards}"
    return f"points {abs(100 * (loss.amount - 1)):.0f} % {'wider' if loss.amount > 1 else 'narrower'}"


def loss_text(loss: CropLoss) -> str:
    """Return a loss with its interval, in years or points."""
    return difference_text(loss.value, loss.low, loss.high, loss.unit)


def difference_text(value: float, low: float | None, high: float | None, unit: Unit) -> str:
    """Return a difference of errors with its interval, in years or points."""
    scale, digits, words = (1, 2, "years") if unit == "years" else (100, 1, "points")
    text = f"{scale * value:+.{digits}f} {words}"
    if low is None or high is None:
        return text
    return f"{text} ({scale * low:+.{digits}f} to {scale * high:+.{digits}f})"


def in_unit(value: float, unit: Unit) -> str:
    """Return an error in years or percent."""
    return f"{value:.2f} years" if unit == "years" else f"{100 * value:.1f} %"


def read_crop_losses(path: Path = CROPS) -> list[CropLoss]:
    """Losses on record, or none."""
    return msgspec.json.decode(path.read_bytes(), type=list[CropLoss]) if path.is_file() else []


def record(losses: Sequence[CropLoss], path: Path = CROPS) -> None:
    """Put losses on record; what was measured again of a file on a set replaces the old."""
    fresh = {_place(loss) for loss in losses}
    kept = [loss for loss in read_crop_losses(path) if _place(loss) not in fresh]
    write_json(path, sorted([*kept, *losses], key=lambda loss: (*_place(loss), loss.kind, loss.amount, loss.towards)))


def _place(loss: CropLoss) -> tuple[str, str, str, str, str]:
    return loss.network, loss.runtime, loss.precision, loss.task, loss.set
