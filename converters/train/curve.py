"""A training as a picture: losses, and the figures that the best checkpoint is chosen by, over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from converters.evaluation.drawing import canvas, curves, png

WIDTH, HEIGHT = 5.0, 3.2
"""Inches of one pair of axes."""
MARGIN = 0.05
"""Room above and below a curve, as a share of its height."""


def draw_curve(title: str, rows: Sequence[Mapping[str, Any]], chosen: Sequence[str]) -> bytes:
    """PNG of a run's curve; ``chosen`` are the names of figures, each with axes of its own."""
    drawing = canvas(WIDTH * 2, HEIGHT * (1 + (1 + len(chosen)) // 2), title)
    grid = drawing.subplots(-(-(1 + len(chosen)) // 2), 2, squeeze=False).flatten()
    epochs = [float(row["epoch"]) for row in rows]
    losses = {task: [float(row["loss"][task]) for row in rows] for task in rows[-1]["loss"]}
    _axes(grid[0], epochs, losses, "loss")
    for axes, name in zip(grid[1:], chosen, strict=False):
        _axes(axes, epochs, {"": [float(row["figures"][name]) for row in rows]}, name)
    for axes in grid[1 + len(chosen) :]:
        axes.set_visible(False)
    return png(drawing)


def _axes(axes: Any, epochs: Sequence[float], lines: Mapping[str, Sequence[float]], title: str) -> None:
    values = [value for line in lines.values() for value in line]
    room = MARGIN * max(max(values) - min(values), 1e-6)
    curves(
        axes,
        {name: (epochs, line) for name, line in lines.items()},
        title=title,
        x="epoch",
        y="",
        limits=((0, max(epochs[-1], 1e-6)), (min(values) - room, max(values) + room)),
    )
